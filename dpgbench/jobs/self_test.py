"""Is a judge sound? Pictures of the embedded world with known answers, and mPLUG's golden values.

Half of the questions are true of their picture and half are not, in each category, and the false
ones are true of a picture that differs in one respect: reading the question alone gets half right.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from dpgbench.backends.base import UNTRAINED, Judge, JudgeAnswer, StreamingJudge, TileQuestions
from dpgbench.domain.score import verdict
from dpgbench.domain.stats import intervals
from dpgbench.jobs.ask import replies
from dpgbench.jobs.failures import Failures
from dpgbench.world import answer, hard_negative, questions, render, sample_scenes
from dpgbench.world.scene import KINDS, Scene

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

NUM_SCENES: Final = 12
SEED: Final = 20240308
PICTURE_PX: Final = 512
SECONDS: Final = 40.0
"""After so long no further picture is begun: a judge that needs long is asked about fewer."""
LEAST_ACCURACY: Final = 0.6
"""A judge below cannot be trusted with a score; guessing gives 0.5."""
ALWAYS: Final = 0.98
"""A judge with this share of one answer gives no other."""
MOST_INVALID: Final = 0.1


class Probe(NamedTuple):
    """A question with its true answer and its L1 category."""

    text: str
    truth: bool
    category: str


@dataclass(frozen=True)
class Exam:
    """One picture and its questions, as many true as false ones."""

    name: str
    scene: Scene
    probes: tuple[Probe, ...]

    def tile(self) -> TileQuestions:
        """Return the picture, drawn, with the questions numbered from 1."""
        image: Image = render(self.scene, PICTURE_PX)
        qids = tuple(range(1, len(self.probes) + 1))
        return TileQuestions(self.name, 0, image, qids, tuple(p.text for p in self.probes))


@dataclass(frozen=True)
class Tested:
    """How a judge did.

    Attributes:
        sound: whether scores by this judge can mean something.
        verdict: in a few words.
        reasons: why it is not sound, a sentence each.
        warnings: what to know although it is sound, a sentence each.
    """

    sound: bool
    verdict: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    pictures: dict[str, Any]


@cache
def exams() -> tuple[Exam, ...]:
    """Return the pictures, the same everywhere; kinds of scenes take turns."""
    number = NUM_SCENES // len(KINDS)
    by_kind = [list(islice(sample_scenes("heldout", SEED, kind), number)) for kind in KINDS]
    scenes = [scene for group in zip(*by_kind, strict=True) for scene in group]
    return tuple(Exam(f"scene_{n:02d}", scene, _probes(scene)) for n, scene in enumerate(scenes))


def _probes(scene: Scene) -> tuple[Probe, ...]:
    """Return a scene's own questions, each with one of its category that is false of it.

    The false one is asked about a scene that was changed so that the true one fails there; a
    question without such a partner is left out.
    """
    graph = questions(scene)
    asked = {question.text for question in graph}
    probes: list[Probe] = []
    for question in graph:
        category = question.category[0]
        changed = (hard_negative(scene, question, graph, seed) for seed in range(4))
        false = (
            other.text
            for near in changed
            if near is not None
            for other in questions(near)
            if other.category[0] == category
            and answer(other, scene) == "no"
            and other.text not in asked
        )
        if partner := next(false, None):
            asked.add(partner)
            probes += [Probe(question.text, True, category), Probe(partner, False, category)]
    return tuple(probes)


def self_test(
    judge: Judge | StreamingJudge, *, untrained: bool = False, seconds: float = SECONDS
) -> Tested:
    """Return how a judge does on the embedded world's pictures; says so on stderr as it goes.

    Args:
        judge: ready to answer.
        untrained: the judge is known to have learnt nothing.
        seconds: when to begin no further picture; the first is always asked.
    """
    start = time.monotonic()
    failures = Failures()
    given = _ask(judge, start + seconds, failures)
    if not given:
        reason = next(iter(failures.reasons.values()), "it gave no answer at all")
        return Tested(False, "no answers", (f"nothing was answered: {reason}",), (), {})
    pictures = _figures(given)
    pictures["failures"] = dict(failures.reasons)
    pictures["seconds"] = round(time.monotonic() - start, 1)
    return _judge(pictures, untrained=untrained)


Given = Mapping[str, Mapping[int, JudgeAnswer]]
"""Answers by picture and question number."""


def _ask(judge: Judge | StreamingJudge, deadline: float, failures: Failures) -> Given:
    from tqdm import tqdm

    def tiles() -> Iterator[TileQuestions]:
        for number, exam in enumerate(exams()):
            if number and time.monotonic() > deadline:
                return
            yield exam.tile()

    given: dict[str, dict[int, JudgeAnswer]] = {}
    total = sum(len(exam.probes) for exam in exams())
    with tqdm(total=total, unit="question", desc="self-test") as progress:
        for reply in replies(judge, tiles(), failures):
            if reply.error is not None:
                failures.reasons[reply.item_id] = reply.error
                log.warning("picture %s: %s", reply.item_id, reply.error)
            if reply.answers:
                given.setdefault(reply.item_id, {}).update(reply.answers)
            progress.update(len(reply.answers))
    return given


def _figures(given: Given) -> dict[str, Any]:
    """Return accuracy and share of yes, over all and by L1 category; intervals over pictures."""
    asked = [exam for exam in exams() if exam.name in given]
    pairs = [
        (number, probe, given[exam.name][qid])
        for number, exam in enumerate(asked)
        for qid, probe in enumerate(exam.probes, 1)
        if qid in given[exam.name]
    ]
    sums = np.zeros((2, len(asked), 1))
    for number, probe, said in pairs:
        sums[:, number, 0] += (verdict(said.text) == probe.truth, 1)
    categories = sorted({probe.category for _, probe, _ in pairs})
    return {
        "pictures": len(asked),
        "pictures_expected": len(exams()),
        **_share([(probe, said) for _, probe, said in pairs]),
        "interval": intervals(sums[0], sums[1])[0],
        "right_of_true": _right([(p, s) for _, p, s in pairs if p.truth]),
        "right_of_false": _right([(p, s) for _, p, s in pairs if not p.truth]),
        "invalid": sum(said.invalid for _, _, said in pairs),
        "l1": {
            category: _share([(p, s) for _, p, s in pairs if p.category == category])
            for category in categories
        },
    }


def _share(pairs: Sequence[tuple[Probe, JudgeAnswer]]) -> dict[str, Any]:
    yes = sum(verdict(said.text) for _, said in pairs)
    return {"questions": len(pairs), "accuracy": _right(pairs), "yes_rate": yes / len(pairs)}


def _right(pairs: Sequence[tuple[Probe, JudgeAnswer]]) -> float | None:
    right = sum(verdict(said.text) == probe.truth for probe, said in pairs)
    return right / len(pairs) if pairs else None


def _judge(pictures: dict[str, Any], *, untrained: bool) -> Tested:
    """Return the verdict on the judge."""
    accuracy, yes_rate = pictures["accuracy"], pictures["yes_rate"]
    found: dict[str, str] = {}
    if untrained:
        found["untrained"] = UNTRAINED
    if not ALWAYS > yes_rate > 1 - ALWAYS:
        word = "yes" if yes_rate > 0.5 else "anything but yes"
        found[f"always {word}"] = f"it says {word} to {_percent(max(yes_rate, 1 - yes_rate))}"
    if pictures["invalid"] > MOST_INVALID * pictures["questions"]:
        found["invalid"] = f"{pictures['invalid']} answers are neither yes nor no"
    if accuracy < LEAST_ACCURACY or pictures["interval"][0] <= 0.5:
        low, high = map(_percent, pictures["interval"])
        found["guessing"] = f"{_percent(accuracy)} are right ({low} to {high}); guessing gives 50%"
    warnings = [
        f"no better than guessing on {name}: {_percent(share['accuracy'])} of {share['questions']}"
        for name, share in pictures["l1"].items()
        if share["accuracy"] < LEAST_ACCURACY
    ]
    if pictures["pictures"] < pictures["pictures_expected"]:
        warnings.append(
            f"asked about {pictures['pictures']} of {pictures['pictures_expected']} pictures only"
        )
    verdict_ = next(iter(found), "sound")
    return Tested(not found, verdict_, tuple(found.values()), tuple(warnings), pictures)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def as_dict(tested: Tested) -> dict[str, Any]:
    """Return the outcome as plain data."""
    return asdict(tested)
