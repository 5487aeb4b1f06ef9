"""Files of weights: what is accepted, what is refused, and in which words."""

import os
import pickle

import pytest
import torch

from dpgbench.mplug import CheckpointError, MplugConfig, file_hashes, load_mplug
from dpgbench.mplug.checkpoint import load_network
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.names import FALLBACKS, is_needed, published_name

WEIGHTS = "pytorch_model.bin"


def read(folder):
    return torch.load(folder / WEIGHTS, weights_only=True)


def numbers(folder, **options):
    """Copies, for the tests write over the files that the network's own are mapped from."""
    network = load_network(folder, MplugConfig.from_folder(folder), **options)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def refusal(folder, **options):
    with pytest.raises(CheckpointError) as caught:
        load_mplug(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state},
        lambda state: {"module": state},
        lambda state: {"model": {"module": state}, "epoch": 3},
        lambda state: {f"model.{name}": tensor for name, tensor in state.items()},
        lambda state: {name.replace("encoder.", "encoder.model."): t for name, t in state.items()},
    ],
    ids=["model", "module", "model and module", "prefix", "inside"],
)
def test_wrapped_state_dicts_are_unwrapped(tiny_folder, wrap):
    plain = numbers(tiny_folder)
    torch.save(wrap(read(tiny_folder)), tiny_folder / WEIGHTS)
    assert_same(numbers(tiny_folder), plain)


def test_a_file_in_the_old_format_is_read(tiny_folder):
    plain = numbers(tiny_folder)
    state = read(tiny_folder)
    torch.save(state, tiny_folder / WEIGHTS, _use_new_zipfile_serialization=False)
    assert_same(numbers(tiny_folder), plain)


def test_what_the_judge_never_runs_is_left_out(tiny_folder):
    plain = numbers(tiny_folder)
    extra = [
        "visual_encoder_m.visual.proj",
        "text_encoder_m.embeddings.position_ids",
        "fusion_encoder_m.encoder.layer.0.output.dense.bias",
        "text_decoder_m.cls.predictions.bias",
        "visn_fc_m.weight",
        "visn_layer_norm_m.bias",
        "visual_encoder.visual.proj",
        "visual_encoder.token_embedding.weight",
        "visual_encoder.transformer.resblocks.0.attn.in_proj_bias",
        "visual_encoder.logit_scale",
        "text_encoder.embeddings.position_ids",
        "fusion_encoder.embeddings.word_embeddings.weight",
        "fusion_encoder.encoder.layer.0.output.dense.bias",
    ]
    torch.save(read(tiny_folder) | dict.fromkeys(extra, torch.ones(2)), tiny_folder / WEIGHTS)
    assert_same(numbers(tiny_folder), plain)


def test_of_tied_tensors_the_projection_counts(tiny_folder):
    plain = numbers(tiny_folder)
    state = read(tiny_folder)
    torch.save(state | {n: state[n] + 1 for n in FALLBACKS.values()}, tiny_folder / WEIGHTS)
    assert_same(numbers(tiny_folder), plain)
    torch.save({n: t for n, t in state.items() if n not in FALLBACKS}, tiny_folder / WEIGHTS)
    assert_same(numbers(tiny_folder), plain)


def test_the_published_layout_is_covered_exactly(golden):
    config = full_config(golden)
    with torch.device("meta"):
        ours = Mplug(config).state_dict()
    shapes = {published_name(name, config): list(t.shape) for name, t in ours.items()}
    published = golden("full_state_dict.json")
    needed = {name: shape for name, (shape, _) in published.items() if is_needed(name, config)}
    assert shapes == needed


def full_config(golden):
    small = MplugConfig.from_folder(golden("small_stride6"))
    fields = {name: getattr(small, name) for name in MplugConfig.__slots__}
    recorded = golden("full_stride6_answers.json")["config"]
    return MplugConfig(
        **fields
        | {
            "image_px": 504,
            "vision_layers": 24,
            "hidden_size": recorded["hidden_size"],
            "num_heads": recorded["num_attention_heads"],
            "feed_forward_size": recorded["intermediate_size"],
            "vocab_size": recorded["vocab_size"],
            "text_layers": recorded["text_encoder_layers"],
            "fusion_layers": recorded["fusion_layers"],
            "declared_fusion_layers": recorded["num_hidden_layers"],
            "decoder_layers": recorded["text_decode_layers"],
        }
    )


def test_a_cut_file_is_refused(tiny_folder):
    path = tiny_folder / WEIGHTS
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        message = refusal(tiny_folder)
        assert str(path) in message
        assert f"cut short ({size:,} bytes)" in message


