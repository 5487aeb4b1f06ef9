"""What a run says when it starts: what it computes with, on how much, and what it will keep."""

from __future__ import annotations

import shutil
from typing import Any

import torch

from ella.errors import readable

_GIB = 2**30


def start_lines(trainer: Any) -> list[str]:
    """The lines, the most important one first.

    Args:
        trainer: Prepared.
    """
    lines = [_first_line(trainer), *_caches(trainer)]
    for index in getattr(trainer.pairs, "indexes", []):
        if index.num_left_out:
            first = index.left_out[0]
            lines.append(
                f"{index.root}: {index.num_left_out} left out of the index, such as {first}"
            )
        lines += index.stale()
    return [readable(line) for line in lines]


def _first_line(trainer: Any) -> str:
    accelerator, config = trainer.accelerator, trainer.config
    count = accelerator.num_processes
    samples = (config.steps - trainer.step) * trainer.global_batch
    usable = trainer.source.num_usable
    of_all = f" of {len(trainer.pairs):,}" if usable != len(trainer.pairs) else ""
    precision = "float32" if config.mixed_precision == "no" else config.mixed_precision
    words = [
        f"{count} process{'es' if count > 1 else ''} on {accelerator.device.type}",
        f"global batch {trainer.global_batch} (at most {config.batch_size} at once)",
        precision,
        f"{usable:,}{of_all} pairs",
        f"steps {trainer.step:,} to {config.steps:,}: {samples:,} samples,"
        f" {samples / usable:.2f} epochs"
        if samples > 0
        else f"{trainer.step:,} steps are done of {config.steps:,}: nothing is left to do",
    ]
    idle = torch.cuda.device_count() - count if accelerator.device.type == "cuda" else 0
    if idle > 0:
        words.append(f"{idle} GPUs idle (accelerate launch --num_processes {count + idle})")
    return "; ".join(words)


def _caches(trainer: Any) -> list[str]:
    """How large caches on disk will be, against what is free there."""
    config, number = trainer.config, trainer.source.num_usable
    size = 0
    if config.text_cache == "disk":
        tokens = getattr(trainer.text_encoder, "fixed_length", None) or 128
        size += number * tokens * trainer.base.feature_dim * 2
    if config.latent_cache == "disk":
        channels, height, width = trainer.latents.shape
        item = torch.empty((), dtype=trainer.base.vae.dtype).element_size()
        size += number * 2 * channels * height * width * item
    if not size:
        return []
    folder = trainer.cache_folder
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    short = "; THAT IS NOT ENOUGH" if size > free else ""
    return [
        f"caches fill up to about {size / _GIB:.2f} GiB in {trainer.cache_folder}"
        f" ({free / _GIB:.2f} GiB are free){short}"
    ]
