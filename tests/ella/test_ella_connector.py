import numpy as np
import pytest
import torch

from ella import ConnectorConfig, TimestepAwareSemanticConnector
from ella.tiny import WIDTH, tiny_connector, tiny_pipeline
from tests.golden.weights import state_dict_for


def features(num_texts=2, num_tokens=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_texts, num_tokens, WIDTH, generator=generator)


@pytest.fixture(scope="module")
def released(golden):
    """A connector of the released sizes with the golden weights."""
    connector = TimestepAwareSemanticConnector()
    shapes = golden("ella_tsc_state_dict.json")
    connector.load_state_dict(state_dict_for(shapes, std=0.02), strict=True)
    return connector.eval()


@pytest.mark.parametrize("timestep", [1, 250, 500, 981, 999])
def test_reference_outputs_at_the_released_size(released, golden, timestep):
    text = np.random.default_rng(7).standard_normal((2, 20, 2048), dtype=np.float32)
    with torch.no_grad():
        tokens = released(torch.from_numpy(text), timestep).numpy()
    expected = golden("tsc_full.npz")
    key = f"t{timestep}"
    np.testing.assert_allclose(tokens[:, :8, :16], expected[key], atol=1e-4)
    np.testing.assert_allclose(tokens.mean((1, 2)), expected[f"{key}_mean"], atol=1e-4)
    np.testing.assert_allclose(tokens.std((1, 2)), expected[f"{key}_std"], atol=1e-4)


def test_names_and_shapes_are_those_of_the_released_file(golden):
    with torch.device("meta"):
        state = TimestepAwareSemanticConnector().state_dict()
    shapes = {name: list(tensor.shape) for name, tensor in state.items()}
    assert shapes == {n: shape for n, (shape, _) in golden("ella_tsc_state_dict.json").items()}
    assert sum(tensor.numel() for tensor in state.values()) == 66_820_608


@pytest.mark.parametrize("num_tokens", [0, 1, 128, 200])
def test_any_length_gives_the_same_number_of_tokens(connector, num_tokens):
    tokens = connector(features(3, num_tokens), 500)
    assert tokens.shape == (3, connector.config.num_latents, WIDTH)


@pytest.mark.parametrize(
    "timestep", [7, 7.0, torch.tensor(7), torch.tensor([7]), torch.tensor([7.0, 7.0])]
)
def test_one_timestep_for_all_or_one_for_each(connector, timestep):
    with torch.no_grad():
        torch.testing.assert_close(connector(features(), timestep), connector(features(), 7))


@torch.no_grad()
def test_each_text_at_its_own_timestep(connector):
    both = connector(features(), torch.tensor([3.0, 900.5]))
    torch.testing.assert_close(both[:1], connector(features()[:1], 3))
    torch.testing.assert_close(both[1:], connector(features()[1:], 900.5))


@torch.no_grad()
def test_the_timestep_changes_the_tokens(connector):
    assert (connector(features(), 1) - connector(features(), 999)).abs().mean() > 0.1


@torch.no_grad()
def test_a_text_is_not_changed_by_its_batch(connector):
    batch = features(5)
    alone = torch.cat([connector(row[None], 40) for row in batch])
    torch.testing.assert_close(connector(batch, 40), alone)


@torch.no_grad()
def test_padding_is_not_masked(connector):
    padded = torch.cat([features(), torch.zeros(2, 3, WIDTH)], dim=1)
    assert not torch.allclose(connector(padded, 40), connector(features(), 40))


@torch.no_grad()
def test_projecting_first_changes_nothing(connector):
    projected = connector.project_text(features())
    for timestep in (1, 500):
        torch.testing.assert_close(
            connector.forward_projected(projected, timestep), connector(features(), timestep)
        )


@torch.no_grad()
def test_float16_stays_float16_and_near():
    exact = tiny_connector()(features(), 500)
    half = tiny_connector().half()(features().half(), 500)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), exact, atol=0.05, rtol=0.05)


def test_a_fresh_connector_is_a_plain_resampler_that_can_learn_time():
    connector = TimestepAwareSemanticConnector(tiny_connector().config)
    block = connector.connector.perceiver_blocks[0]
    assert not block.ln_1.linear.weight.any()
    connector(features(), 500).sum().backward()
    assert block.ln_2.linear.weight.grad.any()


def test_training_moves_the_connector_only():
    connector, unet = tiny_connector(), tiny_pipeline().unet.requires_grad_(False)
    text = features()
    timesteps = torch.tensor([10, 900])
    sample = torch.ones(2, 4, 8, 8)
    unet(sample, timesteps, connector(text, timesteps)).sample.square().mean().backward()
    assert all(parameter.grad is not None for parameter in connector.parameters())
    assert all(parameter.grad is None for parameter in unet.parameters())
    assert text.grad is None


@pytest.mark.parametrize(
    ("text", "timestep", "message"),
    [
        (torch.zeros(2, 5, 7), 1, r"`text_features` must have the shape \[texts, tokens, 32\]"),
        (torch.zeros(5, WIDTH), 1, r"got \(5, 32\)"),
        (torch.zeros(2, 5, WIDTH, dtype=torch.long), 1, "must be of a floating dtype, got torch"),
        (torch.zeros(2, 5, WIDTH), torch.zeros(3), r"each of the 2 texts, got the shape \(3,\)"),
        (torch.zeros(2, 5, WIDTH), torch.zeros(2, 1), r"`timestep` must be one number or one"),
        (torch.zeros(2, 5, WIDTH), float("nan"), "`timestep` must be finite, got nan"),
    ],
)
def test_wrong_arguments_are_named(connector, text, timestep, message):
    with pytest.raises(ValueError, match=message):
        connector(text, timestep)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"layers": 0}, "`layers` must be at least 1, got 0"),
        ({"heads": 7}, "`width` 768 must be a multiple of `heads` 7"),
        ({"time_channel": 3}, "`time_channel` must be even, got 3"),
    ],
)
def test_wrong_sizes_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        ConnectorConfig(**sizes)