def test_a_cut_file_in_the_old_format_is_refused(tiny_folder):
    path = tiny_folder / WEIGHTS
    torch.save(read(tiny_folder), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cut short" in refusal(tiny_folder)


def test_a_page_that_was_saved_instead_of_the_weights_is_refused(tiny_folder):
    (tiny_folder / WEIGHTS).write_text("<!doctype html><title>Sign in</title>")
    assert "no weights, or cut short" in refusal(tiny_folder)


class Code:
    """Unpickled the ordinary way, this makes a file."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.system, (f"touch {self.trace}",)


def write_code(path, way, trace):
    content = {"visn_fc.weight": Code(trace)}
    if way.startswith("pickle"):
        path.write_bytes(pickle.dumps(content, protocol=int(way[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=way == "torch.save")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("way", ["torch.save", "old torch.save", "pickle 2", "pickle 4"])
def test_a_pickle_with_code_is_refused_and_not_run(tiny_folder, tmp_path, way):
    trace = tmp_path / "was-run"
    write_code(tiny_folder / WEIGHTS, way, trace)
    message = refusal(tiny_folder, cache_dir=tmp_path / "cache")
    assert not trace.exists()
    assert "not run" in message or "nothing in it was run" in message
    assert "system" in message or way == "pickle 4"


def test_other_shapes_are_refused_with_both_shapes(tiny_folder):
    state = read(tiny_folder)
    state["text_encoder.embeddings.position_embeddings.weight"] = torch.ones(7, 32)
    torch.save(state, tiny_folder / WEIGHTS)
    message = refusal(tiny_folder)
    assert "position_embeddings.weight: expected [32, 32], found [7, 32]" in message
    assert str(tiny_folder / WEIGHTS) in message


def test_missing_and_unexpected_tensors_are_named(tiny_folder):
    state = read(tiny_folder)
    del state["visn_layer_norm.weight"]
    state["visual_encoder.visual.surprise"] = torch.ones(1)
    torch.save(state, tiny_folder / WEIGHTS)
    message = refusal(tiny_folder)
    assert "1 missing (visn_layer_norm.weight)" in message
    assert "1 unexpected (visual_encoder.visual.surprise)" in message


def test_of_many_missing_tensors_a_few_are_named(tiny_folder):
    torch.save({"visn_fc.weight": torch.ones(32, 64)}, tiny_folder / WEIGHTS)
    assert ", ...)" in refusal(tiny_folder)


def test_something_else_than_a_tensor_is_refused(tiny_folder):
    torch.save(read(tiny_folder) | {"visn_fc.bias": 3}, tiny_folder / WEIGHTS)
    assert "1 missing (visn_fc.bias)" in refusal(tiny_folder)
    torch.save([1, 2], tiny_folder / WEIGHTS)
    assert "no weights" in refusal(tiny_folder)


def test_missing_weights_are_named(tiny_folder):
    (tiny_folder / WEIGHTS).unlink()
    assert f"{tiny_folder / WEIGHTS}: not there" in refusal(tiny_folder)
    assert "not there" in refusal(tiny_folder, cache_dir=tiny_folder / "cache")


def test_weights_are_converted_once(tiny_folder, tmp_path):
    plain, cache = numbers(tiny_folder), tmp_path / "cache"
    assert_same(numbers(tiny_folder, cache_dir=cache), plain)
    (converted,) = cache.iterdir()
    assert file_hashes(tiny_folder)[WEIGHTS][:16] in converted.name
    before = converted.stat().st_mtime_ns
    assert_same(numbers(tiny_folder, cache_dir=cache), plain)
    assert converted.stat().st_mtime_ns == before


def test_other_weights_are_converted_anew(tiny_folder, tmp_path):
    numbers(tiny_folder, cache_dir=tmp_path / "cache")
    state = read(tiny_folder)
    state["visn_fc.bias"] += 1
    torch.save(state, tiny_folder / WEIGHTS)
    assert_same(numbers(tiny_folder, cache_dir=tmp_path / "cache"), numbers(tiny_folder))


def test_a_converted_file_in_the_folder_is_enough(tiny_folder, tmp_path):
    plain = numbers(tiny_folder, cache_dir=tmp_path / "cache")
    (converted,) = (tmp_path / "cache").iterdir()
    converted.rename(tiny_folder / "model.safetensors")
    (tiny_folder / WEIGHTS).unlink()
    assert_same(numbers(tiny_folder), plain)
    assert "model.safetensors" in file_hashes(tiny_folder)


def test_a_cut_converted_file_is_refused(tiny_folder, tmp_path):
    numbers(tiny_folder, cache_dir=tmp_path)
    (converted,) = tmp_path.glob("*.safetensors")
    converted.write_bytes(converted.read_bytes()[:5000])
    assert f"{converted}: no weights, or cut short" in refusal(tiny_folder, cache_dir=tmp_path)


def test_a_failed_conversion_leaves_nothing_behind(tiny_folder, tmp_path, monkeypatch):
    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dpgbench.mplug.checkpoint.save_file", full_disk)
    with pytest.raises(OSError, match="No space"):
        load_mplug(tiny_folder, cache_dir=tmp_path / "cache")
    assert not any((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_network_has_the_type_asked_for(tiny_folder, dtype):
    judge = load_mplug(tiny_folder, dtype=dtype)
    assert {parameter.dtype for parameter in judge.network.parameters()} == {dtype}
    assert not any(parameter.requires_grad for parameter in judge.network.parameters())


def test_the_code_that_these_tests_use_would_run(tmp_path):
    write_code(tmp_path / "code.bin", "pickle 2", tmp_path / "was-run")
    pickle.loads((tmp_path / "code.bin").read_bytes())
    assert (tmp_path / "was-run").exists()
