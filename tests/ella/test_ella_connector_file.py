import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ella import ConnectorConfig, ConnectorFileError, TimestepAwareSemanticConnector
from ella.tiny import tiny_connector

load = TimestepAwareSemanticConnector.from_safetensors


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "connector.safetensors"
    tiny_connector().save_safetensors(path)
    return path


def rewrite(path, change):
    """The file again, after `change(tensors)`, without metadata, as others would write it."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_the_released_files_names_load_strictly(tmp_path, golden):
    path = tmp_path / "ella-sd1.5-tsc-t5xl.safetensors"
    shapes = golden("ella_tsc_state_dict.json")
    generator = torch.Generator().manual_seed(0)
    tensors = {n: torch.rand(s, generator=generator).half() for n, (s, _) in shapes.items()}
    save_file(tensors, path)
    connector = load(path)
    assert connector.config == ConnectorConfig()
    assert connector.dtype == torch.float16
    assert not connector.training
    assert all(torch.equal(tensors[name], value) for name, value in connector.state_dict().items())


def test_what_was_saved_loads_the_same(saved):
    original, again = tiny_connector(), load(saved)
    assert again.config == original.config  # 4 heads, which no shape shows
    text = torch.ones(1, 3, original.config.input_dim)
    assert torch.equal(again(text, 5), original(text, 5))


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_else(saved):
    before = saved.read_bytes()
    load(saved).save_safetensors(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_dtype_and_heads_can_be_set(saved):
    assert load(saved, dtype=torch.float16).dtype == torch.float16
    assert load(saved, heads=2).config.heads == 2


@pytest.mark.filterwarnings("ignore:.*does not say how many attention heads")
def test_without_metadata_there_are_eight_heads(saved):
    rewrite(saved, lambda tensors: None)
    assert load(saved).config.heads == 8


def test_a_loaded_connector_can_be_trained(saved):
    connector = load(saved)
    connector(torch.ones(1, 3, connector.config.input_dim), 5).sum().backward()
    assert connector.connector.latents.grad is not None


def no_proj_in(tensors):
    del tensors["connector.proj_in.weight"]


def no_norm(tensors):
    del tensors["connector.perceiver_blocks.1.ln_1.linear.bias"]


def one_more(tensors):
    tensors["connector.extra"] = torch.zeros(1)


def wrong_shape(tensors):
    tensors["connector.proj_in.bias"] = torch.zeros(3)


def flat_latents(tensors):
    tensors["connector.latents"] = torch.zeros(3)


def odd_width(tensors):
    tensors["connector.latents"] = torch.zeros(8, 33)


def another_network(tensors):
    tensors.clear()
    tensors["conv_in.weight"] = torch.zeros(1)


@pytest.mark.filterwarnings("ignore:.*does not say how many attention heads")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_proj_in, r"not an ELLA connector \(missing: connector.proj_in.weight"),
        (another_network, "missing: .* and 1 more; it has conv_in.weight"),
        (no_norm, "missing: connector.perceiver_blocks.1.ln_1.linear.bias; unknown: none"),
        (one_more, "missing: none; unknown: connector.extra"),
        (wrong_shape, r"connector.proj_in.bias \(3,\) instead of \(32,\)"),
        (flat_latents, r"connector.latents has the shape \(3,\)"),
        (odd_width, "multiple of `heads` 8; pass the right `heads`"),
    ],
)
def test_wrong_tensors_are_named(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(ConnectorFileError, match=message) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def garbage(path):
    path.write_bytes(b"<!DOCTYPE html>" * 99)


def zip_pickle(path):
    torch.save({"x": torch.zeros(1)}, path)


def old_pickle(path):
    torch.save({"x": torch.zeros(1)}, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.unlink(), "no such file; download"),
        (cut, "cut short, damaged"),
        (empty, "cut short, damaged"),
        (garbage, "cut short, damaged or not a safetensors file"),
        (zip_pickle, "a pickle"),
        (old_pickle, "a pickle"),
    ],
)
def test_unreadable_files_are_explained(saved, spoil, message):
    spoil(saved)
    with pytest.raises(ConnectorFileError, match=message) as caught:
        load(saved)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spoilt_metadata_is_explained(saved):
    save_file(load_file(saved), saved, metadata={"ella_connector": "[4]"})
    with pytest.raises(ConnectorFileError, match="metadata 'ella_connector'"):
        load(saved)
    assert load(saved, heads=4).config == tiny_connector().config


def test_the_configuration_is_in_the_metadata(saved):
    with safe_open(saved, framework="pt") as file:
        assert '"heads": 4' in file.metadata()["ella_connector"]
