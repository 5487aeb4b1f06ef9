"""The model that a connector is trained for: loaded, checked, frozen, named by its weights.

Its networks come from folders: never from a hub, never with code of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import PartialState
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors import SafetensorError

from ella.config import ConnectorConfig
from ella.connector_base import Connector
from ella.errors import IncompleteWeightsError, TrainingError
from ella.files import module_hash
from ella.strict_loading import strict_loading
from ella.text_encoder import TextEncoder, TransformersTextEncoder
from ella.text_encoder import load_text_encoder as load_any_text_encoder
from ella.training.config import TrainConfig
from ella.training.features import downscale

DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_OTHER_CONDITIONS = ("addition_embed_type", "class_embed_type", "encoder_hid_dim_type")


@dataclass(frozen=True)
class BaseModel:
    """U-Net, VAE and noise schedule of a model, with what a connector for it must be like.

    Attributes:
        unet: A diffusers U-Net told by cross-attention alone.
        vae: An `AutoencoderKL`.
        scheduler: Any scheduler of the model; its betas and kind of prediction count.
        width: Of the tokens that the U-Net takes.
        feature_dim: Of the text features.
        image_px: Side of the pictures trained on.
    """

    unet: Any
    vae: Any
    scheduler: Any
    width: int
    feature_dim: int
    image_px: int

    @classmethod
    def of(cls, pipeline: Any, text_encoder: TextEncoder, config: TrainConfig) -> BaseModel:
        """The networks of a pipeline.

        Raises:
            ValueError: If they, or the pictures' size, do not fit together.
        """
        unet, vae, scheduler = pipeline.unet, pipeline.vae, pipeline.scheduler
        _check_unet(unet, vae)
        image_px = config.image_px or _own_size(unet, vae)
        if image_px % downscale(vae):
            raise ValueError(f"`image_px` must be a multiple of {downscale(vae)}, got {image_px}")
        width = unet.config.cross_attention_dim
        return cls(unet, vae, scheduler, width, text_encoder.feature_dim, image_px)

    def connector_config(self, sizes: Mapping[str, Any]) -> ConnectorConfig:
        """Sizes of a connector for these: `sizes`, and for the rest those of the released one."""
        return ConnectorConfig(**{"width": self.width, "input_dim": self.feature_dim, **sizes})

    def check_connector(self, connector: Connector) -> None:
        """Raise unless the connector fits between text encoder and U-Net.

        Raises:
            ValueError: If a width differs.
        """
        widths = (connector.config.input_dim, connector.config.width)
        if widths != (self.feature_dim, self.width):
            raise ValueError(
                f"`connector` goes from width {widths[0]} to {widths[1]}, but the text encoder"
                f" gives {self.feature_dim} and the U-Net takes {self.width}"
            )

    def freeze(self, device: torch.device, config: TrainConfig) -> None:
        """Move the networks to their device and precision, evaluating, unable to learn."""
        dtype = DTYPES[config.mixed_precision]
        for network in (self.unet, self.vae):
            network.requires_grad_(False).eval().to(device)
            if network.dtype != dtype:
                network.to(dtype)
        if config.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def identity(self) -> dict[str, str]:
        """Hashes of the weights."""
        return {"U-Net": module_hash(self.unet), "VAE": module_hash(self.vae)}


def _check_unet(unet: Any, vae: Any) -> None:
    for name in _OTHER_CONDITIONS:
        if unet.config.get(name) is not None:
            raise ValueError(
                f"`pipeline.unet` wants more than text tokens ({name}: {unet.config[name]!r});"
                " only U-Nets told by cross-attention alone can be trained for, such as SD 1.x's"
            )
    if not isinstance(unet.config.cross_attention_dim, int):
        raise ValueError(
            "`pipeline.unet.config.cross_attention_dim` must be one number, got"
            f" {unet.config.cross_attention_dim!r}"
        )
    if unet.config.in_channels != vae.config.latent_channels:
        raise ValueError(
            f"`pipeline.unet` takes {unet.config.in_channels} channels, but the VAE gives"
            f" {vae.config.latent_channels}; inpainting models cannot be trained for"
        )


def _own_size(unet: Any, vae: Any) -> int:
    if not isinstance(unet.config.sample_size, int):
        raise ValueError(
            "`image_px` must be given: `pipeline.unet.config.sample_size` is"
            f" {unet.config.sample_size!r}"
        )
    return unet.config.sample_size * downscale(vae)


@dataclass(frozen=True)
class Networks:
    """The parts of a diffusers model that training needs, as `train_connector` takes them."""

    unet: Any
    vae: Any
    scheduler: Any


def load_base(folder: Path) -> Networks:
    """U-Net, VAE and noise schedule of a diffusers model.

    Raises:
        TrainingError: If one of them is not there.
    """
    safe = {"local_files_only": True, "use_safetensors": True}
    try:
        with strict_loading(str(folder)):
            return Networks(
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
    folder: Path,
    device: Literal["auto", "cpu"],
    num_tokens: int,
    *,
    hidden_layer: int | None = None,
    dtype: str = "auto",
) -> TransformersTextEncoder:
    """A language model and its tokenizer: of a T5 its encoder, of another kind the `AutoModel`.

    Args:
        folder: Of both.
        device: `auto` is the accelerator, where there is one.
        num_tokens: Under fixed length.
        hidden_layer: As in `TransformersTextEncoder`.
        dtype: `auto` is float16 on an accelerator, float32 on a CPU.

    Raises:
        EllaError: If it cannot be loaded.
        ValueError: If there is no such layer.
    """
    return load_any_text_encoder(
        Path(folder),
        dtype=None if dtype == "auto" else getattr(torch, dtype),
        device=PartialState(cpu=device == "cpu").device,
        fixed_length=num_tokens,
        hidden_layer=hidden_layer,
        local_files_only=True,
    )
