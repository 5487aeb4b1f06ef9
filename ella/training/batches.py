"""Batches for the loop: pictures read and noise drawn, ahead of time where workers do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ella.training.config import TrainConfig
from ella.training.data import ImagePairs, to_pixels
from ella.training.randomness import NoiseRule, draw_sample, micro_batches


class Batch(NamedTuple):
    """Some samples, on the CPU.

    Attributes:
        pairs: Index of each pair.
        texts: Captions, the empty text where dropped.
        pixels: `[B, 3, px, px]` from -1 to 1; None where latents are cached.
        timesteps: `[B]`.
        noise: `[B, C, h, w]`.
        latent_noise: `[B, C, h, w]`.
    """

    pairs: list[int]
    texts: list[str]
    pixels: Tensor | None
    timesteps: Tensor
    noise: Tensor
    latent_noise: Tensor


@dataclass(frozen=True)
class Samples(Dataset[Batch]):
    """Sample n of a data set, as a batch of one.

    Attributes:
        pairs: The data set.
        config: Seed and caption dropout.
        latent_shape: Of the noise.
        num_timesteps: Of the noise's schedule.
        image_px: Side of the pictures; None if they need not be read.
    """

    pairs: ImagePairs
    config: TrainConfig
    latent_shape: tuple[int, int, int]
    num_timesteps: int
    image_px: int | None

    def __getitem__(self, sample: tuple[int, int]) -> Batch:
        number, index = sample
        draw = draw_sample(
            self.config.seed,
            number,
            latent_shape=self.latent_shape,
            num_timesteps=self.num_timesteps,
            dropout=self.config.caption_dropout,
            rule=NoiseRule.of(self.config),
        )
        return Batch(
            pairs=[index],
            texts=["" if draw.dropped else self.pairs.text(index)],
            pixels=None
            if self.image_px is None
            else to_pixels(self.pairs.image(index), self.image_px)[None],
            timesteps=torch.tensor([draw.timestep]),
            noise=draw.noise[None],
            latent_noise=draw.latent_noise[None],
        )

    def batches(self, first_step: int, process: int, num_processes: int) -> Iterator[Batch]:
        """This process's batches, one a micro-step, from `first_step` to the last step."""
        loader = DataLoader(
            self,
            batch_sampler=_Numbers(
                self.config, len(self.pairs), first_step, process, num_processes
            ),
            num_workers=self.config.workers,
            collate_fn=join_samples,
            generator=torch.Generator(),  # its own: the global one is the caller's
        )
        return iter(loader)


@dataclass(frozen=True)
class _Numbers:
    """The batches' sample numbers, as `DataLoader` wants them: something to iterate over."""

    config: TrainConfig
    num_pairs: int
    first_step: int
    process: int
    num_processes: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return micro_batches(
            self.config,
            self.num_pairs,
            first_step=self.first_step,
            process=self.process,
            num_processes=self.num_processes,
        )


def join_samples(batches: Sequence[Batch]) -> Batch:
    """Samples as one batch, in their order."""
    pixels = [batch.pixels for batch in batches if batch.pixels is not None]
    return Batch(
        pairs=[batch.pairs[0] for batch in batches],
        texts=[batch.texts[0] for batch in batches],
        pixels=torch.cat(pixels) if pixels else None,
        timesteps=torch.cat([batch.timesteps for batch in batches]),
        noise=torch.cat([batch.noise for batch in batches]),
        latent_noise=torch.cat([batch.latent_noise for batch in batches]),
    )
