"""Answers to result files: what the run is, what is still to ask, and every rule's result."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from dpgbench.backends.entries import JudgeEntry, foreign_notes
from dpgbench.backends.judges.request import check_request
from dpgbench.backends.judges.table import JUDGES, REPLAY, find_judge
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark, Subset
from dpgbench.domain.benchmark_findings import LEFT_OUT, categories_as_typed, names
from dpgbench.domain.graph import Problem, find_problems
from dpgbench.domain.result import Origin, Result
from dpgbench.domain.rules import ALL_RULES, DEFAULT_RULES, ScoringRule, find_rule
from dpgbench.domain.score import (
    Answer,
    Answers,
    Probabilities,
    collect,
    collect_probabilities,
    read_answers,
    score_benchmark,
    stray_answers,
)
from dpgbench.domain.spec import differences
from dpgbench.engine.asking import (
    Asker,
    AskerFactory,
    JudgeFacts,
    OpenGrid,
    refuse_budget_of_many,
)
from dpgbench.engine.open import check_engine, open_workers
from dpgbench.engine.options import EngineOptions
from dpgbench.errors import (
    DataError,
    DpgBenchError,
    IncompleteError,
    ResumeMismatchError,
    UsageError,
    counted,
    shortened,
)
from dpgbench.jobs.ask import Seen, ask_workers, open_grids
from dpgbench.jobs.compbench_files import write_compbench_files
from dpgbench.jobs.ella_text_files import write_reference_files
from dpgbench.jobs.events import EventLog
from dpgbench.jobs.own_questions import (
    ask_about_prompts,
    ask_own_questions,
    ask_recorded_questions,
)
from dpgbench.jobs.target import Target
from dpgbench.store.benchmark_table import asked_by_name
from dpgbench.store.image_files import ImageFiles
from dpgbench.store.run.answers import drop_invalid_answers, read_answer_file, read_answer_lines
from dpgbench.store.run.directory import RunDir, is_run
from dpgbench.store.run.manifest import (
    JudgeRecord,
    Manifest,
    add_accounts,
    check_same,
    environment,
    judge_releases,
    now,
    read_manifest,
)
from dpgbench.store.run.order import order_answers, order_image_log
from dpgbench.store.run.questions import write_own_questions
from dpgbench.store.run.scores import write_result

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)
_MOST_INVALID = 0.2  # share of a judge's answers; with more of them a command never ends with 0


@dataclass(frozen=True)
class ScoreRequest:
    """How to score a target.

    Attributes:
        rules: names, in the order in which results are wanted; none are the judge's own.
        judge: what to ask; a run of recorded answers is scored without one.
        partial: missing images and answers are expected, and not an error.
        reference_files: also write the ELLA script's two text files.
        read_answers: read answers as yes or no, whatever their case, spaces and marks, before any
            rule sees them; the raw answers stay as they are.
        ask_invalid_again: answers of the judge that are neither yes nor no are asked anew.
        engine: who asks, and where.
        command: the command line, for the manifest.
        events: gets what happens.
    """

    rules: Sequence[str] = ()
    judge: JudgeRequest | None = None
    partial: bool = False
    reference_files: bool = False
    read_answers: bool = False
    ask_invalid_again: bool = False
    engine: EngineOptions = field(default_factory=EngineOptions)
    command: str = ""
    events: EventLog = field(default_factory=EventLog)


@dataclass(frozen=True)
class Scored:
    """Results in the order asked, the run that holds them, and what was refused or is missing.

    `subset` is what part of the benchmark they are over, None where it is all of it. Of a shard
    there is no result: a score is one over all shards, merged.
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


