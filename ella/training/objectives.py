"""What the denoiser is shown and what it should answer: every objective, in one table.

A scheduler's class says how noise comes into latents (`SCHEDULES`), its configuration what is
predicted (`PREDICTIONS`). A class that is not in the table is refused: training on a noise that
the model never saw gives a loss that falls and a connector that is useless.

Shape suffixes: b samples, t steps of the schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor

from ella.files import text_hash


@dataclass(frozen=True)
class Levels:
    """Signal and noise of samples: what is shown is `signal * latents + noise * drawn noise`.

    Attributes:
        signal: `[B, 1, 1, 1]`.
        noise: `[B, 1, 1, 1]`.
    """

    signal: Tensor
    noise: Tensor

    @property
    def snr(self) -> Tensor:
        """Signal to noise, squared: `[B]`, zero where nothing is left of the picture."""
        return (self.signal / self.noise).square().flatten()


@dataclass(frozen=True)
class Prediction:
    """What a network answers.

    Attributes:
        target: From latents, noise and levels.
        min_snr: Loss weight `[B]` for `[B]` signal-to-noise ratios and a gamma: the clamped weight
            on the error of the picture, as one on the error of the answer.
    """

    target: Callable[[Tensor, Tensor, Levels], Tensor]
    min_snr: Callable[[Tensor, float], Tensor]


def _noise(latents: Tensor, noise: Tensor, levels: Levels) -> Tensor:
    return noise


def _velocity(latents: Tensor, noise: Tensor, levels: Levels) -> Tensor:
    return levels.signal * noise - levels.noise * latents


def _flow(latents: Tensor, noise: Tensor, levels: Levels) -> Tensor:
    return noise - latents


def _min_snr_of_noise(snr: Tensor, gamma: float) -> Tensor:
    return (gamma / snr).clamp(
        max=1.0
    )  # 1 at zero terminal SNR, where min(snr, gamma) / snr is 0/0


def _min_snr_of_velocity(snr: Tensor, gamma: float) -> Tensor:
    return snr.clamp(max=gamma) / (snr + 1)


def _min_snr_of_flow(snr: Tensor, gamma: float) -> Tensor:
    noise = 1 / (1 + snr.sqrt())  # signal + noise = 1
    return snr.clamp(max=gamma) * noise.square()


PREDICTIONS: dict[str, Prediction] = {
    "epsilon": Prediction(_noise, _min_snr_of_noise),
    "v_prediction": Prediction(_velocity, _min_snr_of_velocity),
    "flow": Prediction(_flow, _min_snr_of_flow),
}
"""Kinds of answers. Min-SNR: arXiv 2303.09556, equation 9 and appendix."""

DIFFUSION, FLOW = "diffusion", "flow"
SCHEDULES: dict[str, str] = {
    "DDIMParallelScheduler": DIFFUSION,
    "DDIMScheduler": DIFFUSION,
    "DDPMParallelScheduler": DIFFUSION,
    "DDPMScheduler": DIFFUSION,
    "DEISMultistepScheduler": DIFFUSION,
    "DPMSolverMultistepScheduler": DIFFUSION,
    "DPMSolverSDEScheduler": DIFFUSION,
    "DPMSolverSinglestepScheduler": DIFFUSION,
    "EulerAncestralDiscreteScheduler": DIFFUSION,
    "EulerDiscreteScheduler": DIFFUSION,
    "FlowMatchEulerDiscreteScheduler": FLOW,
    "FlowMatchHeunDiscreteScheduler": FLOW,
    "HeunDiscreteScheduler": DIFFUSION,
    "KDPM2AncestralDiscreteScheduler": DIFFUSION,
    "KDPM2DiscreteScheduler": DIFFUSION,
    "LMSDiscreteScheduler": DIFFUSION,
    "PNDMScheduler": DIFFUSION,
    "UniPCMultistepScheduler": DIFFUSION,
}
"""Classes of diffusers, by what they make noisy latents of: betas, or a straight line.

