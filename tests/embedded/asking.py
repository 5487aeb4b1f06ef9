"""Asking the judge that ships with the toolkit, and counting how often it is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from PIL import Image

from dpgbench import JudgeAnswer, TileQuestions, load_judge
from dpgbench.shapes import Answer, Question, Scene, answer, render

JUDGE = "tiny-mplug"
BATCH = 32


class Reply(NamedTuple):
    """What a judge said to a question about a picture, and what is true of it."""

    question: Question
    truth: Answer
    said: str
    p_yes: float | None

    @property
    def is_right(self) -> bool:
        return self.said == self.truth

    @property
    def category(self) -> str:
        return self.question.category[0]


Sheet = tuple[Scene, Sequence[Question]]
"""A scene, and what is asked about its picture."""


def ask(pictures: Iterable[tuple[Image.Image, Sequence[Question]]]) -> list[list[JudgeAnswer]]:
    """The judge's answers to the questions about each picture."""
    judge: Any = load_judge(JUDGE, device="cpu", batch_size=BATCH)
    tiles = [
        TileQuestions(
            f"picture_{number}",
            0,
            picture,
            tuple(question.number for question in asked),
            tuple(question.text for question in asked),
        )
        for number, (picture, asked) in enumerate(pictures)
    ]
    starts = range(0, len(tiles), BATCH)
    return [answers for start in starts for answers in judge.ask(tiles[start : start + BATCH])]


def replies(sheets: Sequence[Sheet]) -> list[list[Reply]]:
    """The judge's answers about rendered scenes, with the true ones; a list a sheet."""
    answers = ask((render(scene), asked) for scene, asked in sheets)
    return [
        [
            Reply(question, answer(question, scene), given.text, given.p_yes)
            for question, given in zip(asked, said, strict=True)
        ]
        for (scene, asked), said in zip(sheets, answers, strict=True)
    ]


def share_right(found: Sequence[Reply]) -> float:
    """How many of the answers are right, 0 to 1."""
    return sum(reply.is_right for reply in found) / len(found)


def confusion(found: Sequence[Reply]) -> str:
    """What was said to what is true, by category, for people."""
    counts = Counter((reply.category, reply.truth, reply.said) for reply in found)
    return "\n".join(
        f"{category}: {number} {truth} answered {said}"
        for (category, truth, said), number in sorted(counts.items())
    )