def score(target: Target, request: ScoreRequest) -> Scored:
    """Ask what was not asked yet, score under each rule, and write the results into the run.

    Raises:
        UsageError: unknown rule or judge.
        SetupError: the benchmark has no questions, or the judge lacks weights.
        DataError: every rule refuses the benchmark, or an image has a wrong size.
        ResumeMismatchError: the run holds answers of a judge with other weights.
    """
    request, entry, rules = _checked(target, request)
    if is_run(target.run.path):
        with target.run.locked():
            pass  # what a power cut left is mended before it is read
    judge_name = request.judge.label if request.judge else target.recorded_judge
    images: dict[str, ImageFiles] = {}
    reasons = dict(target.reasons)
    if request.judge:
        images, reasons = target.images(partial=request.partial)
    with target.run.locked():
        target.prepare()
        _refuse_other_questions(target, judge_name)
        if target.own_questions:
            write_own_questions(target.run, judge_name, target.own_questions)
        if request.judge:
            reasons |= _ask(target, request.judge, images, request, rules)
        answers = _read_answers(target, judge_name, read=request.read_answers)
        if target.shard:
            return _asked_shard(target, request, answers, reasons)
        results, refused = _score_under(rules, target, answers, reasons, entry.notes)
        if not results:
            raise refused[0]
        if not request.rules and _rules_of(target.benchmark):
            refused = _left_out(refused)
        _warn_dirt(target, [find_rule(result.rule) for result in results])
        invalid = _check_invalid(answers.of_items, judge_name)
        warn_strays(answers.strays, target.benchmark)
        warn_reading(results)
        _warn_no_numbers(results)
        _write(target, request, entry, results, answers)
        _complete(target, request)
    if invalid:
        refused.append(invalid)
    subset = target.benchmark.subset(target.items)
    return Scored(target.run, results, refused, _incomplete(results), subset)


def _checked(
    target: Target, request: ScoreRequest
) -> tuple[ScoreRequest, JudgeEntry, Sequence[ScoringRule]]:
    """Return the request as the target takes it, its judge's entry, and the rules.

    The target gets the questions that the judge makes itself.

    Raises:
        DpgBenchError: judge, rules and benchmark do not go together.
    """
    if target.manifest.kind == "answers":
        request = replace(request, judge=None)
    entry = _entry_of(request.judge.name if request.judge else target.recorded_judge)
    rules = [find_rule(name) for name in request.rules or _usual_rules(target.benchmark, entry)]
    _check_rules(rules, entry)
    if rules[0].asks == "prompt":
        request = replace(request, judge=ask_about_prompts(target, request.judge, rules[0]))
    elif request.judge:
        request = replace(request, judge=ask_own_questions(target, request.judge))
    else:
        ask_recorded_questions(target, target.recorded_judge)
    target.benchmark.require_graphs()
    if request.judge:
        check_engine(request.engine)
        check_request(request.judge)
        refuse_budget_of_many(request.judge, request.engine)
        target.benchmark.require_unique_questions(target.items)
    return request, entry, rules


def _usual_rules(benchmark: Benchmark, entry: JudgeEntry) -> Sequence[str]:
    """Return the rules where none is chosen: the judge's own, the benchmark's, or the usual two."""
    named = [
        name
        for name in _rules_of(benchmark)
        if entry.gives_probabilities or not find_rule(name).of_right_answers
    ]
    return entry.rules or named or DEFAULT_RULES


def _rules_of(benchmark: Benchmark) -> Sequence[str]:
    """Return the rules of a benchmark's authors, where it was asked for by its name."""
    named = asked_by_name(benchmark)
    return named.rules if named else ()


def _left_out(refused: Sequence[DpgBenchError]) -> list[DpgBenchError]:
    """Say which rules nobody chose cannot be had of these answers; they are no error then."""
    for error in refused:
        log.warning("left out: %s", error)
    return []


def _ask(
    target: Target,
    judge: JudgeRequest,
    images: Mapping[str, ImageFiles],
    request: ScoreRequest,
    rules: Sequence[ScoringRule],
) -> dict[str, str]:
    """Ask what is open, and leave the run's lines in order; return why items could not be asked."""
    if request.ask_invalid_again:
        drop_invalid_answers(target.run.answers(judge.label), scratch=target.run.path)
    reasons = _ask_open(target, judge, images, request, rules)
    order_answers(target.run, judge.label, target.benchmark, target.num_images)
    order_image_log(target.run, target.benchmark.prompts)
    return reasons


def _write(
    target: Target,
    request: ScoreRequest,
    entry: JudgeEntry,
    results: Sequence[Result],
    answers: _RunAnswers,
) -> None:
    """Write results, and where they are wanted the files of the authors' own scripts."""
    part = _part_of_run(target)
    for result in results:
        write_result(target.run, result, part)
    if request.reference_files and entry.rules:
        write_compbench_files(target.run, answers.judge, results, part)
    elif request.reference_files:
        write_reference_files(target, answers.judge, answers.texts, part)


def _entry_of(judge: str) -> JudgeEntry:
    """Return a judge's entry; an empty one of recorded answers."""
    return JudgeEntry(REPLAY, "", "") if judge == REPLAY else find_judge(judge)


