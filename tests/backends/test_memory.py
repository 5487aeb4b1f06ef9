"""Batches that do not fit into memory are halved, and every answer stays with its question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from dpgbench.backends.memory import ask_within_memory
from dpgbench.backends.protocols import TileQuestions

IMAGE = Image.new("RGB", (4, 4))


def tile(number: int, num_questions: int) -> TileQuestions:
    qids = tuple(range(1, num_questions + 1))
    return TileQuestions(f"i{number}", 0, IMAGE, qids, tuple(f"{number}.{q}" for q in qids))


@pytest.mark.parametrize("fits", [1, 2, 5, 7, 100])
def test_halving(fits: int) -> None:
    tiles = [tile(0, 3), tile(1, 7), tile(2, 1)]
    asked: list[str] = []

    def ask(batch: Sequence[TileQuestions]) -> list[list[str]]:
        if sum(len(one.questions) for one in batch) > fits:
            raise torch.OutOfMemoryError
        asked.extend(question for one in batch for question in one.questions)
        return [list(one.questions) for one in batch]

    assert ask_within_memory(ask, tiles) == [list(one.questions) for one in tiles]
    assert len(asked) == len(set(asked)) == 11


def test_a_question_that_never_fits() -> None:
    def ask(batch: Sequence[TileQuestions]) -> list[list[str]]:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        ask_within_memory(ask, [tile(0, 2)])
