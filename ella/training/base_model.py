"""The model that a connector is trained for: loaded, checked, frozen, named by its weights.

Its networks come from folders: never from a hub, never with code of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
from accelerate import PartialState
from diffusers import AutoencoderKL
from safetensors import SafetensorError

from ella.config import ConnectorConfig
from ella.connector_base import Connector
from ella.errors import IncompleteWeightsError, TrainingError, one_line
from ella.files import module_hash
from ella.strict_loading import strict_loading
from ella.text_encoder import TextEncoder, TransformersTextEncoder
from ella.text_encoder import load_text_encoder as load_any_text_encoder
from ella.training.config import TrainConfig
from ella.training.denoisers import DENOISERS, Denoiser, denoiser_of
from ella.training.features import downscale
from ella.training.objectives import SCHEDULES

LONGEST_WAIT = timedelta(hours=6)
"""For the other processes: while one of them looks at the weights, the others wait."""
DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class BaseModel:
    """Denoiser, VAE and noise schedule of a model, with what a connector for it must be like.

    Attributes:
        denoiser: The network that the tokens are for.
        vae: An `AutoencoderKL`.
        scheduler: Any scheduler of the model; its schedule and kind of prediction count.
        feature_dim: Of the text features.
        image_px: Side of the pictures trained on.
    """

    denoiser: Denoiser
    vae: Any
    scheduler: Any
    feature_dim: int
    image_px: int

    @classmethod
    def of(cls, pipeline: Any, text_encoder: TextEncoder, config: TrainConfig) -> BaseModel:
        """The networks of a pipeline.

        Raises:
            ValueError: If they, or the pictures' size, do not fit together.
        """
        denoiser, vae = denoiser_of(pipeline), pipeline.vae
        _check_channels(denoiser, vae)
        image_px = config.image_px or _own_size(denoiser, vae)
        if image_px % downscale(vae):
            raise ValueError(f"`image_px` must be a multiple of {downscale(vae)}, got {image_px}")
        if config.largest_aspect > 1 and config.bucket_px % downscale(vae):
            raise ValueError(
                f"`bucket_px` must be a multiple of {downscale(vae)}, got {config.bucket_px}"
            )
        return cls(denoiser, vae, pipeline.scheduler, text_encoder.feature_dim, image_px)

    def connector_config(self, sizes: Mapping[str, Any]) -> ConnectorConfig:
        """Sizes of a connector for these: `sizes`, and for the rest those of the released one."""
        fitted = {
            "width": self.denoiser.width,
            "pooled_width": self.denoiser.pooled_width,
            "input_dim": self.feature_dim,
        }
        return ConnectorConfig(**{**fitted, **sizes})

    def check_connector(self, connector: Connector) -> None:
        """Raise unless the connector fits between text encoder and denoiser.

        Raises:
            ValueError: If a width differs.
        """
        config, denoiser = connector.config, self.denoiser
        network = "U-Net" if denoiser.part == "unet" else denoiser.part
        if (config.input_dim, config.width) != (self.feature_dim, denoiser.width):
            raise ValueError(
                f"`connector` goes from width {config.input_dim} to {config.width}, but the text"
                f" encoder gives {self.feature_dim} and the {network} takes {denoiser.width}"
            )
        if config.pooled_width != denoiser.pooled_width:
            raise ValueError(
                f"`connector` gives a pooled embedding of width {config.pooled_width}, but the"
                f" {network} takes one of width {denoiser.pooled_width} (0: none)"
            )

    def freeze(self, device: torch.device, config: TrainConfig) -> None:
        """Move the networks to their device and precision, evaluating, unable to learn."""
        dtype = DTYPES[config.mixed_precision]
        narrow = dtype == torch.float16 and self.denoiser.vae_in_float32
        wanted = {self.denoiser.network: dtype, self.vae: torch.float32 if narrow else dtype}
        for network, own in wanted.items():
            network.requires_grad_(False).eval().to(device)
            if network.dtype != own:
                network.to(own)
        if config.gradient_checkpointing:
            self.denoiser.network.enable_gradient_checkpointing()

    def identity(self) -> dict[str, str]:
        """Hashes of the weights."""
        name = "U-Net" if self.denoiser.part == "unet" else self.denoiser.part
        return {name: module_hash(self.denoiser.network), "VAE": module_hash(self.vae)}


def _check_channels(denoiser: Denoiser, vae: Any) -> None:
    if denoiser.in_channels != vae.config.latent_channels:
        raise ValueError(
            f"`pipeline.{denoiser.part}` takes {denoiser.in_channels} channels, but the VAE gives"
            f" {vae.config.latent_channels}; inpainting models cannot be trained for"
        )


def _own_size(denoiser: Denoiser, vae: Any) -> int:
    if not isinstance(denoiser.sample_size, int):
        raise ValueError(
            f"`image_px` must be given: `pipeline.{denoiser.part}.config.sample_size` is"
            f" {denoiser.sample_size!r}"
        )
    return denoiser.sample_size * downscale(vae)


@dataclass(frozen=True)
class Networks:
    """The parts of a diffusers model that training needs, as `train_connector` takes them.

    Attributes:
        unet: The denoiser, where it is a U-Net.
        vae: An `AutoencoderKL`.
        scheduler: Of the class that the folder names.
        transformer: The denoiser, where it is a transformer.
    """

    unet: Any
    vae: Any
    scheduler: Any
    transformer: Any = None


def load_base(folder: Path) -> Networks:
    """Denoiser, VAE and noise schedule of a diffusers model, each of the class that it names.

    Raises:
        TrainingError: If one of them is not there.
        ValueError: If its denoiser or its scheduler is of a class that cannot be trained with.
    """
    safe = {"local_files_only": True, "use_safetensors": True}
    part = "transformer" if (folder / "transformer").is_dir() else "unet"
    name = _class_in(folder / part / "config.json", "UNet2DConditionModel", DENOISERS)
    schedule = _class_in(folder / "scheduler" / "scheduler_config.json", "", SCHEDULES)
    try:
        with strict_loading(str(folder)):
            network = getattr(diffusers, name).from_pretrained(folder / part, **safe)
            vae = AutoencoderKL.from_pretrained(folder / "vae", **safe)
            scheduler = getattr(diffusers, schedule).from_pretrained(
                folder / "scheduler", local_files_only=True
            )
        if part == "unet":
            return Networks(network, vae, scheduler)
        return Networks(None, vae, scheduler, network)
    except IncompleteWeightsError as error:
        raise TrainingError(str(error)) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(
            f"{folder}: no diffusers model with unet, vae and scheduler ({error})"
        ) from error


def _class_in(file: Path, usual: str, table: Mapping[str, Any]) -> str:
    """The class that a configuration of diffusers names; `usual` where it names none.

    Raises:
        TrainingError: If the file is not there, or names a class that is not in the table.
    """
    try:
        name = json.loads(file.read_text(encoding="utf-8")).get("_class_name", usual)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise TrainingError(
            f"{file.parents[1]}: no diffusers model with unet, vae and scheduler"
            f" ({file.relative_to(file.parents[1])}: {one_line(error)})"
        ) from error
    if name not in table:
        raise TrainingError(
            f"{file}: is of the class {name or '(none named)'}, with which no connector can be"
            f" trained; give a base with one of {', '.join(table)}"
        )
    return str(name)


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
        device=PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT).device,
        fixed_length=num_tokens,
        hidden_layer=hidden_layer,
        local_files_only=True,
    )
