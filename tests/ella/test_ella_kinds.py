"""The connectors of the paper's Table 6: sizes, files, drawing, training."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ella import (
    Connector,
    ConnectorConfig,
    ConnectorFileError,
    TimestepAwareSemanticConnector,
    TrainedText,
    new_connector,
    tiny,
)
from ella.step_conditions import StepConditions
from tests.ella.tiny_training import QUICK, TinyPairs, run_tiny

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # of diffusers

KINDS = ("adaln", "adaln-zero", "resampler", "mlp")
TABLE_6 = [
    ("mlp", 6, 2_164_224),
    ("resampler", 1, 8_712_192),
    ("resampler", 6, 44_159_232),
    ("adaln-zero", 6, 73_907_712),
    ("adaln", 6, 66_820_608),
]
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.mark.parametrize(("kind", "layers", "numbers"), TABLE_6)
def test_the_numbers_that_can_be_trained_are_the_papers(kind, layers, numbers):
    with torch.device("meta"):
        connector = Connector.of(ConnectorConfig(kind=kind, layers=layers))
    assert sum(parameter.numel() for parameter in connector.parameters()) == numbers


@each_kind
@pytest.mark.parametrize(("input_dim", "width"), [(20, 64), (96, 8), (7, 12)])
@torch.no_grad()
def test_any_width_goes_in_and_out(kind, input_dim, width):
    connector = tiny.tiny_connector(kind=kind, width=width, input_dim=input_dim)
    for num_tokens in (1, 5):
        tokens = connector(torch.ones(2, num_tokens, input_dim), 500)
        assert tokens.shape == (2, num_tokens if kind == "mlp" else 8, width)


@each_kind
@torch.no_grad()
def test_the_timestep_counts_where_the_paper_says_so(kind):
    connector, text = tiny.tiny_connector(kind=kind), torch.ones(1, 5, tiny.WIDTH)
    differs = float((connector(text, 1) - connector(text, 999)).abs().max()) > 0.01
    assert differs is connector.config.uses_timestep is (kind in ("adaln", "adaln-zero"))


@torch.no_grad()
def test_a_fresh_gated_connector_adds_nothing_to_its_latents_and_learns_to():
    connector = new_connector(tiny.tiny_connector(kind="adaln-zero").config)
    one, other = (connector(torch.full((1, 3, tiny.WIDTH), x), 5) for x in (0.0, 1.0))
    assert torch.equal(one, other)
    with torch.enable_grad():
        connector(torch.ones(1, 3, tiny.WIDTH), 5).square().sum().backward()
    assert connector.connector.perceiver_blocks[0].ln_1.linear.weight.grad.any()


@torch.no_grad()
def test_a_plain_resampler_is_the_released_one_without_its_timestep():
    """With the modulation at zero and the plain norms' gain at one, both compute the same."""
    timed = new_connector(tiny.tiny_connector().config)
    timed.connector.time_aware_linear.weight.zero_()
    timed.connector.time_aware_linear.bias.zero_()
    plain = Connector.of(replace(timed.config, kind="resampler"))
    shared = {n: t for n, t in timed.state_dict().items() if n in plain.state_dict()}
    plain.load_state_dict(shared, strict=False)
    text = torch.randn(2, 5, tiny.WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(plain(text, 5), timed(text, 5))


@each_kind
def test_a_file_keeps_kind_sizes_and_texts(kind, tmp_path):
    connector = tiny.tiny_connector(kind=kind)
    connector.trained_text = TrainedText("fixed", 40, hidden_layer=-2)
    connector.save_safetensors(tmp_path / "c.safetensors")
    again = Connector.from_safetensors(tmp_path / "c.safetensors")
    assert (again.config, again.trained_text) == (connector.config, connector.trained_text)
    assert type(again) is type(connector)
    text = torch.ones(1, 3, tiny.WIDTH)
    assert torch.equal(again(text, 5), connector(text, 5))
    again.save_safetensors(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (
        tmp_path / "c.safetensors"
    ).read_bytes()


@each_kind
@pytest.mark.filterwarnings("ignore:.*does not say how many attention heads")
def test_a_file_without_a_word_is_known_by_its_tensors(kind, tmp_path):
    file = tmp_path / "c.safetensors"
    connector = tiny.tiny_connector(kind=kind)
    save_file(connector.state_dict(), file)
    again = Connector.from_safetensors(file, heads=4)
    assert again.config.kind == kind
    text = torch.ones(1, 3, tiny.WIDTH)
    assert torch.equal(again(text, 5), connector(text, 5))


def test_a_file_from_before_there_were_kinds_loads(tmp_path):
    file = tmp_path / "c.safetensors"
    tiny.tiny_connector().save_safetensors(file)
    with safe_open(file, "pt") as opened:
        stated = json.loads(opened.metadata()["ella_connector"])
    del stated["kind"]
    save_file(load_file(file), file, metadata={"ella_connector": json.dumps(stated)})
    again = TimestepAwareSemanticConnector.from_safetensors(file)
    assert again.config == tiny.tiny_connector().config


def test_a_file_of_another_kind_is_not_what_was_asked_for(tmp_path):
    file = tmp_path / "c.safetensors"
    tiny.tiny_connector(kind="mlp").save_safetensors(file)
    with pytest.raises(ConnectorFileError, match=r"of the kind 'mlp'.*Connector.from_safetensors"):
        TimestepAwareSemanticConnector.from_safetensors(file)


def test_words_and_tensors_of_two_kinds_are_refused(tmp_path):
    file = tmp_path / "c.safetensors"
    tiny.tiny_connector(kind="resampler").save_safetensors(file)
    with safe_open(file, "pt") as opened:
        stated = json.loads(opened.metadata()["ella_connector"])
    stated["kind"] = "adaln"
    save_file(load_file(file), file, metadata={"ella_connector": json.dumps(stated)})
    with pytest.raises(ConnectorFileError, match="says kind adaln, its tensors resampler"):
        Connector.from_safetensors(file)


def test_wrong_kinds_are_named():
    with pytest.raises(ValueError, match="`kind` must be one of adaln, adaln-zero, resampler, mlp"):
        ConnectorConfig(kind="perceiver")
    with pytest.raises(ValueError, match=r"is of the kind 'mlp'.*make it with Connector.of"):
        TimestepAwareSemanticConnector(ConnectorConfig(kind="mlp"))


@each_kind
@pytest.mark.parametrize("rows", [1, 5, 1000])
def test_however_many_rows_go_at_once(kind, rows):
    """Tokens of all steps in one call are those of step after step."""
    connector = tiny.tiny_connector(kind=kind)
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randn(n, tiny.WIDTH, generator=generator) for n in (4, 9, 4)]
    timesteps = [999.0, 750.0, 750.0, 500.5, 20.0, 1.0]
    steps = StepConditions(connector, texts, timesteps, rows_at_once=rows)
    whole = StepConditions(connector, texts, timesteps, rows_at_once=rows)
    whole.finish()
    for step, timestep in enumerate(timesteps):
        for row, text in enumerate(texts):
            alone = connector(text[None], timestep)[0].detach()
            assert steps.counts[row] == len(alone)
            for shown in (steps.at(step)[row], whole.at(step)[row]):
                torch.testing.assert_close(shown[: len(alone)], alone, atol=1e-5, rtol=1e-5)
                assert not shown[len(alone) :].any()


@pytest.mark.parametrize(("rows", "calls"), [(2, 5), (4, 3), (6, 2), (99, 1)])
def test_tokens_of_several_steps_are_of_one_call_and_kept(rows, calls):
    connector, made = tiny.tiny_connector(), []

    def counted(projected, timesteps):
        made.append(len(timesteps))
        return connector.forward_projected(projected, timesteps)

    texts, timesteps = [torch.ones(4, tiny.WIDTH)] * 2, [9.0, 7.0, 7.0, 5.0, 3.0, 1.0]
    steps = StepConditions(connector, texts, timesteps, rows_at_once=rows, forward=counted)
    for step in range(len(timesteps)):
        steps.at(step)
        steps.at(step)
    assert (len(made), sum(made)) == (calls, 2 * 5)


def test_texts_of_many_lengths_cannot_train_a_connector_without_latents(tmp_path):
    with pytest.raises(ValueError, match=r"`length` must be 'fixed' for a connector of the kind"):
        run_tiny(
            tmp_path,
            replace(QUICK, length="flexible"),
            TinyPairs(),
            connector=tiny.tiny_connector(kind="mlp"),
        )


def test_the_connectors_benchmark_compares_equal_tokens(capsys):
    from benchmarks.ella_connector import main

    figures = main(["--size", "tiny", "--steps", "4", "--repeats", "1"])
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["one call: largest difference"] < 1e-5
    assert figures["one call: times faster"] > 0
