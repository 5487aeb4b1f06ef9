"""From BLIP's published checkpoint to transformers' network: names, sizes, strict loading.

A checkpoint is read as tensors and nothing else: a pickle's code never runs.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import BlipConfig, BlipForQuestionAnswering

from dpgbench.compbench.errors import WeightsError

CONFIG_FILE: Final = "config.json"
VOCAB_FILE: Final = "vocab.txt"
PUBLISHED_FILE: Final = "model_base_vqa_capfilt_large.pth"
WEIGHTS_FILES: Final = ("model.safetensors", PUBLISHED_FILE, "pytorch_model.bin", "model.pth")
"""Files of weights, in the order in which a folder is searched for them."""

VOCAB_SIZE: Final = 30524
"""BERT's 30,522 words, then [DEC] and [ENC]."""
_LAYER_NORM_EPS: Final = 1e-6  # of the image encoder; transformers' default is ten times that
_PUBLISHED_WIDTH: Final = 768
_PUBLISHED_PX: Final = 480

_RENAMING: Final = (
    (r"^visual_encoder\.cls_token$", "vision_model.embeddings.class_embedding"),
    (r"^visual_encoder\.pos_embed$", "vision_model.embeddings.position_embedding"),
    (r"^visual_encoder\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"^visual_encoder\.norm\.", "vision_model.post_layernorm."),
    (
        r"^visual_encoder\.blocks\.(\d+)\.norm([12])\.",
        r"vision_model.encoder.layers.\1.layer_norm\2.",
    ),
    (
        r"^visual_encoder\.blocks\.(\d+)\.attn\.qkv\.",
        r"vision_model.encoder.layers.\1.self_attn.qkv.",
    ),
    (
        r"^visual_encoder\.blocks\.(\d+)\.attn\.proj\.",
        r"vision_model.encoder.layers.\1.self_attn.projection.",
    ),
    (r"^visual_encoder\.blocks\.(\d+)\.mlp\.", r"vision_model.encoder.layers.\1.mlp."),
)
_NOT_NEEDED: Final = re.compile(r".*\.embeddings\.position_ids|text_encoder\.pooler\..*")
_TIED: Final = {
    "text_decoder.cls.predictions.decoder.weight": (
        "text_decoder.bert.embeddings.word_embeddings.weight"
    ),
    "text_decoder.cls.predictions.decoder.bias": "text_decoder.cls.predictions.bias",
}
_NAMES_SHOWN: Final = 3


def weights_file(folder: Path) -> Path:
    """The file of weights in a folder.

    Raises:
        WeightsError: there is none.
    """
    for name in WEIGHTS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"{folder} has no weights; put {PUBLISHED_FILE} there")


