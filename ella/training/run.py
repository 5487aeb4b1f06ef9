"""The way in: `train_connector`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ella.config import ConnectorConfig
from ella.connector_base import Connector
from ella.text_encoder import TextEncoder
from ella.training.base_model import BaseModel
from ella.training.config import TrainConfig
from ella.training.data import ImagePairs
from ella.training.looks import Looks
from ella.training.tracking import check_trackers
from ella.training.trainer import Trainer


def new_connector(config: ConnectorConfig, seed: int = 0) -> Connector:
    """An untrained connector whose first weights follow from `seed` alone.

    torch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Connector.of(config)


def train_connector(
    pipeline: Any,
    text_encoder: TextEncoder,
    pairs: ImagePairs,
    out: str | Path,
    config: TrainConfig | None = None,
    *,
    connector: Connector | None = None,
    cache_folder: str | Path | None = None,
    progress: bool = True,
    looks: Looks | None = None,
) -> Path:
    """Train a connector, or go on where `out` says that training stopped.

    Stopping at any moment, also by a kill, and calling again with the same arguments gives on a
    CPU the weights that an uninterrupted call gives, bit for bit.

    Args:
        pipeline: Anything with `unet` or `transformer`, `vae` and `scheduler`, such as a pipeline
            of Stable Diffusion, SDXL or PixArt. Denoiser and VAE are moved to the device, frozen,
            and left in the precision trained in.
        text_encoder: The language model; only asked, never changed.
        pairs: Pictures and captions.
        out: Folder for checkpoints, `metrics.jsonl` and the finished files.
        config: How to train.
        connector: What to begin with, trained in place in float32; by default a new one of the
            released sizes, fitted to denoiser and text encoder.
        cache_folder: Where caches on disk are; by default `out`/cache. Runs may share one.
        progress: Whether to show progress bars, on standard error.
        looks: What is looked at where `look_every` or `look_at` say so.

    Returns:
        `out`/connector.safetensors; beside it, with `ema_decay`, connector-ema.safetensors.

    Raises:
        ValueError: If the models, the text encoder or the settings do not fit together.
        TrainingDataError: If a picture cannot be used.
        ResumeError: If `out` holds a checkpoint of other settings, models or data.
        TrainingError: If the loss is no number any more.
        OSError: If the disk refuses; what is there is whole, and the same call resumes.
    """
    trainer = build_trainer(
        pipeline,
        text_encoder,
        pairs,
        out,
        config,
        connector=connector,
        progress=progress,
        looks=looks,
    )
    trainer.prepare(Path(cache_folder or Path(out) / "cache"))
    return trainer.run()


def build_trainer(
    pipeline: Any,
    text_encoder: TextEncoder,
    pairs: ImagePairs,
    out: str | Path,
    config: TrainConfig | None = None,
    *,
    connector: Connector | None = None,
    sizes: Mapping[str, Any] | None = None,
    progress: bool = True,
    looks: Looks | None = None,
) -> Trainer:
    """What `train_connector` runs, checked and with nothing written yet.

    Args:
        pipeline: As in `train_connector`, like all that is not named here.
        text_encoder: Likewise.
        pairs: Likewise.
        out: Likewise.
        config: Likewise.
        connector: Likewise.
        sizes: Of a new connector, and its kind, where they are not those of the released one.
        progress: Likewise.
        looks: Likewise.

    Raises:
        ValueError: If the models, the text encoder or the settings do not fit together.
    """
    config = config or TrainConfig()
    base = BaseModel.of(pipeline, text_encoder, config)
    connector = connector or new_connector(base.connector_config(sizes or {}), config.seed)
    base.check_connector(connector)
    check_trackers(config)
    return Trainer(
        base, text_encoder, pairs, connector, config, Path(out), progress=progress, looks=looks
    )
