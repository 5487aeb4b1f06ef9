"""`dpgbench score`: ask what was not asked yet, then score under each rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import (
    command_line,
    echo,
    print_json,
    print_table,
    raise_incomplete,
    say,
    say_unless_quiet,
)
from dpgbench.cli.event_log import LogJson, logging_events
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import (
    AsJson,
    Bench,
    EngineChoice,
    Grace,
    ItemOptions,
    JudgeName,
    JudgeOptions,
    LayoutOptions,
    ShardChoice,
    complete_rule,
)
from dpgbench.domain.rules import ALL_RULES, DEFAULT_RULES, find_rule
from dpgbench.domain.shard import Shard
from dpgbench.errors import DpgBenchError, UsageError, counted
from dpgbench.interrupts import GRACE_SECONDS, set_grace

if TYPE_CHECKING:
    from dpgbench.backends.protocols import JudgeRequest
    from dpgbench.domain.result import Result
    from dpgbench.jobs.find_target import ItemChoice
    from dpgbench.jobs.score import Scored, ScoreRequest
    from dpgbench.jobs.target import Target


@dataclass(frozen=True)
class RecordedAnswersOptions:
    """Answers that are there already, in place of a judge."""

    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="Recorded answers (CSV, JSON lines) instead of a judge."),
    ] = None
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Rows of --answers (repeatable)."),
    ] = None


@dataclass(frozen=True)
class RunOptions:
    """The run that a folder of images, or recorded answers, become."""

    name: Annotated[str | None, typer.Option("--name", help="Model name for the leaderboard.")] = (
        None
    )
    out: Annotated[Path | None, typer.Option("--out", help="Run directory.")] = None


@dataclass(frozen=True)
class ScoringOptions:
    """How answers are scored, and what is written."""

    partial: Annotated[
        bool,
        typer.Option("--partial", help="Missing images or answers are expected: exit with 0."),
    ] = False
    reference_files: Annotated[
        bool, typer.Option("--reference-files", help="Also write the ELLA script's text files.")
    ] = False
    read_answers: Annotated[
        bool,
        typer.Option(
            "--read-answers", help="Read answers as yes or no whatever their case, spaces, marks."
        ),
    ] = False
    ask_invalid_again: Annotated[
        bool,
        typer.Option("--ask-invalid-again", help="Ask anew what was answered neither yes nor no."),
    ] = False

    def request(self, rules: Sequence[str]) -> ScoreRequest:
        """Return the request, as yet without a judge."""
        from dpgbench.jobs.score import ScoreRequest

        return ScoreRequest(
            rules=rules,
            partial=self.partial,
            reference_files=self.reference_files,
            read_answers=self.read_answers,
            ask_invalid_again=self.ask_invalid_again,
            command=command_line(),
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score")(score)


@with_option_groups
def score(
    *,
    targets: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN|FOLDER", help="Runs or folders of images (default: the newest run)."
        ),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every run under runs/.")] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule",
            help=f"Repeatable; one of {', '.join(ALL_RULES)} (default: the judge's own, else "
            f"{', '.join(DEFAULT_RULES)}).",
            autocompletion=complete_rule,
        ),
    ] = None,
    judge: JudgeName = None,
    recorded: RecordedAnswersOptions,
    bench: Bench = None,
    layout: LayoutOptions,
    run: RunOptions,
    judge_options: JudgeOptions,
    items: ItemOptions,
    scoring: ScoringOptions,
    shard: ShardChoice = None,
    engine: EngineChoice,
    grace: Grace = GRACE_SECONDS,
    log_json: LogJson = None,
    as_json: AsJson = False,
) -> None:
    """Ask what was not asked yet, then score; results are written into each run."""
    with logging_events(log_json, "score") as events:
        set_grace(grace)
        rules = list(dict.fromkeys(rule or ()))
        for name in rules:
            find_rule(name)
        request = replace(scoring.request(rules), engine=engine.options(), events=events)
        part = Shard.parse(shard) if shard is not None else None
        if part and (recorded.answers or scoring.reference_files):
            option = "--answers" if recorded.answers else "--reference-files"
            raise UsageError(f"--shard {shard}: {option} is about the whole run; leave --shard out")
        finders: dict[Path, Callable[[], Target]]
        if judge_options.detections and not targets and not all_ and bench:
            find = partial(_detected, judge, judge_options, bench, layout, run, items.choice())
            finders = {judge_options.detections: find}
        elif recorded.answers:
            if targets or all_:
                shown = targets[0] if targets else "--all"
                raise UsageError(f"{shown}: give images to judge or --answers to replay, not both")
            if request.ask_invalid_again:
                raise UsageError("--ask-invalid-again: --answers has no judge to ask; name a run")
            find = partial(_recorded, recorded, bench, layout.num_images, run, items.choice())
            finders = {recorded.answers: find}
        elif recorded.where:
            raise UsageError(
                f"--where {recorded.where[0]}: it chooses rows of --answers, and there are none"
            )
        else:
            asked = judge_options.request(judge, elsewhere=engine.address is not None)
            paths = _paths(targets or [], run, every_run=all_)
            asked, choice = _take_hub(asked, items.choice(), paths, bench)
            request = replace(request, judge=asked)
            finders = {
                path: partial(_run_or_folder, path, bench, layout, run, choice, part)
                for path in paths
            }
        _score_each(finders, request, as_json=as_json)


def _paths(targets: Sequence[Path], run: RunOptions, *, every_run: bool) -> Sequence[Path]:
    """Return the runs and folders to score; where none is named, the newest run, and say so.

    Raises:
        UsageError: there is no run, or the options fit one target alone.
    """
    from dpgbench.store.run.directory import runs_by_age

    if targets and every_run:
        raise UsageError(f"{targets[0]}: name runs or give --all, not both")
    if not targets:
        runs = [directory.path for directory in runs_by_age()]
        targets = sorted(runs) if every_run else runs[-1:]
        if not every_run:
            others = f"; {counted(len(runs) - 1, 'other run')}: --all scores all"
            say_unless_quiet(f"scoring {runs[-1]}, the newest run" + others * (len(runs) > 1))
    if len(targets) > 1 and (run.out or run.name):
        option = "--out" if run.out else "--name"
        raise UsageError(f"{option} is for one run or folder; {len(targets)} are named")
    return targets


def _take_hub(
    judge: JudgeRequest, choice: ItemChoice, paths: Sequence[Path], bench: str | None
) -> tuple[JudgeRequest, ItemChoice]:
    """Return the judge with the source of weights that ``--source`` names, and the items.

    A hub's name is one of weights where the judge can be had from there and no benchmark has items
    of such a source; what was understood is said.

    Raises:
        UsageError: two hubs are named.
    """
    from dpgbench.backends.judges.request import check_request
    from dpgbench.backends.judges.table import WEIGHTS_SOURCES, find_judge
    from dpgbench.jobs.find_target import has_item_source

    hubs = sorted({source for source in choice.sources if source in WEIGHTS_SOURCES})
    takes_hubs = "weights_source" in find_judge(judge.name).options
    if (
        judge.options.get("weights_source")
        or not takes_hubs
        or not hubs
        or any(has_item_source(path, bench, hubs) for path in paths)
    ):
        return judge, choice
    if len(hubs) > 1:
        raise UsageError(f"--source {' --source '.join(hubs)}: weights are from one source")
    hub = hubs[0]
    say_unless_quiet(
        f"--source {hub}: taken as --weights-source {hub}, for no item is of such a source"
    )
    from_hub = replace(judge, options={**judge.options, "weights_source": hub})
    check_request(from_hub)
    sources = [source for source in choice.sources if source != hub]
    return from_hub, replace(choice, sources=sources)


def _run_or_folder(
    path: Path,
    bench: str | None,
    layout: LayoutOptions,
    run: RunOptions,
    choice: ItemChoice,
    shard: Shard | None,
) -> Target:
    """Return a run or a folder of images as something to score."""
    from dpgbench.jobs.find_target import find_target

    return find_target(
        path,
        bench=bench,
        image_options=layout.image_options(),
        item_choice=choice,
        out=run.out,
        name=run.name,
        shard=shard,
    )


def _recorded(
    recorded: RecordedAnswersOptions,
    bench: str | None,
    num_images: int | None,
    run: RunOptions,
    choice: ItemChoice,
) -> Target:
    """Return the recorded answers as something to score.

    Raises:
        UsageError: the benchmark that they are about is not named.
    """
    from dpgbench.jobs.find_target import target_of_answers
    from dpgbench.store.benchmarks import load_benchmark
    from dpgbench.store.csv_rows import parse_where
    from dpgbench.store.recorded_answers import read_recorded_answers

    if not bench or recorded.answers is None:
        raise UsageError("--answers needs --bench, the benchmark that the answers are about")
    where = parse_where(recorded.where or [])
    return target_of_answers(
        read_recorded_answers(recorded.answers, where),
        load_benchmark(bench),
        source=recorded.answers,
        where=where,
        num_images=num_images,
        item_choice=choice,
        out=run.out,
        name=run.name,
    )


def _detected(
    judge: str | None,
    judge_options: JudgeOptions,
    bench: str,
    layout: LayoutOptions,
    run: RunOptions,
    choice: ItemChoice,
) -> Target:
    """Return detections as something to score: no image is needed."""
    from dpgbench.jobs.find_target import target_of_detections
    from dpgbench.store.benchmarks import load_benchmark

    return target_of_detections(
        judge_options.request(judge),
        load_benchmark(bench),
        num_images=layout.num_images,
        item_choice=choice,
        out=run.out,
        name=run.name,
    )


def _score_each(
    finders: Mapping[Path, Callable[[], Target]], request: ScoreRequest, *, as_json: bool
) -> None:
    """Score one after the other and print; what fails is said, and the rest goes on.

    Args:
        finders: by path, what finds the target there or raises.
        request: how to score each of them.
        as_json: print one JSON object instead of a table.

    Raises:
        DpgBenchError: the first failure.
    """
    outcomes: list[Scored] = []
    failures: list[DpgBenchError] = []
    for path, find in finders.items():
        try:
            outcome = _score_one(find(), request)
            outcomes.append(outcome)
            if outcome.refused:
                raise outcome.refused[0]
            what = "not scored" if outcome.results else "not judged"
            raise_incomplete(outcome.incomplete, what, partial=request.partial)
        except DpgBenchError as error:
            failures.append(error if len(finders) == 1 else type(error)(f"{path}: {error}"))
    _print_all(outcomes, as_json=as_json)
    for later in failures[1:]:
        say(f"error: {later}")
    if failures:
        raise failures[0]


def _score_one(target: Target, request: ScoreRequest) -> Scored:
    """Score a target, and say the notes of its run and its judge, each once."""
    from dpgbench.backends.judges.table import notes_on
    from dpgbench.jobs.score import score as run

    announced: list[str] = []

    def announce(note: str) -> None:
        """Say a note that must be read before the judge has worked for hours."""
        announced.append(note)
        say(f"note: {note}")

    target.announce = announce
    if request.judge and target.manifest.kind != "answers":
        _hint(request.judge, target)
    outcome = run(target, request)
    of_results = (note for result in outcome.results for note in notes_on(result.judge))
    for note in dict.fromkeys([*target.manifest.notes, *of_results]):
        if note not in announced:
            say(f"note: {note}")
    return outcome


def _hint(judge: JudgeRequest, target: Target) -> None:
    """Name the judge that goes with the benchmark's world where another one is asked."""
    from dpgbench.backends.judges.table import DEFAULT_JUDGE, JUDGES, find_judge

    name = target.benchmark.name
    native = [entry.name for entry in JUDGES.values() if entry.world == name]
    if judge.name == DEFAULT_JUDGE and native:
        say_unless_quiet(f"hint: {target.run.path} is about {name}: --judge {native[0]} knows it")
    elif find_judge(judge.name).world not in (None, name):
        say_unless_quiet(f"hint: the judge for {name} is --judge {DEFAULT_JUDGE}")


def _print_all(outcomes: Sequence[Scored], *, as_json: bool) -> None:
    from dpgbench.store.run.scores import result_json

    results = [result for outcome in outcomes for result in outcome.results]
    if as_json:
        print_json({"results": [result_json(result) for result in results]})
    elif outcomes:
        if results:
            _print(results)
        for outcome in outcomes:
            if not outcome.results:  # a shard has none
                echo(f"answers: {outcome.run.path / 'answers'}")
                continue
            whole = f" of {outcome.subset.with_choice}" if outcome.subset else ""
            echo(f"results{whole}: {outcome.run.path / 'scores'}")


def _print(results: Sequence[Result]) -> None:
    rows = []
    for result in results:
        interval = result.interval
        rows.append(
            [
                result.model,
                result.judge,
                result.rule,
                _number(result.overall),
                f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "",
                f"{result.items_scored}/{result.items_expected}",
                "  ".join(f"{name} {_number(c.score)}" for name, c in result.l1.items()),
            ]
        )
    print_table(["model", "judge", "rule", "overall", "95% interval", "items", "L1"], rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