Not here, so refused: EDM's, consistency models' and those of distilled models (LCM, TCD), whose
networks answer something else.
"""


class Objective:
    """Noise, target and loss of a model, on its own schedule.

    Args:
        scheduler: Of diffusers; its class, its schedule and its kind of prediction count.
        min_snr_gamma: Of the loss weights; 0 for none.
        zero_terminal_snr: Whether betas are rescaled so that nothing of the picture is left at the
            last step (arXiv 2305.08891); so they are too where the scheduler's own configuration
            says so.

    Raises:
        ValueError: If the schedule or the kind of prediction is not in the tables.
    """

    def __init__(
        self, scheduler: Any, min_snr_gamma: float = 0.0, *, zero_terminal_snr: bool = False
    ) -> None:
        self.kind = schedule_kind(type(scheduler).__name__, scheduler.config)
        self._gamma = min_snr_gamma
        if self.kind == FLOW:
            if zero_terminal_snr:
                raise ValueError(
                    "`zero_terminal_snr` rescales betas, and flow matching has none: its last step"
                    " is noise alone as it is; leave it out"
                )
            self.prediction = "flow"
            self._signal_t, self._noise_t, self._timestep_t = _flow_levels(scheduler)
        else:
            self.prediction = _prediction_of(scheduler.config)
            self._alphas = _alphas(scheduler, zero_terminal_snr)
            self._signal_t, self._noise_t = self._alphas**0.5, (1 - self._alphas) ** 0.5
            self._timestep_t = torch.arange(len(self._alphas))
        self.num_timesteps = len(self._signal_t)
        self._ends_in_noise = float(self._signal_t[-1]) == 0

    def identity(self) -> str:
        """What tells the objective from others: a hash of the schedule and the prediction."""
        schedule = self._noise_t if self.kind == FLOW else self._alphas
        return text_hash(f"{self.prediction} {schedule.tolist()}")

    def to(self, device: torch.device) -> Objective:
        """Have the tables on a device, so that no step waits for them."""
        for name in ("_signal_t", "_noise_t", "_timestep_t"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def timesteps(self, steps: Tensor) -> Tensor:
        """What connector and denoiser are given at steps of the schedule `[B]`, from 0."""
        return self._timestep_t.to(steps.device)[steps]

    def noisy(self, latents: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """The latents with as much noise as their steps say."""
        levels = self._levels(latents, steps)
        return levels.signal * latents + levels.noise * noise

    def target(self, latents: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """What the denoiser should answer."""
        return PREDICTIONS[self.prediction].target(latents, noise, self._levels(latents, steps))

    def error(self, predicted: Tensor, latents: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        """Mean squared error `[B]` of each sample, weighted, in float32."""
        squared = (predicted.float() - self.target(latents, noise, steps).float()).square()
        return squared.flatten(1).mean(1) * self.weights(steps)

    def weights(self, steps: Tensor) -> Tensor:
        """Min-SNR weights `[B]` for the kind of prediction, or ones; finite at every step.

        A velocity's weight is min(snr, gamma) / (snr + 1), which is 0 where nothing of the picture
        is left. A schedule that ends there is trained to draw from there: then it is
        min(snr + 1, gamma) / (snr + 1), so that the last steps count.
        """
        if not self._gamma:
            return torch.ones_like(steps, dtype=torch.float32)
        snr = Levels(self._signal_t.to(steps.device)[steps], self._noise_t.to(steps.device)[steps])
        if self._ends_in_noise and self.prediction == "v_prediction":
            return (self._gamma / (snr.snr + 1)).clamp(max=1.0)
        return PREDICTIONS[self.prediction].min_snr(snr.snr, self._gamma)

    def _levels(self, latents: Tensor, steps: Tensor) -> Levels:
        shape = (-1, *[1] * (latents.ndim - 1))
        signal, noise = self._signal_t.to(latents), self._noise_t.to(latents)
        return Levels(signal[steps].view(shape), noise[steps].view(shape))


def schedule_kind(name: str, config: Any) -> str:
    """`diffusion` or `flow`, for a scheduler's class and configuration.

    Raises:
        ValueError: If the class is not in the table.
    """
    kind = SCHEDULES.get(name)
    if kind is None:
        raise ValueError(
            f"`scheduler` is a {name}, whose noise no connector can be trained on here; give a base"
            f" with one of {', '.join(SCHEDULES)}"
        )
    if kind == DIFFUSION and config.get("use_flow_sigmas"):
        return FLOW
    return kind


def _prediction_of(config: Any) -> str:
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", "v_prediction"):
        raise ValueError(
            "`scheduler.config.prediction_type` must be 'epsilon' or 'v_prediction', got"
            f" {prediction!r}"
        )
    return str(prediction)


def _alphas(scheduler: Any, zero_terminal_snr: bool) -> Tensor:
    config = dict(scheduler.config)
    if zero_terminal_snr:
        config["rescale_betas_zero_snr"] = True
        config.pop("_use_default_values", None)  # names it as one to be left at its default
    alphas: Tensor = DDPMScheduler.from_config(config).alphas_cumprod
    return alphas


def _flow_levels(scheduler: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Signal, noise and timestep of each step, from the least noise to noise alone."""
    config = scheduler.config
    num_steps = int(config.num_train_timesteps)
    noise_t = torch.arange(1, num_steps + 1, dtype=torch.float32) / num_steps
    shift = float(config.get("shift") or config.get("flow_shift") or 1.0)
    if not config.get("use_dynamic_shifting"):  # else it depends on the number of latents drawn
        noise_t = shift * noise_t / (1 + (shift - 1) * noise_t)
    return 1 - noise_t, noise_t, noise_t * num_steps
