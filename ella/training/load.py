"""Models for training, from folders: never from a hub, never with code of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer

from ella.errors import EllaError, IncompleteWeightsError
from ella.strict import strict_loading
from ella.text_encoder import T5TextEncoder, TransformersTextEncoder
from ella.training.errors import TrainingError


@dataclass(frozen=True)
class Base:
    """The parts of a diffusers model that training needs, as `train_connector` takes them."""

    unet: Any
    vae: Any
    scheduler: Any


def load_base(folder: Path) -> Base:
    """U-Net, VAE and noise schedule of a diffusers model.

    Raises:
        TrainingError: If one of them is not there.
    """
    safe = {"local_files_only": True, "use_safetensors": True}
    try:
        with strict_loading(str(folder)):
            return Base(
                UNet2DConditionModel.from_pretrained(folder / "unet", **safe),
                AutoencoderKL.from_pretrained(folder / "vae", **safe),
                DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
            )
    except IncompleteWeightsError as error:
        raise TrainingError(str(error)) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(
            f"{folder}: no diffusers model with unet, vae and scheduler ({error})"
        ) from error


def load_text_encoder(
    folder: Path, device: Literal["auto", "cpu"], num_tokens: int
) -> TransformersTextEncoder:
    """A language model and its tokenizer: of a T5 its encoder, of another kind the `AutoModel`.

    In float16 on an accelerator, in float32 on a CPU.

    Raises:
        EllaError: If it cannot be loaded.
    """
    where = PartialState(cpu=device == "cpu").device
    try:
        kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
        if kind == "t5":
            return T5TextEncoder.from_pretrained(folder, device=where, fixed_length=num_tokens)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        dtype = torch.float32 if where.type == "cpu" else torch.float16
        with strict_loading(str(folder)):
            model = AutoModel.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
    except EllaError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{folder}: no language model with its tokenizer ({error})") from error
    return TransformersTextEncoder(
        model.requires_grad_(False).to(where), tokenizer, fixed_length=num_tokens
    )
