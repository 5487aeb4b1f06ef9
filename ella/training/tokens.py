"""The connector's part of a training step: features of texts in, what the denoiser reads out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ella.connector_base import Connector


class TokensOfTexts(nn.Module):
    """A connector for texts of different lengths: those of one length go through together.

    Args:
        connector: The connector.
        compiled: Whether `torch.compile` makes its steps.
    """

    def __init__(self, connector: Connector, *, compiled: bool = False) -> None:
        super().__init__()
        self.connector = connector
        self._project, self._step = connector.project_text, connector.forward_projected
        if compiled:
            self._project, self._step = torch.compile(self._project), torch.compile(self._step)

    def forward(
        self, features: Sequence[Tensor], timesteps: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens `[B, num_latents, width]`, and of a connector that pools `[B, pooled_width]`.

        Args:
            features: `[tokens, input_dim]` for each text.
            timesteps: `[B]`.
        """
        groups: dict[int, list[int]] = {}
        for i, feature in enumerate(features):
            groups.setdefault(len(feature), []).append(i)
        tokens, pooled = [], []
        for members in groups.values():
            same_length = torch.stack([features[i] for i in members])
            projected = self._project(same_length)
            of_members = timesteps if len(groups) == 1 else timesteps[members]
            tokens.append(self._step(projected, of_members))
            if self.connector.config.pooled_width:
                pooled.append(self.connector.pool_projected(projected))
        if len(groups) == 1:
            return tokens[0], pooled[0] if pooled else None
        place = [i for members in groups.values() for i in members]
        order = torch.tensor(place, device=timesteps.device).argsort()
        return torch.cat(tokens)[order], torch.cat(pooled)[order] if pooled else None
