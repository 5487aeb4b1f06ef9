"""What the U-Net is shown at each step of a schedule: the connector's tokens, computed ahead.

Tokens depend on the text and the timestep alone, so the steps of a schedule are computed many at a
time, each distinct text and each distinct timestep once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ella.connector import TimestepAwareSemanticConnector


class StepConditions:
    """The connector's tokens for some texts at every step of a schedule.

    Args:
        connector: The connector.
        features: One `[tokens, input_dim]` for each text; lengths may differ.
        timesteps: What the U-Net is given at each step, in order; repeats are computed once.
        device: Where the tokens are wanted.
        dtype: Of what dtype.
        rows_at_once: Texts times timesteps in one connector call; 32 take some 50 MB at the
            released size in float16.

    Raises:
        ValueError: If `features` is empty or of another width than the connector's.
    """

    def __init__(
        self,
        connector: TimestepAwareSemanticConnector,
        features: Sequence[Tensor],
        timesteps: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        rows_at_once: int = 32,
    ) -> None:
        if not features:
            raise ValueError("`features` must hold at least one text")
        self.timesteps = tuple(timesteps)
        self._connector = connector
        self._groups = _project_by_length(connector, features)
        self._num_texts = len(features)
        self._distinct = list(dict.fromkeys(self.timesteps))
        self._position = {timestep: i for i, timestep in enumerate(self._distinct)}
        self._steps_at_once = max(1, rows_at_once // self._num_texts)
        self._target = (device, dtype)
        self._first = 0
        self._ready_sunw = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Tokens of all texts at a step of the schedule: `[texts, num_latents, width]`.

        Raises:
            IndexError: If the schedule has no such step.
        """
        position = self._position[self.timesteps[step]]
        if not self._first <= position < self._first + len(self._ready_sunw):
            self._first = position - position % self._steps_at_once
            self._ready_sunw = self._compute(self._distinct[self._first :][: self._steps_at_once])
        return self._ready_sunw[position - self._first]

    @torch.no_grad()
    def _compute(self, timesteps: Sequence[float]) -> Tensor:
        config, device = self._connector.config, self._connector.device
        rows_s = torch.tensor(timesteps, dtype=torch.float32, device=device)
        shape = (len(timesteps), self._num_texts, config.num_latents, config.width)
        tokens_sunw = torch.empty(shape, dtype=self._connector.dtype, device=device)
        for members, projected_glw in self._groups:
            tokens = self._connector.forward_projected(
                projected_glw.repeat(len(timesteps), 1, 1), rows_s.repeat_interleave(len(members))
            )
            tokens_sunw[:, members] = tokens.unflatten(0, (len(timesteps), len(members)))
        return tokens_sunw.to(*self._target)


@torch.no_grad()
def _project_by_length(
    connector: TimestepAwareSemanticConnector, features: Sequence[Tensor]
) -> list[tuple[list[int], Tensor]]:
    """Indices and projected features of the texts, those of equal length together."""
    groups: dict[int, list[int]] = {}
    for i, feature in enumerate(features):
        groups.setdefault(len(feature), []).append(i)
    return [
        (members, connector.project_text(torch.stack([features[i] for i in members])))
        for members in groups.values()
    ]


@dataclass(frozen=True)
class GuidedConditions:
    """Step conditions sorted into those of the prompts and of the negative prompts.

    Attributes:
        steps: Tokens of all distinct texts.
        positive: For each prompt, its text's index in `steps`.
        negative: The same for the negative prompts; None without classifier-free guidance.
        clip_positive: `[prompts, tokens, width]` to append along the token axis, the same at each
            step; None without CLIP.
        clip_negative: The same for the negative prompts.
    """

    steps: StepConditions
    positive: list[int]
    negative: list[int] | None = None
    clip_positive: Tensor | None = None
    clip_negative: Tensor | None = None

    def at(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Tokens at a step, for the prompts and for the negative prompts.

        Raises:
            IndexError: If the schedule has no such step.
        """
        tokens = self.steps.at(step)
        positive = _append(tokens[self.positive], self.clip_positive)
        if self.negative is None:
            return positive, None
        return positive, _append(tokens[self.negative], self.clip_negative)


def _append(tokens: Tensor, clip: Tensor | None) -> Tensor:
    return tokens if clip is None else torch.cat([tokens, clip.to(tokens)], dim=1)
