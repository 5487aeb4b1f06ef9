"""Files of another model, or of a part of one, are refused: no network runs on random numbers."""

import json
import shutil

import pytest
import torch
import transformers
from diffusers import DiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file

from ella import IncompleteWeightsError, T5TextEncoder, TextEncoderError, tiny
from ella.strict_loading import strict_loading
from ella.training.base_model import load_base, load_text_encoder

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}


@pytest.fixture
def folder(tmp_path):
    """A T5 encoder with its tokenizer, which loads."""
    encoder = tiny.tiny_text_encoder()
    encoder.model.save_pretrained(tmp_path / "t5")
    encoder.tokenizer.save_pretrained(tmp_path / "t5")
    T5TextEncoder.from_pretrained(tmp_path / "t5")
    return tmp_path / "t5"


@pytest.fixture
def base(tmp_path):
    tiny.tiny_pipeline().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def rewrite(file, change):
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def test_a_llama_is_not_taken_for_a_t5(folder):
    config = transformers.LlamaConfig(vocab_size=64, num_attention_heads=2, **SIZES)
    (folder / "model.safetensors").unlink()
    transformers.LlamaModel(config).save_pretrained(folder)
    with pytest.raises(TextEncoderError, match="LlamaModel, of the kind 'llama', not of a T5"):
        T5TextEncoder.from_pretrained(folder)


@pytest.mark.parametrize("kind", ["umt5", "mt5", "longt5"])
def test_a_relative_of_t5_is_refused_by_its_kind(folder, kind):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": kind, "architectures": ["Other" + config["architectures"][0]]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(TextEncoderError, match="not of a T5"):
        T5TextEncoder.from_pretrained(folder)


def test_every_missing_tensor_is_noticed(folder):
    whole = (folder / "model.safetensors").read_bytes()
    names = [name for name in load_file(folder / "model.safetensors") if "shared" not in name]
    for name in names:
        (folder / "model.safetensors").write_bytes(whole)
        rewrite(folder / "model.safetensors", lambda tensors, name=name: tensors.pop(name))
        with pytest.raises(TextEncoderError, match=name) as caught:
            T5TextEncoder.from_pretrained(folder)
        assert "\n" not in str(caught.value)


def test_a_tensor_of_another_shape_is_noticed(folder):
    def cut(tensors):
        tensors["encoder.final_layer_norm.weight"] = torch.ones(31)

    rewrite(folder / "model.safetensors", cut)
    with pytest.raises(TextEncoderError, match="t5: no T5 encoder"):
        T5TextEncoder.from_pretrained(folder)


def test_tensors_beyond_the_configuration_are_noticed(folder):
    def add(tensors):
        for name in [name for name in tensors if name.startswith("encoder.block.1.")]:
            tensors[name.replace("block.1.", "block.2.")] = tensors[name].clone()

    rewrite(folder / "model.safetensors", add)
    with pytest.raises(TextEncoderError, match=r"knows nothing of: encoder\.block\.2"):
        T5TextEncoder.from_pretrained(folder)


def test_of_a_whole_t5_the_encoder_loads(folder):
    config = tiny.tiny_text_encoder().model.config.to_dict() | {"num_decoder_layers": 1}
    config.pop("architectures", None)
    whole = transformers.T5ForConditionalGeneration(transformers.T5Config(**config))
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder)
    loaded = T5TextEncoder.from_pretrained(folder)
    torch.testing.assert_close(
        loaded.model.encoder.final_layer_norm.weight, whole.encoder.final_layer_norm.weight
    )


def test_a_tokenizer_with_more_tokens_than_the_network_is_refused(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<more{n}>" for n in range(400)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(TextEncoderError, match="its tokenizer knows"):
        T5TextEncoder.from_pretrained(folder)


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/t5", "a/b/c", "nowhere.safetensors"])
def test_a_path_that_is_not_there_is_not_looked_up_on_a_hub(source, monkeypatch):
    import huggingface_hub

    def asked(*args, **kwargs):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", asked)
    with pytest.raises(TextEncoderError, match="there is no such folder"):
        T5TextEncoder.from_pretrained(source)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_pipeline_with_a_missing_tensor_is_refused(base, part):
    file = next((base / part).glob("*.safetensors"))
    rewrite(file, lambda tensors: tensors.pop(sorted(tensors)[0]))
    with (
        pytest.raises(IncompleteWeightsError, match=r"here: the files of .* lack 1 of its tensors"),
        strict_loading("here"),
    ):
        DiffusionPipeline.from_pretrained(base, local_files_only=True)


def test_a_whole_pipeline_loads_and_loading_is_as_before_afterwards(base):
    before = UNet2DConditionModel.from_pretrained.__func__
    with strict_loading("here") as reports:
        DiffusionPipeline.from_pretrained(base, local_files_only=True)
        unet, info = UNet2DConditionModel.from_pretrained(base / "unet", output_loading_info=True)
    assert [report.missing for report in reports] == [()] * 4
    assert isinstance(unet, UNet2DConditionModel)
    assert info["missing_keys"] == []
    assert UNet2DConditionModel.from_pretrained.__func__ is before


def test_training_refuses_parts_of_models(base, folder):
    file = next((base / "unet").glob("*.safetensors"))
    rewrite(file, lambda tensors: tensors.pop("conv_in.bias"))
    with pytest.raises(Exception, match="conv_in"):
        load_base(base)
    config = transformers.LlamaConfig(vocab_size=64, num_attention_heads=2, **SIZES)
    shutil.rmtree(folder.parent / "llama", ignore_errors=True)
    transformers.LlamaModel(config).save_pretrained(folder.parent / "llama")
    tiny.tiny_clip_tokenizer().save_pretrained(folder.parent / "llama")
    rewrite(
        folder.parent / "llama/model.safetensors",
        lambda tensors: tensors.pop("layers.0.mlp.up_proj.weight"),
    )
    with pytest.raises(Exception, match="up_proj"):
        load_text_encoder(folder.parent / "llama", "cpu", 16)
