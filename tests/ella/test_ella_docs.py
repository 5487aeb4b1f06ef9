"""Every block of docs/ella.md runs, in order, with tiny networks in place of what is downloaded."""

import re
from pathlib import Path

import diffusers
import huggingface_hub
import pytest
from transformers import LlamaConfig, LlamaModel

import ella
from ella import tiny
from ella.tiny_tokenizers import tiny_clip_tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "ella.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Downloads answered by tiny networks; files of the page land in a folder of the test's."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "released.safetensors"
    tiny.tiny_connector().save_safetensors(file)

    def answer(owner, name, make):
        monkeypatch.setattr(owner, name, lambda *_args, **_kwargs: make())

    answer(huggingface_hub, "hf_hub_download", lambda: file)
    answer(diffusers.StableDiffusionPipeline, "from_pretrained", tiny.tiny_pipeline)
    answer(diffusers.StableDiffusionPipeline, "load_lora_weights", lambda: None)
    answer(diffusers.ControlNetModel, "from_pretrained", tiny_controlnet)
    t5 = tiny.tiny_text_encoder()
    answer(ella.T5TextEncoder, "from_pretrained", lambda: t5)
    answer(ella.TransformersTextEncoder, "from_pretrained", tiny_llama)
    generate = ella.Ella.generate

    def quickly(self, *arguments, **named):
        return generate(self, *arguments, **{"num_inference_steps": 2, **named})

    monkeypatch.setattr(ella.Ella, "generate", quickly)
    answer(ella.Ella, "from_pretrained", lambda: ella.Ella(tiny.tiny_connector(), t5))


def tiny_controlnet():
    return diffusers.ControlNetModel.from_unet(
        tiny.tiny_pipeline().unet, conditioning_embedding_out_channels=(4, 4, 8, 8)
    )


def tiny_llama():
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    tokenizer = tiny_clip_tokenizer()
    config = LlamaConfig(vocab_size=len(tokenizer), num_attention_heads=2, **sizes)
    return ella.TransformersTextEncoder(LlamaModel(config), tokenizer)


@pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # of diffusers
def test_every_block_runs(offline):
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(blocks) >= 7
    names = {}
    for block in blocks:
        small = re.sub(r"num_inference_steps=\d+", "num_inference_steps=2", block)
        exec(compile(small.replace('"cuda"', '"cpu"'), str(PAGE), "exec"), names)
    assert len(names["images"]) == 4
    assert names["too_long"] == [99 * 4 + 1]
    assert names["tokens"].shape == (2, 8, tiny.WIDTH)
    assert names["untrained"].config.input_dim == 16
    assert len(names["series"]) == 2
    assert sorted(path.name for path in Path("my-ella").iterdir()) == [
        "connector.safetensors",
        "ella.json",
        "text_encoder",
    ]
    for image in ("image", "painted", "filled", "guided", "art", "other"):
        assert names[image].size == (tiny.IMAGE_PX, tiny.IMAGE_PX)


def test_every_error_and_public_class_is_on_the_page():
    page = PAGE.read_text(encoding="utf-8")
    page += PAGE.with_name("train-ella.md").read_text(encoding="utf-8")
    missing = [name for name in ella.__all__ if name not in page]
    assert missing == ["EllaError", "Length"]
