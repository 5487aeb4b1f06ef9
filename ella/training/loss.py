"""The objective: noise on the latents, the connector's tokens, the U-Net's guess, its error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler
from torch import Tensor, nn

from ella.connector_base import Connector
from ella.files import text_hash


class TokensOfTexts(nn.Module):
    """A connector for texts of different lengths: those of one length go through together."""

    def __init__(self, connector: Connector) -> None:
        super().__init__()
        self.connector = connector

    def forward(self, features: Sequence[Tensor], timesteps: Tensor) -> Tensor:
        """Tokens `[B, num_latents, width]`.

        Args:
            features: `[tokens, input_dim]` for each text.
            timesteps: `[B]`.
        """
        groups: dict[int, list[int]] = {}
        for i, feature in enumerate(features):
            groups.setdefault(len(feature), []).append(i)
        tokens = [
            self.connector(torch.stack([features[i] for i in members]), timesteps[members])
            for members in groups.values()
        ]
        place = [i for members in groups.values() for i in members]
        return torch.cat(tokens)[torch.tensor(place, device=timesteps.device).argsort()]


class Denoising:
    """What the U-Net is shown and what it should answer, on the model's own noise schedule.

    Args:
        scheduler: The model's, of any kind; its betas and its kind of prediction count.
        min_snr_gamma: Of the loss weights (arXiv 2303.09556); 0 for none.

    Raises:
        ValueError: If the model predicts neither noise nor velocity.
    """

    def __init__(self, scheduler: Any, min_snr_gamma: float) -> None:
        self.schedule = DDPMScheduler.from_config(scheduler.config)
        self.prediction: str = self.schedule.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction"):
            raise ValueError(
                "`scheduler.config.prediction_type` must be 'epsilon' or 'v_prediction', got"
                f" {self.prediction!r}"
            )
        self.num_timesteps: int = self.schedule.config.num_train_timesteps
        self._gamma = min_snr_gamma

    def identity(self) -> str:
        """What tells the objective from others: a hash of the schedule and the prediction."""
        return text_hash(f"{self.prediction} {self.schedule.alphas_cumprod.tolist()}")

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The latents with as much noise as their timesteps say."""
        return self.schedule.add_noise(latents, noise, timesteps)

    def error(self, predicted: Tensor, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Mean squared error `[B]` of each sample, weighted, in float32."""
        target = noise
        if self.prediction == "v_prediction":
            target = self.schedule.get_velocity(latents, noise, timesteps)
        squared = (predicted.float() - target.float()).square()
        return squared.flatten(1).mean(1) * self.weights(timesteps)

    def weights(self, timesteps: Tensor) -> Tensor:
        """Min-SNR weights `[B]` for the kind of prediction, or ones."""
        if not self._gamma:
            return torch.ones_like(timesteps, dtype=torch.float32)
        alphas = self.schedule.alphas_cumprod.to(timesteps.device)[timesteps]
        snr = alphas / (1 - alphas)
        clamped = snr.clamp(max=self._gamma)
        return clamped / (snr + 1 if self.prediction == "v_prediction" else snr)
