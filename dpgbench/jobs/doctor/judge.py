"""Is a judge sound? Asked about pictures with known answers, and by its own self-test.

What a sound judge is, is decided here: a few numbers, with names. Nothing is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from dpgbench.backends.judges.request import judge_class, load_judge
from dpgbench.backends.judges.table import find_judge
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.backends.weights.locate import chosen_source, fetch_command, here
from dpgbench.domain.aggregate import mean_of
from dpgbench.domain.answer_text import YES
from dpgbench.domain.statistics.bootstrap import intervals
from dpgbench.errors import SetupError
from dpgbench.jobs.doctor.exam import PICTURE_PX, WORLD_PX, Exam, Probe, exams
from dpgbench.store.run.manifest import environment

log = logging.getLogger(__name__)

LEAST_ACCURACY: Final = 0.6
"""A judge below cannot be trusted with a score; guessing gives 0.5."""
ALWAYS: Final = 0.98
"""A judge with this share of one answer gives no other."""
MOST_INVALID: Final = 0.1
CANNOT_RUN: Final = "cannot run"
_BROKEN: Final = "broken installation"

AnswersByPicture = Mapping[str, Mapping[int, JudgeAnswer]]
"""Answers by picture and question number."""
Pairs = Sequence[tuple[Probe, JudgeAnswer]]


class Fault(NamedTuple):
    """Something wrong with a judge: in a word or two, and in a sentence."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Shares:
    """Shares of right answers: of all questions, and of those with either truth; share of yes.

    A share is None where there was no such question.
    """

    questions: int
    accuracy: float | None
    accuracy_of_true: float | None
    accuracy_of_false: float | None
    yes_rate: float


@dataclass(frozen=True)
class PictureAnswers:
    """How a judge answers about pictures with known answers.

    Attributes:
        pictures: asked about.
        pictures_expected: all that there are.
        overall: shares over all questions.
        interval: 95% bootstrap interval of the accuracy, over pictures; None for too few.
        invalid: answers that are neither yes nor no.
        by_category: shares by L1 category.
        failures: reasons by picture.
    """

    pictures: int
    pictures_expected: int
    overall: Shares
    interval: tuple[float, float] | None
    invalid: int
    by_category: Mapping[str, Shares]
    failures: Mapping[str, str]

    @property
    def accuracy(self) -> float:
        """Share of right answers over all questions."""
        return self.overall.accuracy or 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as a part of ``dpgbench doctor --judge --json``."""
        return {
            "pictures": self.pictures,
            "pictures_expected": self.pictures_expected,
            **asdict(self.overall),
            "interval": self.interval,
            "invalid": self.invalid,
            "l1": {name: asdict(shares) for name, shares in self.by_category.items()},
            "failures": dict(self.failures),
        }


@dataclass(frozen=True)
class JudgeReport:
    """Whether a judge is sound, and why not.

    Attributes:
        judge: its name in results.
        describe: what it says of itself; empty where it could not be loaded.
        faults: the gravest first; none where it is sound.
        warnings: what to know of it although it may be sound, a sentence each.
        pictures: its answers; None where it could not be asked.
        network: figures of its self-test; None where it has none.
        seconds: that all took.
    """

    judge: str
    device: str
    dtype: str
    describe: Mapping[str, Any]
    faults: Sequence[Fault]
    warnings: Sequence[str]
    pictures: PictureAnswers | None
    network: Mapping[str, Any] | None
    machine: Mapping[str, Any]
    seconds: float

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    @property
    def verdict(self) -> str:
        """The gravest fault in a word or two, or ``sound``."""
        return self.faults[0].name if self.faults else "sound"

    @property
    def reasons(self) -> list[str]:
        """What is wrong, a sentence each."""
        return [fault.sentence for fault in self.faults]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``dpgbench doctor --judge --json`` prints it."""
        return {
            "judge": self.judge,
            "device": self.device,
            "dtype": self.dtype,
            "describe": dict(self.describe),
            "sound": self.sound,
            "verdict": self.verdict,
            "reasons": self.reasons,
            "warnings": list(self.warnings),
            "pictures": self.pictures.to_json() if self.pictures else None,
            "network": dict(self.network) if self.network else None,
            "machine": dict(self.machine),
            "seconds": self.seconds,
        }


def examine_judge(request: JudgeRequest, *, seconds: float = 45.0) -> JudgeReport:
    """Return whether the judge is sound, and why not.

    Args:
        request: the judge.
        seconds: so long after the start no further picture is begun: a slow judge is asked about
            fewer.

    Raises:
        UsageError: there is no such judge, or it has no such option.
    """
    start = time.monotonic()
    network = judge_class(request.name).self_test(request.device)
    faults = [Fault(_BROKEN, network.fault)] if network and network.fault else []
    pictures: PictureAnswers | None = None
    described: Mapping[str, Any] = {}
    try:
        _refuse_to_fetch(request)
        judge = load_judge(request)
        described = judge.describe()
        size_px = WORLD_PX if find_judge(request.name).world else PICTURE_PX
        pictures = ask_about_pictures(judge, size_px, start + seconds)
        faults += find_faults(pictures)
    except SetupError as error:
        faults.append(Fault(CANNOT_RUN, str(error)))
    return JudgeReport(
        request.label,
        request.device,
        request.dtype,
        described,
        faults,
        _warnings(pictures) if pictures else [],
        pictures,
        network.figures if network else None,
        environment(),
        round(time.monotonic() - start, 1),
    )