def load_network(
    folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> BlipForQuestionAnswering:
    """The network with the weights of a folder, in the published or transformers' names.

    The folder may hold transformers' `config.json`; without one it is the published network:
    ViT-B/16 at 480 px, BERT-base.

    Raises:
        WeightsError: a file is missing, damaged or of another network.
    """
    config = read_config(folder)
    path = weights_file(folder)
    tensors = {our_name(name): tensor for name, tensor in read_tensors(path).items()}
    return build_network(config, tensors, path, device=device, dtype=dtype)


def build_network(
    config: BlipConfig,
    tensors: Mapping[str, Tensor],
    origin: Path | str,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BlipForQuestionAnswering:
    """The network with given tensors, by transformers' names.

    Raises:
        WeightsError: names or shapes are not those of the network.
    """
    with torch.device("meta"):
        network = BlipForQuestionAnswering(config)
    state = {
        name: tensor.to(device, dtype)
        for name, tensor in _checked(network, tensors, origin).items()
    }
    network.load_state_dict(state, assign=True, strict=True)
    for model in (network.text_encoder, network.text_decoder.bert):  # a buffer that no file holds
        number = model.embeddings.position_embeddings.num_embeddings
        model.embeddings.position_ids = torch.arange(number, device=device).expand((1, -1))
    return network.requires_grad_(False).eval()


def read_config(folder: Path) -> BlipConfig:
    """The network's sizes; the image encoder's epsilon is always the published network's.

    Raises:
        WeightsError: the file cannot be read, or is of BLIP at another image size.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        return published_config()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        config = BlipConfig(
            vision_config=values["vision_config"], text_config=values["text_config"]
        )
    except Exception as error:  # noqa: BLE001 - a damaged file can break it in any way
        raise WeightsError(
            f"{path} is no configuration of BLIP ({type(error).__name__}); remove it where the "
            "weights are the published ones"
        ) from None
    vision = config.vision_config
    if vision.hidden_size == _PUBLISHED_WIDTH and vision.image_size != _PUBLISHED_PX:
        raise WeightsError(
            f"{path}: position embeddings for {vision.image_size} px, and the metric's are for "
            f"{_PUBLISHED_PX}: this is a copy that was converted; take {PUBLISHED_FILE} itself"
        )
    vision.layer_norm_eps = _LAYER_NORM_EPS
    config.text_config.encoder_hidden_size = vision.hidden_size
    return config


def published_config() -> BlipConfig:
    """The sizes of the published network."""
    return BlipConfig(
        vision_config={
            "hidden_size": _PUBLISHED_WIDTH,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "image_size": _PUBLISHED_PX,
            "patch_size": 16,
            "layer_norm_eps": _LAYER_NORM_EPS,
        },
        text_config={
            "vocab_size": VOCAB_SIZE,
            "hidden_size": 768,
            "encoder_hidden_size": _PUBLISHED_WIDTH,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "max_position_embeddings": 512,
        },
    )


def our_name(published: str) -> str:
    """Transformers' name of a tensor of the published checkpoint; its own names stay."""
    for pattern, replacement in _RENAMING:
        renamed, number = re.subn(pattern, replacement, published)
        if number:
            return renamed
    return published


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Everything in a checkpoint, which may be nested under ``model``.

    Raises:
        WeightsError: it cannot be read as tensors, or holds code, which is not run.
    """
    try:
        content: Any
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file can break a decoder in any way
        code = re.search(r"GLOBAL `?([\w.]+)", str(error))
        what = (
            f"holds code ({code[1]}), which was not run; get weights from a source you trust"
            if code
            else f"no weights, or cut short ({path.stat().st_size:,} bytes); get it again"
        )
        raise WeightsError(f"{path}: {what}") from None
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: a {type(content).__name__} instead of named tensors")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _checked(
    network: BlipForQuestionAnswering, tensors: Mapping[str, Tensor], origin: Path | str
) -> dict[str, Tensor]:
    """The tensors that the network needs.

    Raises:
        WeightsError: some are missing, of another shape, or belong to another network.
    """
    chosen: dict[str, Tensor] = {}
    faults: dict[str, list[str]] = {"missing": [], "of another shape": [], "unexpected": []}
    wanted = network.state_dict()
    for name, parameter in wanted.items():
        tensor = tensors.get(name, tensors.get(_TIED.get(name, "")))
        if tensor is None:
            faults["missing"].append(name)
        elif tensor.shape != parameter.shape:
            shapes = f"{list(parameter.shape)} expected, {list(tensor.shape)} there"
            faults["of another shape"].append(f"{name}: {shapes}")
        else:
            chosen[name] = tensor
    faults["unexpected"] = [
        name for name in tensors if name not in wanted and not _NOT_NEEDED.fullmatch(name)
    ]
    parts = [
        f"{len(names)} {kind} ({'; '.join(names[:_NAMES_SHOWN])})"
        for kind, names in faults.items()
        if names
    ]
    if parts:
        raise WeightsError(
            f"{origin}: not the weights of BLIP's VQA network: {', '.join(parts)}; for another "
            f"size than the published one put transformers' {CONFIG_FILE} beside it"
        )
    return chosen
