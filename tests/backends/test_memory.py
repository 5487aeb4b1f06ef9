"""Batches that do not fit into memory are halved, and every answer stays with its question."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from dpgbench.backends.protocols import Judge, JudgeAnswer, TileQuestions

IMAGE = Image.new("RGB", (4, 4))


def tile(number: int, num_questions: int) -> TileQuestions:
    qids = tuple(range(1, num_questions + 1))
    return TileQuestions(f"i{number}", 0, IMAGE, qids, tuple(f"{number}.{q}" for q in qids))


class Limited(Judge):
    """Has memory for so many questions; answers with what it was asked."""

    num_images_at_once = 3

    def __init__(self, fits: int) -> None:
        self.fits = fits
        self.asked: list[str] = []

    def describe(self) -> dict[str, str]:
        return {}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        if sum(len(one.questions) for one in tiles) > self.fits:
            raise torch.OutOfMemoryError
        self.asked.extend(question for one in tiles for question in one.questions)
        return [[JudgeAnswer(question) for question in one.questions] for one in tiles]


@pytest.mark.parametrize("fits", [1, 2, 5, 7, 100])
def test_halving(fits: int) -> None:
    tiles = [tile(0, 3), tile(1, 7), tile(2, 1)]
    judge = Limited(fits)
    answers: dict[str, dict[int, str]] = {}
    for reply in judge.stream(iter(tiles)):
        assert reply.error is None
        texts = {qid: answer.text for qid, answer in reply.answers.items()}
        answers.setdefault(reply.item_id, {}).update(texts)
    assert answers == {
        one.item_id: dict(zip(one.qids, one.questions, strict=True)) for one in tiles
    }
    assert len(judge.asked) == len(set(judge.asked)) == 11


def test_a_question_that_never_fits() -> None:
    (reply,) = Limited(0).stream(iter([tile(0, 2)]))
    assert reply.answers == {}
    assert "out of memory with a single image at once" in (reply.error or "")