def _refuse_to_fetch(request: JudgeRequest) -> None:
    """Raise where weights would be fetched: gigabytes that nobody asked this command for."""
    for role in find_judge(request.name).roles:
        source = chosen_source(role, request.options.get("weights_source"))
        if role.name not in request.weights and here(source, request.revision) is None:
            raise SetupError(
                "its weights are not on this machine; get them with "
                f"'{fetch_command(source, request.revision)}', then run the same command again, or "
                f"say --weights {role.name}=FOLDER"
            )


def ask_about_pictures(judge: Judge, size_px: int, deadline: float) -> PictureAnswers:
    """Return how often the judge is right, over all and by category; progress on stderr.

    Args:
        judge: ready to answer.
        size_px: side of each picture.
        deadline: `time.monotonic()` after which no further picture is begun; the first always is.

    Raises:
        SetupError: it answered nothing.
    """
    failures: dict[str, str] = {}
    answers = _ask(judge, size_px, deadline, failures)
    if not answers:
        reason = next(iter(failures.values()), "it gave no answer at all")
        raise SetupError(f"it answered no question: {reason}")
    return _count(answers, failures)


def _ask(judge: Judge, size_px: int, deadline: float, failures: dict[str, str]) -> AnswersByPicture:
    """Return the answers; pictures that failed go into `failures`."""
    from tqdm import tqdm

    def tiles() -> Iterator[TileQuestions]:
        for number, exam in enumerate(exams()):
            if number and time.monotonic() > deadline:
                return
            yield exam.tile(size_px)

    answers: dict[str, dict[int, JudgeAnswer]] = {}
    total = sum(len(exam.probes) for exam in exams())
    with tqdm(total=total, unit="question", desc="self-test") as progress:
        for reply in judge.replies(tiles()):
            if reply.error is not None:
                failures[reply.item_id] = reply.error
                log.warning("%s: %s", reply.item_id, reply.error)
            if reply.answers:
                answers.setdefault(reply.item_id, {}).update(reply.answers)
            progress.update(len(reply.answers))
    return answers


def _count(answers: AnswersByPicture, failures: Mapping[str, str]) -> PictureAnswers:
    """Return accuracy and share of yes; the interval is over pictures."""
    by_picture = [_pairs(exam, answers[exam.name]) for exam in exams() if exam.name in answers]
    right = np.array([[sum(_is_right(*pair) for pair in pairs)] for pairs in by_picture])
    asked = np.array([[len(pairs)] for pairs in by_picture])
    pairs = [pair for of_picture in by_picture for pair in of_picture]
    interval = intervals(right.astype(np.float64), asked.astype(np.float64))[0]
    return PictureAnswers(
        pictures=len(by_picture),
        pictures_expected=len(exams()),
        overall=_shares(pairs),
        interval=(interval[0], interval[1]) if interval else None,
        invalid=sum(answer.invalid for _, answer in pairs),
        by_category={
            category: _shares([pair for pair in pairs if pair[0].category == category])
            for category in sorted({probe.category for probe, _ in pairs})
        },
        failures=failures,
    )


def _pairs(exam: Exam, answers: Mapping[int, JudgeAnswer]) -> Pairs:
    """Return each question of a picture that was answered, with its answer."""
    return [(probe, answers[qid]) for qid, probe in enumerate(exam.probes, 1) if qid in answers]


def _shares(pairs: Pairs) -> Shares:
    return Shares(
        questions=len(pairs),
        accuracy=_accuracy(pairs),
        accuracy_of_true=_accuracy([pair for pair in pairs if pair[0].truth]),
        accuracy_of_false=_accuracy([pair for pair in pairs if not pair[0].truth]),
        yes_rate=mean_of([answer.text == YES for _, answer in pairs]),
    )


def _accuracy(pairs: Pairs) -> float | None:
    return mean_of([_is_right(*pair) for pair in pairs]) if pairs else None


def _is_right(probe: Probe, answer: JudgeAnswer) -> bool:
    return (answer.text == YES) == probe.truth


def find_faults(pictures: PictureAnswers) -> list[Fault]:
    """Return what is wrong with a judge that answers so; the gravest first."""
    faults: list[Fault] = []
    yes_rate = pictures.overall.yes_rate
    if yes_rate >= ALWAYS:
        faults.append(Fault("always yes", f"it says yes to {_percent(yes_rate)}; half are true"))
    if yes_rate <= 1 - ALWAYS:
        faults.append(Fault("never yes", f"it says yes to {_percent(yes_rate)}; half are true"))
    if pictures.invalid > MOST_INVALID * pictures.overall.questions:
        sentence = f"{pictures.invalid} answers are neither yes nor no"
        faults.append(Fault("invalid answers", sentence))
    interval = pictures.interval
    if pictures.accuracy < LEAST_ACCURACY or (interval and interval[0] <= 0.5):
        ends = f" ({_percent(interval[0])} to {_percent(interval[1])})" if interval else ""
        right = f"{_percent(pictures.accuracy)} are right{ends}"
        faults.append(Fault("guessing", f"{right}; guessing gives 50%"))
    return faults


def _warnings(pictures: PictureAnswers) -> list[str]:
    """Return what to know of a judge although it may be sound, a sentence each."""
    warnings = [
        f"no better than guessing on {name}: {_percent(shares.accuracy)} of {shares.questions}"
        for name, shares in pictures.by_category.items()
        if shares.accuracy is not None and shares.accuracy < LEAST_ACCURACY
    ]
    missing = pictures.pictures_expected - pictures.pictures
    if missing > 0:
        warnings.append(f"{missing} of {pictures.pictures_expected} pictures not asked")
    return warnings


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
