"""Small seeded networks of T2I-CompBench's metrics, on disk as users have them, and pictures."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image

from tests.golden.weights import tensor_for
from tests.helpers import GOLDEN

FOLDER = GOLDEN / "compbench"


@cache
def golden_blip() -> Any:
    """What the reference gave for small weights."""
    return json.loads((FOLDER / "blip_vqa_small.json").read_text())


@cache
def spatial_cases() -> Any:
    """What the reference's own main gave for made-up detections."""
    return json.loads((FOLDER / "spatial_cases.json").read_text())["cases"]


def published_tensors(golden: Any) -> dict[str, torch.Tensor]:
    """The golden weights by the published checkpoint's names."""
    tensors = {}
    for name, (shape, dtype) in golden["state_dict"].items():
        if dtype.startswith("float"):
            source = golden["same_tensor_as"].get(name, name)
            tensors[name] = tensor_for(source, shape, golden["weight_std"], golden["salt"])
        else:
            tensors[name] = torch.arange(shape[-1]).expand(shape).clone()
    return tensors


def write_vocabulary(folder: Path, golden: Any) -> None:
    lines = [f"[unused{number}]" for number in range(golden["vocab"]["size"])]
    for token, place in golden["vocab"]["tokens"].items():
        lines[place] = token
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def blip_config(golden: Any) -> dict[str, Any]:
    vision, bert = golden["config"]["vision"], golden["config"]["bert"]
    return {
        "vision_config": {
            "hidden_size": vision["embed_dim"],
            "intermediate_size": vision["embed_dim"] * vision["mlp_ratio"],
            "num_hidden_layers": vision["depth"],
            "num_attention_heads": vision["num_heads"],
            "image_size": vision["img_size"],
            "patch_size": vision["patch_size"],
        },
        "text_config": {
            "vocab_size": bert["vocab_size"],
            "hidden_size": bert["hidden_size"],
            "intermediate_size": bert["intermediate_size"],
            "num_hidden_layers": bert["num_hidden_layers"],
            "num_attention_heads": bert["num_attention_heads"],
            "max_position_embeddings": bert["max_position_embeddings"],
        },
    }


def write_blip(folder: Path) -> Path:
    """The golden network as its authors publish theirs: a pickle of tensors under ``model``."""
    golden = golden_blip()
    folder.mkdir(parents=True)
    torch.save({"model": published_tensors(golden)}, folder / "model_base_vqa_capfilt_large.pth")
    write_vocabulary(folder, golden)
    (folder / "config.json").write_text(json.dumps(blip_config(golden)))
    return folder


def write_clip(folder: Path) -> Path:
    """A CLIP of a few thousand weights in transformers' layout."""
    folder.mkdir(parents=True)
    letters = [*"abcdefghijklmnopqrstuvwxyz.,'0123456789"]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    vocabulary = {word: number for number, word in enumerate(words)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    size = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    config = transformers.CLIPConfig(
        text_config={
            **size,
            "vocab_size": len(words),
            "max_position_embeddings": 77,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**size, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(3)
    model = transformers.CLIPModel(config)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.ndim > 1:
                weight.copy_(tensor_for(name, weight.shape, 0.3))
    model.save_pretrained(folder)
    return folder


def golden_picture(recipe: Any) -> Image.Image:
    """A picture by the golden file's recipe."""
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[recipe["mode"]]
    width, height = recipe["width"], recipe["height"]
    random = np.random.default_rng(recipe["seed"])
    blocks = random.integers(0, 256, (5, 5, channels))
    big = blocks[np.arange(height) * 5 // height][:, np.arange(width) * 5 // width]
    noise = random.integers(-20, 21, (height, width, channels))
    pixels = np.clip(big + noise, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def write_grounding_dino(folder: Path) -> Path:
    """A Grounding DINO of a few thousand seeded weights, which sees something everywhere."""
    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?", *letters]
    words += [f"##{letter}" for letter in letters]
    vocabulary = {word: number for number, word in enumerate(words)}
    size = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            image_size=64,
            embed_dim=16,
            depths=[1, 1, 1, 1],
            num_heads=[1, 2, 4, 4],
            window_size=4,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=transformers.BertConfig(vocab_size=len(words), hidden_size=32, **size),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=10,
        max_text_len=32,
    )
    torch.manual_seed(0)
    transformers.GroundingDinoForObjectDetection(config).save_pretrained(folder)
    pictures = transformers.GroundingDinoImageProcessorPil(
        size={"shortest_edge": 64, "longest_edge": 96}
    )
    tokenizer = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True)
    transformers.GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


def write_owlv2(folder: Path) -> Path:
    """An OWLv2 of a few thousand seeded weights in transformers' layout, whose boxes vary."""
    folder.mkdir(parents=True)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    words = ["!", "<|startoftext|>", "<|endoftext|>", *letters, *(f"{one}</w>" for one in letters)]
    (folder / "vocab.json").write_text(
        json.dumps({word: number for number, word in enumerate(words)})
    )
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, pad_token="!")
    size = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.Owlv2Config(
        text_config={
            **size,
            "hidden_size": 32,
            "vocab_size": len(words),
            "max_position_embeddings": 32,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        },
        vision_config={**size, "hidden_size": 32, "image_size": 32, "patch_size": 8},
        projection_dim=32,
    )
    torch.manual_seed(4)
    network = transformers.Owlv2ForObjectDetection(config)
    with torch.no_grad():
        for name, weight in sorted(network.named_parameters()):
            if weight.ndim > 1:
                weight.copy_(tensor_for(name, weight.shape, 0.4))
    network.save_pretrained(folder)
    pictures = transformers.Owlv2ImageProcessor(size={"height": 32, "width": 32})
    transformers.Owlv2Processor(pictures, tokenizer).save_pretrained(folder)
    return folder
