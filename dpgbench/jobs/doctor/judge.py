"""Is a judge sound? Asked about pictures with known answers, and for mPLUG its golden values.

What a sound judge is, is decided here: a few numbers, with names. Nothing is written.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from dpgbench.backends.failures import Failures
from dpgbench.backends.judges.table import MPLUG_REPOSITORY, find_judge, load_judge
from dpgbench.backends.protocols import (
    Judge,
    JudgeAnswer,
    JudgeEntry,
    JudgeRequest,
    StreamingJudge,
    TileQuestions,
)
from dpgbench.backends.weights.mplug_hub import is_cached
from dpgbench.domain.answer_text import YES
from dpgbench.domain.statistics.bootstrap import intervals
from dpgbench.errors import SetupError
from dpgbench.jobs.ask import replies
from dpgbench.jobs.doctor.exam import PICTURE_PX, WORLD_PX, Probe, exams
from dpgbench.jobs.doctor.machine import weights
from dpgbench.mplug.self_test import GoldenReport, check_golden
from dpgbench.store.run.manifest import environment

log = logging.getLogger(__name__)

SECONDS: Final = 45.0
"""So long after the start no further picture is begun: a slow judge is asked about fewer."""
LEAST_ACCURACY: Final = 0.6
"""A judge below cannot be trusted with a score; guessing gives 0.5."""
ALWAYS: Final = 0.98
"""A judge with this share of one answer gives no other."""
MOST_INVALID: Final = 0.1
CANNOT_RUN: Final = "cannot run"
_MPLUG: Final = "dpgbench.backends.judges.mplug:"

Given = Mapping[str, Mapping[int, JudgeAnswer]]
"""Answers by picture and question number."""
Pairs = Sequence[tuple[Probe, JudgeAnswer]]


class Finding(NamedTuple):
    """Something wrong with a judge: in a word or two, and in a sentence."""

    name: str
    sentence: str


def examine_judge(request: JudgeRequest) -> dict[str, Any]:
    """Return whether the judge is sound, and why not: what `dpgbench doctor --judge --json` prints.

    Raises:
        UsageError: there is no such judge, or it has no such option.
    """
    start = time.monotonic()
    entry = find_judge(request.name)
    network = check_golden(request.device) if entry.target.startswith(_MPLUG) else None
    found = _network_findings(network) if network else []
    pictures: dict[str, Any] | None = None
    described: dict[str, Any] = {}
    try:
        _refuse_to_fetch(entry, request)
        judge = load_judge(request)
        described = judge.describe()
        size_px = WORLD_PX if entry.world else PICTURE_PX
        pictures = ask_about_pictures(judge, size_px, start + SECONDS)
        found += judge_pictures(pictures)
    except SetupError as error:
        found.append(Finding(CANNOT_RUN, str(error)))
    return {
        "judge": request.label,
        "device": request.device,
        "dtype": request.dtype,
        "describe": described,
        "sound": not found,
        "verdict": found[0].name if found else "sound",
        "reasons": [finding.sentence for finding in found],
        "warnings": _warnings(pictures) if pictures else [],
        "pictures": pictures,
        "network": network._asdict() | {"sound": network.sound} if network else None,
        "machine": environment(),
        "seconds": round(time.monotonic() - start, 1),
    }


def _refuse_to_fetch(entry: JudgeEntry, request: JudgeRequest) -> None:
    """Raise where weights would be fetched: gigabytes that nobody asked this command for."""
    if request.options.get("weights_source") == "hf":
        if not is_cached(request.revision):
            at = f" --revision {request.revision}" if request.revision else ""
            raise SetupError(
                "its weights are not in the hub's cache on this machine; get them with "
                f"'hf download {MPLUG_REPOSITORY}{at}', then run the same command again"
            )
        return
    for finding in weights():
        needed = finding["used_by"] == entry.name and finding["role"] not in request.weights
        if needed and not finding["present"]:
            raise SetupError(
                f"its weights are not on this machine; get them with '{finding['command']}', "
                f"then say --weights {finding['role']}=FOLDER"
            )


def ask_about_pictures(
    judge: Judge | StreamingJudge, size_px: int, deadline: float
) -> dict[str, Any]:
    """Return how often the judge is right, over all and by category; progress on stderr.

    Args:
        judge: ready to answer.
        size_px: side of each picture.
        deadline: `time.monotonic()` after which no further picture is begun; the first always is.

    Raises:
        SetupError: it answered nothing.
    """
    failures = Failures()
    given = _ask(judge, size_px, deadline, failures)
    if not given:
        reason = next(iter(failures.reasons.values()), "it gave no answer at all")
        raise SetupError(f"it answered no question: {reason}")
    return {**_figures(given), "failures": dict(failures.reasons)}


def _ask(judge: Judge | StreamingJudge, size_px: int, deadline: float, failures: Failures) -> Given:
    from tqdm import tqdm

    def tiles() -> Iterator[TileQuestions]:
        for number, exam in enumerate(exams()):
            if number and time.monotonic() > deadline:
                return
            yield exam.tile(size_px)

    given: dict[str, dict[int, JudgeAnswer]] = {}
    total = sum(len(exam.probes) for exam in exams())
    with tqdm(total=total, unit="question", desc="self-test") as progress:
        for reply in replies(judge, tiles(), failures):
            if reply.error is not None:
                failures.reasons[reply.item_id] = reply.error
                log.warning("%s: %s", reply.item_id, reply.error)
            if reply.answers:
                given.setdefault(reply.item_id, {}).update(reply.answers)
            progress.update(len(reply.answers))
    return given


def _figures(given: Given) -> dict[str, Any]:
    """Return accuracy and share of yes; the interval is over pictures."""
    pairs_by_picture: list[Pairs] = [
        [
            (probe, given[exam.name][qid])
            for qid, probe in enumerate(exam.probes, 1)
            if qid in given[exam.name]
        ]
        for exam in exams()
        if exam.name in given
    ]
    right = np.array([[sum(_is_right(p, said) for p, said in x)] for x in pairs_by_picture])
    asked = np.array([[len(pairs)] for pairs in pairs_by_picture])
    pairs = [pair for of_picture in pairs_by_picture for pair in of_picture]
    return {
        "pictures": len(pairs_by_picture),
        "pictures_expected": len(exams()),
        **_shares(pairs),
        "interval": intervals(right.astype(np.float64), asked.astype(np.float64))[0],
        "invalid": sum(said.invalid for _, said in pairs),
        "l1": {
            category: _shares([pair for pair in pairs if pair[0].category == category])
            for category in sorted({probe.category for probe, _ in pairs})
        },
    }


def _shares(pairs: Pairs) -> dict[str, Any]:
    """Return the share of right answers: of all questions, and of those with either truth."""
    return {
        "questions": len(pairs),
        "accuracy": _accuracy(pairs),
        "accuracy_of_true": _accuracy([pair for pair in pairs if pair[0].truth]),
        "accuracy_of_false": _accuracy([pair for pair in pairs if not pair[0].truth]),
        "yes_rate": sum((said.text == YES) for _, said in pairs) / len(pairs),
    }


def _accuracy(pairs: Pairs) -> float | None:
    return sum(_is_right(*pair) for pair in pairs) / len(pairs) if pairs else None


def _is_right(probe: Probe, said: JudgeAnswer) -> bool:
    return (said.text == YES) == probe.truth


def judge_pictures(pictures: Mapping[str, Any]) -> list[Finding]:
    """Return what is wrong with a judge that did so; the gravest first."""
    found: list[Finding] = []
    yes_rate = pictures["yes_rate"]
    if yes_rate >= ALWAYS:
        found.append(Finding("always yes", f"it says yes to {_percent(yes_rate)}; half are true"))
    if yes_rate <= 1 - ALWAYS:
        found.append(Finding("never yes", f"it says yes to {_percent(yes_rate)}; half are true"))
    if pictures["invalid"] > MOST_INVALID * pictures["questions"]:
        sentence = f"{pictures['invalid']} answers are neither yes nor no"
        found.append(Finding("invalid answers", sentence))
    interval = pictures["interval"]  # None where too few pictures were asked about
    if pictures["accuracy"] < LEAST_ACCURACY or (interval and interval[0] <= 0.5):
        ends = f" ({_percent(interval[0])} to {_percent(interval[1])})" if interval else ""
        right = f"{_percent(pictures['accuracy'])} are right{ends}"
        found.append(Finding("guessing", f"{right}; guessing gives 50%"))
    return found


def _network_findings(network: GoldenReport) -> list[Finding]:
    if network.sound:
        return []
    if network.error:
        what = f"mPLUG's network cannot be run here: {network.error}"
    else:
        what = (
            f"mPLUG's network computes something else here than its reference: of "
            f"{network.questions} golden questions {network.other_tokens} have other tokens, "
            f"{network.other_answers} other answers, {network.other_scores} other scores"
        )
    advice = "install the versions of constraints.txt (torch, transformers)"
    return [Finding("broken installation", f"{what}; {advice}")]


def _warnings(pictures: Mapping[str, Any]) -> list[str]:
    """Return what to know of a judge although it may be sound, a sentence each."""
    found = [
        f"no better than guessing on {name}: {_percent(share['accuracy'])} of {share['questions']}"
        for name, share in pictures["l1"].items()
        if share["accuracy"] < LEAST_ACCURACY
    ]
    missing = pictures["pictures_expected"] - pictures["pictures"]
    return found + [f"{missing} of {pictures['pictures_expected']} pictures not asked"] * (
        missing > 0
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
