"""Asking within the memory that is there: a batch that does not fit is halved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from dpgbench.backends.base import TileQuestions

log = logging.getLogger(__name__)
Said = TypeVar("Said")


def ask_within_memory(
    ask: Callable[[Sequence[TileQuestions]], list[list[Said]]], tiles: Sequence[TileQuestions]
) -> list[list[Said]]:
    """Return `ask(tiles)`; where memory runs out, in halves: first of tiles, then of questions.

    Raises:
        torch.OutOfMemoryError: a single question does not fit.
    """
    import torch

    try:
        return ask(tiles)
    except torch.OutOfMemoryError:
        if len(tiles) == 1 and len(tiles[0].questions) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(tiles) > 1:
        log.warning("out of memory with %d images at once: halving (see --batch-size)", len(tiles))
        middle = len(tiles) // 2
        first, second = tiles[:middle], tiles[middle:]
        return ask_within_memory(ask, first) + ask_within_memory(ask, second)
    return [_ask_in_halves(ask, tiles[0])]


def _ask_in_halves(
    ask: Callable[[Sequence[TileQuestions]], list[list[Said]]], tile: TileQuestions
) -> list[Said]:
    middle = len(tile.questions) // 2
    halves = [
        tile._replace(qids=tile.qids[part], questions=tile.questions[part])
        for part in (slice(middle), slice(middle, None))
    ]
    return [answer for half in halves for answer in ask_within_memory(ask, [half])[0]]