def _check_rules(rules: Sequence[ScoringRule], entry: JudgeEntry) -> None:
    """Raise where a rule is about other answers than the judge gives.

    Raises:
        UsageError: names both.
    """
    for rule in rules:
        if rule.asks == "prompt" and len(rules) > 1:
            raise UsageError(
                f"--rule {rule.name} asks a question of its own about each prompt: give it in a "
                "command of its own, without another --rule"
            )
        if rule.of_right_answers and not entry.gives_probabilities:
            raise UsageError(
                f"--rule {rule.name}: judge {entry.name} gives no probabilities, and the rule is "
                "about them; ask one of its judges alone, or take another --rule"
            )
    if entry.name not in JUDGES:
        return
    gives_numbers = any(find_rule(name).image_score == "number" for name in entry.rules)
    for rule in rules:
        if (rule.image_score == "number") != gives_numbers:
            what = "the number of each image" if gives_numbers else "yes and no"
            own = f"leave --rule out ({', '.join(entry.rules or DEFAULT_RULES)})"
            raise UsageError(f"--rule {rule.name}: judge {entry.name} gives {what}; {own}")


def _asked_shard(
    target: Target, request: ScoreRequest, answers: _RunAnswers, reasons: Mapping[str, str]
) -> Scored:
    """Return what came of asking a part: no result, for a score is one over all parts."""
    invalid = _check_invalid(answers.of_items, answers.judge)
    done = collect([*_answers_at_home(target, answers.judge), *answers.of_items])
    incomplete = {
        item_id: reasons.get(item_id, "not all answers")
        for item_id in target.items
        for tile in range(target.num_images)
        if any(
            row.qid not in done.get((item_id, tile), {})
            for row in target.benchmark.items.get(item_id, ())
        )
    }
    _complete(target, request)
    subset = target.benchmark.subset(target.items)
    return Scored(target.run, [], [invalid] if invalid else [], incomplete, subset)


def _answers_at_home(target: Target, judge: str) -> list[Answer]:
    """Return the answers that the run has which the target is a part of."""
    return read_answer_file(target.home.answers(judge)) if target.home else []


@dataclass(frozen=True)
class _RunAnswers:
    """A judge's answers in a run.

    Attributes:
        judge: whose answers.
        of_items: to the chosen items, as they were given.
        strays: that are about nothing in the benchmark.
        texts: of all of them as rules see them, by (item_id, tile) and question number.
        probabilities: of yes, likewise, of those answers that have one.
        num_read: how many were read as yes or no; None where they were taken as they are.
    """

    judge: str
    of_items: Sequence[Answer]
    strays: Sequence[Answer]
    texts: Answers
    probabilities: Probabilities
    num_read: int | None


def _read_answers(target: Target, judge: str, *, read: bool) -> _RunAnswers:
    raw = read_answer_file(target.run.answers(judge))
    words = target.benchmark.word_questions
    answers, num_read = read_answers(raw, words) if read else (raw, None)
    chosen = set(target.items)
    return _RunAnswers(
        judge,
        [answer for answer in raw if answer.item_id in chosen],
        stray_answers(raw, target.benchmark, target.num_images),
        collect(answers),
        collect_probabilities(answers),
        num_read,
    )


def _score_under(
    rules: Sequence[ScoringRule],
    target: Target,
    answers: _RunAnswers,
    reasons: Mapping[str, str],
    notes: Sequence[str] = (),
) -> tuple[list[Result], list[DpgBenchError]]:
    """Return the result under each rule, and the errors of rules that refuse the benchmark.

    Args:
        rules: in the order in which results are wanted.
        target: whose items are scored.
        answers: to score.
        reasons: why items could not be judged, by id.
        notes: on the judge, that stand beside each of its numbers.
    """
    origin = Origin(
        judge=answers.judge,
        model=target.manifest.model,
        num_read=answers.num_read,
        num_invalid=sum(answer.invalid for answer in answers.of_items),
        num_strays=len(answers.strays),
        num_single_colour_tiles=_num_single_colour_tiles(target),
        reasons=reasons,
        notes=(*target.manifest.notes, *notes),
    )
    results: list[Result] = []
    refused: list[DpgBenchError] = []
    for rule in rules:
        try:
            result = score_benchmark(
                target.benchmark,
                answers.texts,
                rule,
                num_images=target.num_images,
                items=target.items,
                origin=origin,
                probabilities=answers.probabilities,
            )
        except DataError as error:
            refused.append(error)
        else:
            results.append(result)
    return results, refused


