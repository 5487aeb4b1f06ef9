"""An examination of a judge: as much "yes" as "no" in every category, on pictures of its own.

Every question of a held-out scene is asked of that scene's picture, where the answer is "yes"; and
a partner of the same category where it is "no": the question itself of a hard negative's picture,
or another scene's question of this picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from PIL import Image
from torch import Tensor
from tqdm import tqdm

from dpgbench.mplug import MplugVqa
from dpgbench.shapes import (
    Question,
    Scene,
    answer,
    hard_negative,
    questions,
    render,
    sample_scenes,
)
from dpgbench.shapes.stable_random import StableRandom
from scripts.embedded.judge.data.statements import kind_of

Source = Literal["own", "hard negative", "other scene"]
HARD_CHANCE: Final = 0.6
NUM_BINS: Final = 10
PART: Final = 64
"""Pictures that are asked about at once."""


class ExamQuestion(NamedTuple):
    """One question to a picture."""

    question: Question
    is_yes: bool
    source: Source


@dataclass(frozen=True)
class Paper:
    """A picture's scene and the questions to it."""

    scene: Scene
    items: tuple[ExamQuestion, ...]


Prepare = Callable[[Sequence[Image.Image]], Sequence[Tensor]]
"""Makes of pictures what `MplugVqa.ask` takes, harmed on the way."""


class MarkedAnswer(NamedTuple):
    """The answer to one question; `text` is "yes", "no" or anything else."""

    item: ExamQuestion
    text: str
    p_yes: float

    @property
    def is_right(self) -> bool:
        """Whether the answer is the true one."""
        return self.text == ("yes" if self.item.is_yes else "no")


def papers(num_scenes: int, seed: int) -> Iterator[Paper]:
    """The papers on so many held-out scenes and their hard negatives."""
    scenes = list(islice(sample_scenes("heldout", seed), num_scenes + 1))
    by_category: defaultdict[str, list[Question]] = defaultdict(list)
    for scene in scenes:
        for question in questions(scene):
            by_category[question.category[0]].append(question)
    for scene in scenes[:num_scenes]:
        rng = StableRandom("exam", seed, scene.digest)
        graph = questions(scene)
        own = [ExamQuestion(question, True, "own") for question in graph]
        for question in graph:
            changed = None
            if rng.chance(HARD_CHANCE):
                changed = hard_negative(scene, question, graph, seed)
            if changed is None:
                own.append(_foreign(scene, by_category[question.category[0]], rng))
            else:
                yield Paper(changed, (ExamQuestion(question, False, "hard negative"),))
        yield Paper(scene, tuple(own))


def examine(
    judge: MplugVqa, exam: Iterable[Paper], prepare: Prepare | None = None
) -> list[MarkedAnswer]:
    """What the judge says to all questions, decoded as for the published scores."""
    marks: list[MarkedAnswer] = []
    everything = list(exam)
    for start in tqdm(range(0, len(everything), PART), "exam", mininterval=5):
        part = everything[start : start + PART]
        drawn = [render(paper.scene) for paper in part]
        pictures = drawn if prepare is None else prepare(drawn)
        texts = [[item.question.text for item in paper.items] for paper in part]
        by_paper = judge.ask(pictures, texts, batch_size=16, decode="beam")
        for paper, answers in zip(part, by_paper, strict=True):
            marks += [
                MarkedAnswer(item, one.text, float(one.p_yes or 0.0))
                for item, one in zip(paper.items, answers, strict=True)
            ]
    return marks


def report(marks: Sequence[MarkedAnswer]) -> dict[str, Any]:
    """Shares of right answers, confusions and calibration, ready for JSON."""
    return {
        "questions": len(marks),
        "accuracy": accuracy(marks),
        "neither_yes_nor_no": sum(mark.text not in ("yes", "no") for mark in marks),
        "by_category": _by(marks, lambda mark: mark.item.question.category[0]),
        "by_kind": _by(marks, lambda mark: kind_of(mark.item.question.fact)),
        "by_source": _by(marks, lambda mark: mark.item.source),
        "expected_calibration_error": calibration_error(marks),
        "calibration": calibration(marks),
    }


def accuracy(marks: Sequence[MarkedAnswer]) -> float:
    """The share of right answers."""
    return round(sum(mark.is_right for mark in marks) / max(1, len(marks)), 4)


def calibration(marks: Sequence[MarkedAnswer]) -> list[dict[str, float]]:
    """For each tenth of `p_yes` that occurs: how many, their mean, and how many are true."""
    bins: defaultdict[int, list[MarkedAnswer]] = defaultdict(list)
    for mark in marks:
        bins[min(NUM_BINS - 1, int(mark.p_yes * NUM_BINS))].append(mark)
    return [
        {
            "from": number / NUM_BINS,
            "questions": len(inside),
            "mean_p_yes": round(sum(mark.p_yes for mark in inside) / len(inside), 4),
            "share_yes": round(sum(mark.item.is_yes for mark in inside) / len(inside), 4),
        }
        for number, inside in sorted(bins.items())
    ]


def calibration_error(marks: Sequence[MarkedAnswer]) -> float:
    """Expected calibration error of `p_yes` over its tenths."""
    gaps = [
        row["questions"] * abs(row["mean_p_yes"] - row["share_yes"]) for row in calibration(marks)
    ]
    return round(sum(gaps) / max(1, len(marks)), 4)


def _foreign(scene: Scene, among: Sequence[Question], rng: StableRandom) -> ExamQuestion:
    """Another scene's question of the same category whose answer here is "no"."""
    while True:
        question = rng.pick(among)
        if answer(question, scene) == "no":
            return ExamQuestion(question, False, "other scene")


Key = Callable[[MarkedAnswer], str]


def _by(marks: Sequence[MarkedAnswer], key: Key) -> dict[str, dict[str, float]]:
    groups: defaultdict[str, list[MarkedAnswer]] = defaultdict(list)
    for mark in marks:
        groups[key(mark)].append(mark)
    return {name: _confusion(groups[name]) for name in sorted(groups)}


def _confusion(marks: Sequence[MarkedAnswer]) -> dict[str, float]:
    yes = [mark for mark in marks if mark.item.is_yes]
    no = [mark for mark in marks if not mark.item.is_yes]
    return {
        "questions": len(marks),
        "accuracy": accuracy(marks),
        "yes_questions": len(yes),
        "yes_said_no": sum(not mark.is_right for mark in yes),
        "no_questions": len(no),
        "no_said_yes": sum(not mark.is_right for mark in no),
    }
