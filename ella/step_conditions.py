"""What the U-Net is shown at each step of a schedule: the connector's tokens, computed ahead.

Tokens depend on the text and the timestep alone, so all steps of a schedule go through the
connector together where memory allows, each distinct text and each distinct timestep once.

Shape suffixes: s timesteps, u texts, r rows (prompts), n tokens, w width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ella.connector_base import Connector

Forward = Callable[[Tensor, Tensor], Tensor]
"""`Connector.forward_projected`, or the same compiled."""

SHARE_OF_MEMORY = 1 / 32
ROWS_ON_CPU = 128


class StepConditions:
    """The connector's tokens for some texts at every step of a schedule.

    Args:
        connector: The connector.
        features: One `[tokens, input_dim]` for each text; lengths may differ.
        timesteps: What the U-Net is given at each step, in order; repeats are computed once, and
            for a connector that takes no timestep there is one step.
        device: Where the tokens are wanted.
        dtype: Of what dtype.
        rows_at_once: Texts times timesteps in one connector call; by default as many as 1/32 of
            the device's memory holds.
        forward: The connector's `forward_projected`, where it is compiled.

    Attributes:
        counts: Tokens of each text; of connectors with latents all alike.
        pooled: One embedding of each text `[texts, pooled_width]`; None of a connector that pools
            nothing.

    Raises:
        ValueError: If `features` is empty or of another width than the connector's.
    """

    def __init__(
        self,
        connector: Connector,
        features: Sequence[Tensor],
        timesteps: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        rows_at_once: int | None = None,
        forward: Forward | None = None,
    ) -> None:
        if not features:
            raise ValueError("`features` must hold at least one text")
        self.timesteps = tuple(timesteps)
        self._connector = connector
        self._forward = forward or connector.forward_projected
        self._groups = _project_by_length(connector, features)
        self.pooled = _pool(connector, self._groups, len(features), (device, dtype))
        self.counts = [connector.config.num_tokens(len(feature)) for feature in features]
        self._distinct = list(dict.fromkeys(self.timesteps))
        self._position = {timestep: i for i, timestep in enumerate(self._distinct)}
        if not connector.config.uses_timestep:
            self._distinct = self._distinct[:1]
            self._position = dict.fromkeys(self._position, 0)
        longest = max(len(feature) for feature in features)
        rows = rows_at_once or rows_that_fit(connector, longest)
        self._steps_at_once = max(1, rows // len(features))
        self._target = (device, dtype)
        self._first = 0
        self._ready_sunw = torch.empty(0)

    def at(self, step: int) -> Tensor:
        """Tokens of all texts at a step of the schedule: `[texts, tokens, width]`.

        Where texts have different `counts` of tokens, zeros follow the shorter ones'.

        Raises:
            IndexError: If the schedule has no such step.
        """
        position = self._position[self.timesteps[step]]
        if not self._first <= position < self._first + len(self._ready_sunw):
            self._first = position - position % self._steps_at_once
            self._ready_sunw = self._compute(self._distinct[self._first :][: self._steps_at_once])
        return self._ready_sunw[position - self._first]

    def finish(self) -> None:
        """Compute all that is missing: the connector is not needed any more."""
        if len(self._ready_sunw) == len(self._distinct):
            return
        parts = [
            self._compute(self._distinct[first : first + self._steps_at_once])
            for first in range(0, len(self._distinct), self._steps_at_once)
        ]
        self._first, self._ready_sunw = 0, torch.cat(parts)

    @torch.no_grad()
    def _compute(self, timesteps: Sequence[float]) -> Tensor:
        config, device = self._connector.config, self._connector.device
        rows_s = torch.tensor(timesteps, dtype=torch.float32, device=device)
        shape = (len(timesteps), len(self.counts), max(self.counts), config.width)
        tokens_sunw = torch.zeros(shape, dtype=self._connector.dtype, device=device)
        for members, projected_glw in self._groups:
            tokens = self._forward(
                projected_glw.repeat(len(timesteps), 1, 1), rows_s.repeat_interleave(len(members))
            )
            by_step = tokens.unflatten(0, (len(timesteps), len(members)))
            tokens_sunw[:, members, : by_step.shape[2]] = by_step
        return tokens_sunw.to(*self._target)


def rows_that_fit(connector: Connector, text_tokens: int) -> int:
    """Rows of one connector call that take at most 1/32 of the device's memory.

    Counted generously: a block holds some twelve tensors of queries and keys and three of the MLP.
    Of all memory, not of what is free: the same device always computes the same bits.
    """
    device, config = connector.device, connector.config
    if device.type != "cuda":
        return ROWS_ON_CPU
    _, memory = torch.cuda.mem_get_info(device)
    tokens = config.num_tokens(text_tokens)
    numbers = (12 * (tokens + text_tokens) + 12 * tokens) * config.width
    bytes_a_row = numbers * connector.dtype.itemsize
    return max(1, int(memory * SHARE_OF_MEMORY) // bytes_a_row)


@torch.no_grad()
def _project_by_length(
    connector: Connector, features: Sequence[Tensor]
) -> list[tuple[list[int], Tensor]]:
    """Indices and projected features of the texts, those of equal length together."""
    groups: dict[int, list[int]] = {}
    for i, feature in enumerate(features):
        groups.setdefault(len(feature), []).append(i)
    return [
        (members, connector.project_text(torch.stack([features[i] for i in members])))
        for members in groups.values()
    ]


@torch.no_grad()
def _pool(
    connector: Connector,
    groups: Sequence[tuple[list[int], Tensor]],
    num_texts: int,
    target: tuple[torch.device | str, torch.dtype],
) -> Tensor | None:
    if not connector.config.pooled_width:
        return None
    shape = (num_texts, connector.config.pooled_width)
    pooled_up = torch.zeros(shape, dtype=connector.dtype, device=connector.device)
    for members, projected_glw in groups:
        pooled_up[members] = connector.pool_projected(projected_glw)
    return pooled_up.to(*target)


@dataclass(frozen=True)
class GuidedConditions:
    """Step conditions sorted into those of the prompts and of the negative prompts.

    Attributes:
        steps: Tokens of all distinct texts.
        positive: For each prompt, its text's index in `steps`.
        negative: The same for the negative prompts, in `negative_steps`; None where they have none
            of ELLA's tokens.
        clip_positive: `[prompts, tokens, width]` to append along the token axis, the same at each
            step; None without CLIP.
        clip_negative: The same for the negative prompts; all that they have where `negative` is
            None.
        other_steps: Tokens of the negative prompts, where they are not in `steps`.
    """

    steps: StepConditions
    positive: list[int]
    negative: list[int] | None = None
    clip_positive: Tensor | None = None
    clip_negative: Tensor | None = None
    other_steps: StepConditions | None = None

    @property
    def negative_steps(self) -> StepConditions:
        """Where the negative prompts' tokens are."""
        return self.other_steps or self.steps

    @property
    def positive_counts(self) -> list[int]:
        """Tokens of each prompt."""
        return self._counts(self.steps, self.positive, self.clip_positive)

    @property
    def negative_counts(self) -> list[int]:
        """Tokens of each negative prompt; none without classifier-free guidance."""
        return self._counts(self.negative_steps, self.negative, self.clip_negative)

    @property
    def is_ragged(self) -> bool:
        """Whether rows differ in their number of tokens, so that zeros fill the shorter ones."""
        return len({*self.positive_counts, *self.negative_counts}) > 1

    def pooled(self) -> tuple[Tensor | None, Tensor | None]:
        """Embeddings of the prompts and of ELLA's negative prompts; None where there are none."""
        pooled, of_negatives = self.steps.pooled, self.negative_steps.pooled
        if pooled is None or of_negatives is None:
            return None, None
        return pooled[self.positive], None if self.negative is None else of_negatives[self.negative]

    def at(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Tokens at a step, for the prompts and for the negative prompts, equally many of them.

        Raises:
            IndexError: If the schedule has no such step.
        """
        tokens = self.steps.at(step)
        others = tokens if self.negative is None else self.negative_steps.at(step)
        if not self.is_ragged:
            positive = _append(tokens[self.positive], self.clip_positive)
            if self.negative is None and self.clip_negative is None:
                return positive, None
            if self.negative is None:
                assert self.clip_negative is not None
                return positive, self.clip_negative.to(positive)
            return positive, _append(others[self.negative], self.clip_negative)
        longest = max([*self.positive_counts, *self.negative_counts])
        counts = self.steps.counts, self.negative_steps.counts
        rows = _ragged_rows(tokens, counts[0], self.positive, self.clip_positive, longest)
        if not self.negative_counts:
            return rows, None
        return rows, _ragged_rows(others, counts[1], self.negative, self.clip_negative, longest)

    def _counts(
        self, steps: StepConditions, texts: list[int] | None, clip: Tensor | None
    ) -> list[int]:
        more = 0 if clip is None else clip.shape[1]
        if texts is None:
            return [] if clip is None else [more] * len(clip)
        return [steps.counts[i] + more for i in texts]


def _ragged_rows(
    tokens: Tensor, counts: list[int], texts: list[int] | None, clip: Tensor | None, longest: int
) -> Tensor:
    """Rows of ELLA's tokens, CLIP's after them, and zeros to the `longest`."""
    num_rows = len(texts if texts is not None else clip)  # type: ignore[arg-type]
    rows_rnw = tokens.new_zeros(num_rows, longest, tokens.shape[-1])
    for row in range(num_rows):
        end = 0
        if texts is not None:
            end = counts[texts[row]]
            rows_rnw[row, :end] = tokens[texts[row], :end]
        if clip is not None:
            rows_rnw[row, end : end + clip.shape[1]] = clip[row].to(tokens)
    return rows_rnw


def _append(tokens: Tensor, clip: Tensor | None) -> Tensor:
    return tokens if clip is None else torch.cat([tokens, clip.to(tokens)], dim=1)
