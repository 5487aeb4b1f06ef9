"""A Stable Diffusion 1.x checkpoint in one file, as most fine-tuned ones are passed on.

Such a file holds tensors alone. Configuration and tokenizer are read from the folder that it lies
in, if that is in diffusers' layout, else from the hub's copy of Stable Diffusion 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dpgbench.backends.entries import HuggingFace
from dpgbench.backends.weights.locate import fetch_from_hub
from dpgbench.errors import SetupError, reason_of, shortened

CONFIGURED_BY = "stable-diffusion-v1-5/stable-diffusion-v1-5"
_CONFIGURATION = ("model_index.json", "*/*.json", "*/merges.txt")
_PICKLES = (".ckpt", ".pt", ".pth", ".bin")
_UNET = "model.diffusion_model."
_PARTS = {"U-Net": _UNET, "VAE": "first_stage_model.", "text encoder": "cond_stage_model."}
_SDXL = "conditioner.embedders."
_CONVERT = (
    'convert it where there is a network: python -c "from diffusers import {pipeline} as P; '
    "P.from_single_file('{path}').save_pretrained('FOLDER')\", and give the folder"
)


def load_single_file(path: Path, dtype: Any) -> Any:
    """Return the Stable Diffusion pipeline in a safetensors file.

    Args:
        path: the file.
        dtype: torch's.

    Raises:
        SetupError: it is damaged, a pickle, another kind of model, or lacks tensors; or its
            configuration is not on this machine.
    """
    from diffusers import StableDiffusionPipeline

    check_single_file(path)
    pipeline = StableDiffusionPipeline.from_single_file(
        str(path),
        config=str(configuration_of(path)),
        torch_dtype=dtype,
        local_files_only=True,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    for name in ("unet", "vae", "text_encoder"):
        _refuse_unfilled(path, name, getattr(pipeline, name))
    return pipeline


def check_single_file(path: Path) -> None:
    """Raise where a file is not a Stable Diffusion 1.x checkpoint as safetensors.

    Raises:
        SetupError: names what it is, as far as its tensors show, and what to do.
    """
    shapes = _shapes(path)
    lacking = [part for part, prefix in _PARTS.items() if not any(map(_begins(prefix), shapes))]
    convert = _CONVERT.format(pipeline="StableDiffusionPipeline", path=path)
    if any(map(_begins(_SDXL), shapes)):
        raise SetupError(
            f"{path} is a Stable Diffusion XL checkpoint, not 1.x; "
            f"{_CONVERT.format(pipeline='StableDiffusionXLPipeline', path=path)} as "
            "--model hf:FOLDER"
        )
    if lacking:
        raise SetupError(
            f"{path} is no whole Stable Diffusion 1.x checkpoint: it has no "
            f"{' and no '.join(lacking)} ({len(shapes)} tensors, such as "
            f"{shortened(sorted(shapes), 2)}); give a whole checkpoint, or a folder in diffusers' "
            "layout"
        )
    channels = (shapes.get(f"{_UNET}input_blocks.0.0.weight") or [0, 4])[1]
    if channels != 4:
        raise SetupError(
            f"{path} is an inpainting or editing checkpoint (its U-Net takes {channels} channels), "
            "which does not draw from text alone; give a text-to-image checkpoint"
        )
    width = next(
        (shape[1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")), None
    )
    if width == 1024:
        raise SetupError(
            f"{path} is a Stable Diffusion 2 checkpoint, not 1.x; {convert} as --model hf:FOLDER"
        )


def configuration_of(path: Path) -> Path:
    """Return the folder whose configuration and tokenizer a single file is read with.

    Raises:
        SetupError: it is not on this machine and cannot be fetched.
    """
    beside = path.resolve().parent
    if (beside / "model_index.json").is_file():
        return beside
    return fetch_from_hub(
        HuggingFace(CONFIGURED_BY, required=_CONFIGURATION[:1], files=_CONFIGURATION),
        subject=f"{path} is a single file; its configuration and tokenizer (2 MB) are",
        otherwise=(
            "or put them (model_index.json and the folders' *.json and merges.txt) beside the "
            f"file; or {_CONVERT.format(pipeline='StableDiffusionPipeline', path=path)}"
        ),
    )


def _shapes(path: Path) -> Mapping[str, list[int]]:
    """Return the shape of each tensor in a safetensors file."""
    from safetensors import SafetensorError, safe_open

    with path.open("rb") as stream:
        start = stream.read(4)
    pickled = start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))
    if pickled or (path.suffix.lower() in _PICKLES and start[:1] == b"\x80"):
        raise SetupError(
            f"{path} is a pickle (PyTorch) file, which could run code and is never opened; take "
            "the safetensors file, or convert this one where you trust it"
        )
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise SetupError(
            f"{path} is a single file, but cut short, damaged or not safetensors "
            f"({reason_of(error)}); download it again, or give a folder in diffusers' layout "
            "(model_index.json)"
        ) from error


def _begins(prefix: str) -> Any:
    return lambda name: name.startswith(prefix)


def _refuse_unfilled(path: Path, name: str, network: Any) -> None:
    unfilled = sorted(key for key, tensor in network.named_parameters() if tensor.is_meta)
    if unfilled:
        raise SetupError(
            f"{path} lacks {len(unfilled)} tensors of the {name} ({shortened(unfilled, 3)}), or "
            "has them in another shape; download it again, or give another checkpoint"
        )
