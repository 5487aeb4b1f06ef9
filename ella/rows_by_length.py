"""A network called once for each number of tokens among its rows.

Where prompt and negative prompt have different numbers of tokens (ELLA in the prompt alone; the
`mlp` connector at flexible length) one call cannot show both without a mask, and diffusers'
pipelines pass none. So a copy of the pipeline, for this one call, has `RowsByLength` in the places
of U-Net and ControlNet; the networks themselves, and the pipeline, stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ella.errors import UnsupportedPipelineError

CONDITIONED = ("unet", "controlnet")
_WHOLE = ("cross_attention_kwargs",)


class RowsByLength:
    """Looks like a network, and calls it for rows of one number of tokens at a time.

    Args:
        network: A U-Net or ControlNet of diffusers.
        counts_of: Tokens of each row, for a call of so many rows.
    """

    def __init__(self, network: Any, counts_of: Callable[[int], list[int]]) -> None:
        self._network = network
        self._counts_of = counts_of

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance() is asked by pipelines
        return type(self._network)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the network gives for all rows, in their order."""
        hidden = named["encoder_hidden_states"]
        counts = self._counts_of(len(hidden))
        parts, order = [], []
        for count in dict.fromkeys(counts):
            rows = [row for row, own in enumerate(counts) if own == count]
            own_arguments = _take(arguments, rows, len(hidden))
            own = {
                name: value if name in _WHOLE else _take(value, rows, len(hidden))
                for name, value in named.items()
            }
            own["encoder_hidden_states"] = own["encoder_hidden_states"][:, :count]
            parts.append(self._network(*own_arguments, **own))
            order += rows
        return _join(parts, torch.tensor(order, device=hidden.device).argsort())


def for_ragged_rows(pipeline: Any, counts_of: Callable[[int], list[int]]) -> Any:
    """A copy of a pipeline whose conditioned networks take rows of different numbers of tokens."""
    own = copy.copy(pipeline)
    for name in CONDITIONED:
        network = getattr(pipeline, name, None)
        if network is not None:
            vars(own)[name] = RowsByLength(network, counts_of)
    # The original re-installs its offloading itself, on its own networks.
    vars(own)["maybe_free_model_hooks"] = lambda: None
    return own


def counts_for(
    positive: Sequence[int], negative: Sequence[int], repeats: int
) -> Callable[[int], list[int]]:
    """Tokens of each row of a call: negative prompts first, each prompt `repeats` times.

    A call of half the rows is of the prompts alone (guidance that ended; guess mode).
    """
    alone = [count for count in positive for _ in range(repeats)]
    both = [count for count in negative for _ in range(repeats)] + alone

    def counts_of(num_rows: int) -> list[int]:
        for counts in (both, alone):
            if num_rows == len(counts):
                return counts
        raise UnsupportedPipelineError(
            f"a network was called with {num_rows} rows where {len(both)} or {len(alone)} were"
            " expected; ELLA does not know how this pipeline stacks its conditions"
        )

    return counts_of


def _take(value: Any, rows: list[int], num_rows: int) -> Any:
    """The rows of every tensor that has them, however deep it lies."""
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == num_rows else value
    if isinstance(value, Mapping):
        return {name: _take(one, rows, num_rows) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_take(one, rows, num_rows) for one in value)
    return value


def _join(parts: Sequence[Any], order: Tensor) -> Any:
    """Outputs of the same form as one, their rows set into their order."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))[order]
    if is_dataclass(first) and not isinstance(first, type):
        joined = {
            one.name: _join([getattr(part, one.name) for part in parts], order)
            for one in fields(first)
        }
        return type(first)(**joined)
    if isinstance(first, list | tuple):
        return type(first)(_join(same, order) for same in zip(*parts, strict=True))
    return first
