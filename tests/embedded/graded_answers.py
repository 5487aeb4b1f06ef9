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


class GradedAnswer(NamedTuple):
    """A judge's answer to a question about a picture, and the true one."""

    question: Question
    truth: Answer
    text: str
    p_yes: float | None

    @property
    def is_right(self) -> bool:
        return self.text == self.truth

    @property
    def category(self) -> str:
        return self.question.category[0]


AskedScene = tuple[Scene, Sequence[Question]]
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


def graded_answers(scenes: Sequence[AskedScene]) -> list[list[GradedAnswer]]:
    """The judge's answers about rendered scenes, with the true ones; a list a scene."""
    answers = ask((render(scene), asked) for scene, asked in scenes)
    return [
        [
            GradedAnswer(question, answer(question, scene), judged.text, judged.p_yes)
            for question, judged in zip(asked, of_scene, strict=True)
        ]
        for (scene, asked), of_scene in zip(scenes, answers, strict=True)
    ]


def share_right(answered: Sequence[GradedAnswer]) -> float:
    """How many of the answers are right, 0 to 1."""
    return sum(reply.is_right for reply in answered) / len(answered)


def confusion(answered: Sequence[GradedAnswer]) -> str:
    """Answers by category and true answer, for people."""
    counts = Counter((reply.category, reply.truth, reply.text) for reply in answered)
    return "\n".join(
        f"{category}: {number} {truth} answered {text}"
        for (category, truth, text), number in sorted(counts.items())
    )