def _part_of_run(target: Target) -> str:
    """Return what names a result over fewer items than the run set out to do, else "".

    So it never replaces the result over all of them.
    """
    subset = target.benchmark.subset(target.items)
    for_judge = {item for item in target.manifest.items if item in target.benchmark.items}
    narrower = set(target.items) < (
        for_judge if target.own_questions else set(target.manifest.items)
    )
    return subset.file_part if subset and narrower else ""


def _ask_open(
    target: Target,
    request: JudgeRequest,
    images: Mapping[str, ImageFiles],
    scoring: ScoreRequest,
    rules: Sequence[ScoringRule],
) -> dict[str, str]:
    """Ask what is open; return why items could not be asked."""
    entry = find_judge(request.name)
    own = read_answer_file(target.run.answers(request.label))
    at_home = _answers_at_home(target, request.label)
    if scoring.ask_invalid_again:  # a shard asks anew what the run has no valid answer to
        at_home = [a for a in at_home if not (a.invalid or is_missing(a.answer))]
    answers = collect([*at_home, *own])
    about_probabilities = [rule for rule in rules if rule.of_right_answers]
    grids = open_grids(
        target.benchmark,
        target.items,
        images,
        answers,
        target.num_images,
        forms=bool(about_probabilities) or target.benchmark.is_worded,
    )
    _count_truncated(target, request.label)
    options = request.options
    chosen = request.weights or options.get("weights_source") or options.get("detections")
    recorded = request.label in target.manifest.judges and not chosen
    if not grids and (recorded or not images):
        return {}  # nothing is left to ask: the judge need not be loaded
    factory = AskerFactory(request, target.grid, has_answers=bool(answers))
    device = request.device if entry.on_device else "cpu"
    own_class = entry.target if entry.is_own else None
    sent = partial(OpenGrid.for_another_process, shared_storage=scoring.engine.shared_storage)
    with open_workers(
        scoring.engine, factory, device=device, own_class=own_class, for_another_process=sent
    ) as workers:
        facts = workers.call(Asker.facts)
        record = _judge_record(target, request.label, facts)
        target.manifest.judges[request.label] = record
        notes = foreign_notes("judge", request.label, entry.world, target.benchmark.name)
        target.manifest.note(*notes)
        target.manifest.write(target.run.manifest)
        if not grids:
            return {}
        seen = Seen()
        try:
            asked = ask_workers(
                target.run,
                request.label,
                facts.class_name,
                workers,
                grids,
                seen,
                events=scoring.events,
                rule=rules[0] if len(about_probabilities) == len(rules) else None,
            )
        finally:
            _keep_single_colour(target, seen.single_colour)
            _keep_account(target, record, seen)
    _count_truncated(target, request.label)
    if asked.truncated_questions and request.about:
        target.manifest.note(
            f"judge {request.label} read the beginning of long prompts alone: its number is not "
            "about the rest"
        )
    if asked.truncated_questions:
        log.warning(
            "%s longer than the judge reads, which never sees the rest",
            counted(asked.truncated_questions, "question"),
        )
    return dict(asked.failures)


def _count_truncated(target: Target, judge: str) -> None:
    """Put into the manifest how many questions were longer than a judge reads, by its answers.

    They are counted anew, for a kill may have come between an answer and its count.
    """
    record = target.manifest.judges.get(judge)
    if record is not None:
        lines = read_answer_lines(target.run.answers(judge))
        cut = {(ln["item_id"], ln["tile"], ln["qid"]) for ln in lines if ln.get("truncated")}
        record["truncated_questions"] = len(cut)


def _refuse_other_questions(target: Target, judge: str) -> None:
    """Raise where the run has answers of the judge to other questions than the benchmark's.

    Raises:
        ResumeMismatchError: questions were rewritten after the judge was asked.
    """
    path = target.run.answers(judge)
    if not path.exists() or not path.stat().st_size:
        return
    asked = target.manifest.questions_sha256(judge)
    present = target.benchmark.questions_sha256
    if asked not in (None, present):
        raise ResumeMismatchError(
            f"{target.run.path} holds answers of judge {judge} to other questions than "
            f"{target.benchmark.path} has now (questions_sha256: {asked[:12]} -> {present[:12]}); "
            "restore the questions, or score into another --out"
        )
    if asked is None and target.manifest.judge(judge):
        log.warning("%s does not tell which questions %s was asked", target.run.manifest, judge)


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


def _keep_single_colour(target: Target, alike: Mapping[str, list[int]]) -> None:
    """Put tiles whose pixels are all alike into the manifest, and warn of those that are new."""
    recorded = target.manifest.single_colour
    new = {item_id: alike[item_id] for item_id in sorted(alike) if item_id not in recorded}
    if not new:
        return
    target.manifest.record_single_colour({**recorded, **new})
    target.manifest.write(target.run.manifest)
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
        target.run.manifest,
    )


