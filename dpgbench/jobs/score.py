"""Answers to result files: what the run is, what is still to ask, and every rule's result."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from dpgbench.backends.entries import foreign_notes
from dpgbench.backends.judges.answer_checks import checked_description
from dpgbench.backends.judges.table import REPLAY, check_request, find_judge, load_judge
from dpgbench.backends.protocols import Judge, JudgeRequest
from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark, Subset
from dpgbench.domain.benchmark_findings import LEFT_OUT, categories_as_typed, names
from dpgbench.domain.graph import Problem, find_problems
from dpgbench.domain.result import Origin, Result
from dpgbench.domain.rules import DEFAULT_RULES, RULES, ScoringRule, find_rule
from dpgbench.domain.score import (
    Answer,
    collect,
    read_answers,
    score_benchmark,
    stray_answers,
)
from dpgbench.domain.spec import differences
from dpgbench.errors import (
    DataError,
    DpgBenchError,
    IncompleteError,
    ResumeMismatchError,
    counted,
    shortened,
)
from dpgbench.jobs.ask import ask, open_grids
from dpgbench.jobs.ella_text_files import write_reference_files
from dpgbench.jobs.target import Target
from dpgbench.store.image_files import ImageFiles
from dpgbench.store.run.answers import drop_invalid_answers, read_answer_file
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import (
    JudgeRecord,
    Manifest,
    add_accounts,
    check_same,
    environment,
    judge_releases,
    now,
)
from dpgbench.store.run.scores import write_result

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)
_MOST_INVALID = 0.2  # share of a judge's answers; with more of them a command never ends with 0


@dataclass(frozen=True)
class ScoreRequest:
    """How to score a subject.

    Attributes:
        rules: names, in the order in which results are wanted.
        judge: what to ask; a run of recorded answers is scored without one.
        partial: missing images and answers are expected, and not an error.
        reference_files: also write the ELLA script's two text files.
        read_answers: read answers as yes or no, whatever their case, spaces and marks, before any
            rule sees them; the raw answers stay as they are.
        ask_invalid_again: answers of the judge that are neither yes nor no are asked anew.
        command: the command line, for the manifest.
    """

    rules: Sequence[str] = DEFAULT_RULES
    judge: JudgeRequest | None = None
    partial: bool = False
    reference_files: bool = False
    read_answers: bool = False
    ask_invalid_again: bool = False
    command: str = ""


@dataclass(frozen=True)
class Scored:
    """Results in the order asked, the run that holds them, and what was refused or is missing.

    `subset` is what part of the benchmark they are over, None where it is all of it.
    """

    run: RunDir
    results: Sequence[Result]
    refused: Sequence[DpgBenchError]
    incomplete: Mapping[str, str] = field(default_factory=dict)
    subset: Subset | None = None

    def to_frame(self) -> DataFrame:
        """Return the results as a pandas table, a row for each, for notebooks.

        Columns: model, judge, rule, overall, low, high (0 to 100), items_scored, items_expected,
        coverage (0 to 1).
        """
        import pandas as pd

        columns = ["model", "judge", "rule", "overall", "low", "high"]
        columns += ["items_scored", "items_expected", "coverage"]
        rows = [
            (
                *(r.model, r.judge, r.rule, r.overall, *(r.interval or (None, None))),
                *(r.items_scored, r.items_expected, r.coverage),
            )
            for r in self.results
        ]
        return pd.DataFrame(rows, columns=columns)


def score(subject: Target, request: ScoreRequest) -> Scored:
    """Ask what was not asked yet, score under each rule, and write the results into the run.

    Raises:
        UsageError: unknown rule or judge.
        SetupError: the benchmark has no questions, or the judge lacks weights.
        DataError: every rule refuses the benchmark, or an image has a wrong size.
        ResumeMismatchError: the run holds answers of a judge with other weights.
    """
    rules = [find_rule(name) for name in request.rules]
    if subject.manifest.kind == "answers":
        request = replace(request, judge=None)
    subject.benchmark.require_graphs()
    if request.judge:
        check_request(request.judge)
        subject.benchmark.require_unique_questions(subject.items)
    judge_name = request.judge.label if request.judge else REPLAY
    images, reasons = subject.images(partial=request.partial) if request.judge else ({}, {})
    with subject.run.locked():
        subject.prepare()
        _refuse_other_questions(subject, judge_name)
        if request.judge:
            if request.ask_invalid_again:
                drop_invalid_answers(subject.run.answers(judge_name), scratch=subject.run.path)
            reasons |= _ask_open(subject, request.judge, images)
        raw = read_answer_file(subject.run.answers(judge_name))
        answers, num_read = read_answers(raw) if request.read_answers else (raw, None)
        texts = collect(answers)
        strays = stray_answers(raw, subject.benchmark, subject.num_images)
        chosen = set(subject.items)
        ours = [answer for answer in raw if answer.item_id in chosen]
        origin = Origin(
            judge=judge_name,
            model=subject.manifest.model,
            num_read=num_read,
            num_invalid=sum(answer.invalid for answer in ours),
            num_strays=len(strays),
            num_single_colour_tiles=_num_single_colour_tiles(subject),
            reasons=reasons,
            notes=tuple(subject.manifest.notes),
        )
        results: list[Result] = []
        refused: list[DpgBenchError] = []
        for rule in rules:
            try:
                results.append(
                    score_benchmark(
                        subject.benchmark,
                        texts,
                        rule,
                        num_tiles=subject.num_images,
                        items=subject.items,
                        origin=origin,
                    )
                )
            except DataError as error:
                refused.append(error)
        if not results:
            raise refused[0]
        _warn_dirt(subject, [find_rule(result.rule) for result in results])
        invalid = _check_invalid(ours, judge_name)
        warn_strays(strays, subject.benchmark)
        warn_reading(results)
        part = _part_of_run(subject)
        for result in results:
            write_result(subject.run, result, part)
        if request.reference_files:
            write_reference_files(subject, judge_name, texts, part)
        _complete(subject, request)
    if invalid:
        refused.append(invalid)
    subset = subject.benchmark.subset(subject.items)
    return Scored(subject.run, results, refused, _incomplete(results), subset)


def _part_of_run(subject: Target) -> str:
    """Return what names a result over fewer items than the run set out to do, else "".

    So it never replaces the result over all of them.
    """
    subset = subject.benchmark.subset(subject.items)
    narrower = set(subject.items) < set(subject.manifest.items)
    return subset.file_part if subset and narrower else ""


def _ask_open(
    subject: Target, request: JudgeRequest, images: Mapping[str, ImageFiles]
) -> dict[str, str]:
    """Ask what is open; return why items could not be asked."""
    entry = find_judge(request.name)
    answers = collect(read_answer_file(subject.run.answers(request.label)))
    grids = open_grids(subject.benchmark, subject.items, images, answers, subject.num_images)
    chosen = request.weights or request.options.get("weights_source")
    recorded = request.label in subject.manifest.judges and not chosen
    if not grids and (recorded or not images):
        return {}  # nothing is left to ask: the judge need not be loaded
    judge = load_judge(request)
    record = _judge_record(subject, request.label, judge)
    subject.manifest.judges[request.label] = record
    notes = foreign_notes("judge", request.label, entry.world, subject.benchmark.name)
    subject.manifest.note(*notes)
    subject.manifest.write(subject.run.manifest)
    if not grids:
        return {}
    alike: dict[str, list[int]] = {}
    try:
        asked = ask(
            subject.run, request.label, judge, grids, subject.grid, alike, has_answers=bool(answers)
        )
    finally:
        _keep_single_colour(subject, alike)
        _keep_account(subject, record, judge)
    record["truncated_questions"] += asked.truncated_questions
    if asked.truncated_questions:
        log.warning(
            "%s longer than the judge reads, which never sees the rest",
            counted(asked.truncated_questions, "question"),
        )
    return dict(asked.failures)


def _refuse_other_questions(subject: Target, judge: str) -> None:
    """Raise where the run has answers of the judge to other questions than the benchmark's.

    Raises:
        ResumeMismatchError: questions were rewritten after the judge was asked.
    """
    path = subject.run.answers(judge)
    if not path.exists() or not path.stat().st_size:
        return
    asked = subject.manifest.questions_sha256(judge)
    present = subject.benchmark.questions_sha256
    if asked not in (None, present):
        raise ResumeMismatchError(
            f"{subject.run.path} holds answers of judge {judge} to other questions than "
            f"{subject.benchmark.path} has now (questions_sha256: {asked[:12]} -> {present[:12]}); "
            "restore the questions, or score into another --out"
        )
    if asked is None and subject.manifest.judge(judge):
        log.warning("%s does not tell which questions %s was asked", subject.run.manifest, judge)


def warn_strays(strays: Sequence[Answer], benchmark: Benchmark) -> None:
    """Say of answers that are about nothing in the benchmark that they count nowhere."""
    if not strays:
        return
    first = strays[0]
    log.warning(
        "%s about no item, tile or question of %s and %s nowhere (first: item %s tile %d "
        "question %d)",
        "1 answer is" if len(strays) == 1 else f"{len(strays):,} answers are",
        benchmark.name,
        "counts" if len(strays) == 1 else "count",
        first.item_id,
        first.tile,
        first.qid,
    )


def _keep_single_colour(subject: Target, alike: Mapping[str, list[int]]) -> None:
    """Put tiles whose pixels are all alike into the manifest, and warn of those that are new."""
    recorded = subject.manifest.single_colour
    new = {item_id: alike[item_id] for item_id in sorted(alike) if item_id not in recorded}
    if not new:
        return
    subject.manifest.record_single_colour({**recorded, **new})
    subject.manifest.write(subject.run.manifest)
    first, tiles = next(iter(new.items()))
    num_new = sum(len(tiles) for tiles in new.values())
    log.warning(
        "%s of %s %s of one single colour (first: tile %d of %s): look at them; all are listed "
        "in %s under generation.single_colour",
        counted(num_new, "tile"),
        counted(len(new), "item"),
        "is" if num_new == 1 else "are",
        tiles[0],
        first,
        subject.run.manifest,
    )


def _num_single_colour_tiles(subject: Target) -> int:
    """Return how many tiles of the chosen items have pixels that are all alike."""
    items = subject.manifest.single_colour
    return sum(len(tiles) for item_id, tiles in items.items() if item_id in subject.items)


def _keep_account(subject: Target, record: JudgeRecord, judge: Judge) -> None:
    """Add what asking cost to what it cost earlier commands, however this one ended."""
    account = judge.account()
    if account is not None:
        record["account"] = add_accounts(record.get("account", {}), account)
        subject.manifest.write(subject.run.manifest)


def _check_invalid(answers: Sequence[Answer], judge: str) -> IncompleteError | None:
    """Say how many answers of a judge are neither yes nor no; return the error of too many.

    An invalid answer is a no that nobody gave, so that from a share of them on a score is none.
    """
    invalid = [answer for answer in answers if answer.invalid]
    empty = [answer for answer in answers if is_missing(answer.answer) and not answer.invalid]
    if judge == REPLAY or not (invalid or empty):
        return None
    count = len(invalid) + len(empty)
    message = (
        f"{count} of {counted(len(answers), 'answer')} of judge {judge} "
        f"{'is' if count == 1 else 'are'} neither yes nor no "
        f"(first: {(invalid or empty)[0].answer[:100]!r}); --ask-invalid-again asks "
        f"{'it' if count == 1 else 'them'} anew"
    )
    if count > _MOST_INVALID * len(answers):
        return IncompleteError(f"{message}. With so many of them a score means nothing")
    log.warning("%s", message)
    return None


def warn_reading(results: Sequence[Result]) -> None:
    """Say once how loosely each rule read answers that are neither `yes` nor `no`."""
    suspicious = [r for r in results if "answers_neither_yes_nor_no" in r.warnings]
    census = suspicious[0].answers if suspicious else None
    if census is None:
        return
    exact = [r.rule for r in suspicious if RULES[r.rule].answers == "exact"]
    read = [r.rule for r in suspicious if RULES[r.rule].answers == "read"]
    log.warning(
        "%d of %s %s neither 'yes' nor 'no' (such as %r)%s%s%s",
        census.neither,
        counted(census.all, "answer"),
        "is" if census.neither == 1 else "are",
        census.example,
        f"; no under {', '.join(exact)}" if exact else "",
        f"; read where that can be done under {', '.join(read)}" if read else "",
        ""
        if suspicious[0].num_read is not None
        else "; --read-answers reads them once for all rules",
    )


def _judge_record(subject: Target, name: str, judge: Judge) -> JudgeRecord:
    """Return what the manifest says of the judge.

    Raises:
        ResumeMismatchError: the run has answers of a judge of this name that is another one.
    """
    described: dict[str, object] = {
        **checked_description(judge.class_name, judge.describe()),
        "questions_sha256": subject.benchmark.questions_sha256,
    }
    path = subject.run.answers(name)
    has_answers = path.exists() and path.stat().st_size > 0
    before = subject.manifest.judges.get(name) if has_answers else None
    if before:
        old = {key: before.get(key) for key in described}
        check_same(subject.run.path, old, described, f"answers of judge {name}")
    record = cast(
        "JudgeRecord", {**described, **judge.origin(), "truncated_questions": 0, **(before or {})}
    )
    here = judge_releases()
    if before is None:
        record["releases"] = here
    elif changed := differences(record.get("releases", here), here):
        log.warning("answers so far were given with other releases: %s", shortened(changed))
    return record


def _warn_dirt(subject: Target, rules: Sequence[ScoringRule]) -> None:
    """Say what a rule that mends graphs has left out, and which categories are kept as typed.

    One line a kind: how many, the first of them, and the command that lists all.
    """
    graphs = [subject.benchmark.graphs[item] for item in subject.items]
    items = [subject.benchmark.items[item] for item in subject.items]
    listing = f"'dpgbench prompts check {shlex.quote(str(subject.benchmark.path))}' lists all"
    mending = names(rule for rule in rules if rule.gate == "ancestors")
    left_out: dict[str, list[Problem]] = {}
    for problem in find_problems(graphs) if mending else ():
        if problem.kind in LEFT_OUT:
            left_out.setdefault(problem.kind, []).append(problem)
    for kind, problems in left_out.items():
        log.warning(
            "%s: %s left out under %s, first %s; %s",
            subject.benchmark.path,
            counted(len(problems), LEFT_OUT[kind]),
            mending,
            problems[0],
            listing,
        )
    for rule in rules:
        typed = categories_as_typed(items, rule)
        if typed:
            row, category = typed[0]
            log.warning(
                "%s: %s with other dashes or capitals than 'entity - whole', first row %d (item "
                "%s): %s keeps %r as a category of its own; %s",
                subject.benchmark.path,
                counted(len(typed), "row"),
                row.row,
                row.item_id,
                rule.name,
                category,
                listing,
            )


def _complete(subject: Target, request: ScoreRequest) -> None:
    manifest: Manifest = subject.manifest
    if request.command:
        manifest.commands.append(request.command)
    manifest.environment = manifest.environment or environment()
    manifest.completed = now()
    manifest.write(subject.run.manifest)


def _incomplete(results: Sequence[Result]) -> dict[str, str]:
    """Return the items that lack images or answers, in the benchmark's order, with the reason."""
    return {
        item.item_id: result.failures.get(item.item_id, "not all answers")
        for result in results
        for item in result.items
        if not item.answered
    }
