"""All randomness of training: what sample number n is, and what is drawn for it.

Sample n is the n-th picture-caption pair that training looks at, whoever looks at it: batches,
micro-steps and processes only share the numbers out. So nothing depends on a generator's past:
a resumed run draws what an uninterrupted one draws, and two processes, or two micro-steps, what
one with twice the batch draws.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ella.training.config import TimestepSampling, TrainConfig

_SAMPLE = 2  # a kind of randomness; ella.data.order has the others


class Draw(NamedTuple):
    """What is random about a sample.

    Attributes:
        timestep: Of the noise, from 0.
        dropped: Whether the empty text stands for the caption.
        noise: Of the latents' shape, standard normal: what the U-Net is to find.
        latent_noise: The same, for drawing the latents from the VAE's distribution.
    """

    timestep: int
    dropped: bool
    noise: Tensor
    latent_noise: Tensor


class NoiseRule(NamedTuple):
    """How noise and timesteps are drawn; each field as the setting of its name.

    Attributes:
        timestep_sampling: How steps of the schedule are drawn.
        timestep_mean: Of the normal number behind `logit-normal`.
        timestep_std: Its standard deviation.
        offset_noise: Strength of the noise that is one number a channel.
    """

    timestep_sampling: TimestepSampling = "uniform"
    timestep_mean: float = 0.0
    timestep_std: float = 1.0
    offset_noise: float = 0.0

    @classmethod
    def of(cls, config: TrainConfig) -> NoiseRule:
        """As the settings say."""
        return cls(*(getattr(config, name) for name in cls._fields))


def draw_sample(
    seed: int,
    number: int,
    *,
    latent_shape: tuple[int, ...],
    num_timesteps: int,
    dropout: float,
    rule: NoiseRule = NoiseRule(),  # noqa: B008 - it never changes
) -> Draw:
    """What is drawn for sample `number`; it follows from the arguments alone."""
    generator = np.random.default_rng([_SAMPLE, seed, number])
    timestep = _draw_timestep(generator, num_timesteps, rule)
    dropped = bool(generator.random() < dropout)
    noise = torch.from_numpy(generator.standard_normal((2, *latent_shape), dtype=np.float32))
    shown = noise[0]
    if rule.offset_noise:
        channels = (latent_shape[0], *[1] * (len(latent_shape) - 1))
        offset = generator.standard_normal(channels, dtype=np.float32)
        shown = shown + rule.offset_noise * torch.from_numpy(offset)
    return Draw(timestep, dropped, shown, noise[1])


def _draw_timestep(generator: np.random.Generator, num_timesteps: int, rule: NoiseRule) -> int:
    if rule.timestep_sampling == "uniform":
        return int(generator.integers(num_timesteps))
    if rule.timestep_sampling == "cubic":
        share = 1 - generator.random() ** 3
    else:
        share = 1 / (1 + np.exp(-generator.normal(rule.timestep_mean, rule.timestep_std)))
    return min(num_timesteps - 1, int(share * num_timesteps))