def _num_single_colour_tiles(target: Target) -> int:
    """Return how many tiles of the chosen items have pixels that are all alike."""
    items = target.manifest.single_colour
    return sum(len(tiles) for item_id, tiles in items.items() if item_id in target.items)


def _keep_account(target: Target, record: JudgeRecord, seen: Seen) -> None:
    """Add what asking cost each worker to what it cost earlier commands, however this one ended."""
    for account in seen.account_by_worker.values():
        record["account"] = add_accounts(record.get("account", {}), account)
    if seen.account_by_worker:
        target.manifest.write(target.run.manifest)


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
    exact = [r.rule for r in suspicious if ALL_RULES[r.rule].answers == "exact"]
    read = [r.rule for r in suspicious if ALL_RULES[r.rule].answers == "read"]
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


def _is_of_numbers(result: Result) -> bool:
    return ALL_RULES[result.rule].image_score == "number"


def _warn_no_numbers(results: Sequence[Result]) -> None:
    """Say under which rule answers that are no number have cost items their score."""
    for result in results:
        lost = [item for item in result.items if item.answered and item.failure]
        if _is_of_numbers(result) and lost and result.overall is not None:
            log.warning(
                "%d of %s %s left out of the mean of rule %s, first %s: %s",
                len(lost),
                counted(result.items_expected, "item"),
                "is" if len(lost) == 1 else "are",
                result.rule,
                lost[0].item_id,
                result.failures.get(lost[0].item_id),
            )


def _judge_record(target: Target, name: str, facts: JudgeFacts) -> JudgeRecord:
    """Return what the manifest says of the judge.

    Raises:
        ResumeMismatchError: the run has answers of a judge of this name that is another one.
    """
    described: dict[str, object] = {
        **facts.description,
        "questions_sha256": target.benchmark.questions_sha256,
    }
    path = target.run.answers(name)
    has_answers = path.exists() and bool(path.stat().st_size)
    before = target.manifest.judges.get(name) if has_answers else None
    at_home = read_manifest(target.home.manifest).judges.get(name) if target.home else None
    for run, asked in ((target.run, before), (target.home, at_home)):
        if asked and run:
            old = {key: asked.get(key) for key in described}
            check_same(run.path, old, described, f"answers of judge {name}")
    record = cast(
        "JudgeRecord", {**described, **facts.origin, "truncated_questions": 0, **(before or {})}
    )
    here = judge_releases()
    if before is None:
        record["releases"] = here
    elif changed := differences(record.get("releases", here), here):
        log.warning("answers so far were given with other releases: %s", shortened(changed))
    return record


def _warn_dirt(target: Target, rules: Sequence[ScoringRule]) -> None:
    """Say what a rule that mends graphs has left out, and which categories are kept as typed.

    One line a kind: how many, the first of them, and the command that lists all.
    """
    graphs = [target.benchmark.graphs[item] for item in target.items]
    items = [target.benchmark.items[item] for item in target.items]
    listing = f"'dpgbench prompts check {shlex.quote(str(target.benchmark.path))}' lists all"
    mending = names(rule for rule in rules if rule.gate == "ancestors")
    left_out: dict[str, list[Problem]] = {}
    for problem in find_problems(graphs) if mending else ():
        if problem.kind in LEFT_OUT:
            left_out.setdefault(problem.kind, []).append(problem)
    for kind, problems in left_out.items():
        log.warning(
            "%s: %s left out under %s, first %s; %s",
            target.benchmark.path,
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
                target.benchmark.path,
                counted(len(typed), "row"),
                row.row,
                row.item_id,
                rule.name,
                category,
                listing,
            )


def _complete(target: Target, request: ScoreRequest) -> None:
    manifest: Manifest = target.manifest
    if request.command:
        manifest.commands.append(request.command)
    manifest.environment = manifest.environment or environment()
    manifest.completed = now()
    manifest.write(target.run.manifest)


def _incomplete(results: Sequence[Result]) -> dict[str, str]:
    """Return the items that lack images or answers, in the benchmark's order, with the reason.

    Where no answer of a judge of numbers is one, there is no score: its items are among them.
    """
    return {
        item.item_id: result.failures.get(item.item_id, "not all answers")
        for result in results
        for item in result.items
        if not item.answered or (result.overall is None and _is_of_numbers(result))
    }
