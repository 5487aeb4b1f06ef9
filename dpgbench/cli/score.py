"""`dpgbench score`: ask what was not asked yet, then score under each rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial as partial_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from dpgbench.cli.options import (
    AsJson,
    BaseUrl,
    Bench,
    Decode,
    Device,
    Dtype,
    Items,
    Judge,
    Limit,
    MaxRequests,
    Partial,
    Revision,
    Source,
    Weights,
    WeightsSource,
    complete_layout,
    complete_rule,
    judge_request,
    split_items,
)
from dpgbench.domain.rules import DEFAULT_RULES, RULES, find_rule
from dpgbench.errors import DpgBenchError, UsageError, counted

if TYPE_CHECKING:
    from dpgbench.backends.protocols import JudgeRequest
    from dpgbench.jobs.score import Scored, ScoreRequest
    from dpgbench.jobs.target import Subject


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score")(score)


def score(
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
            help=f"Repeatable; one of {', '.join(RULES)} (default: {', '.join(DEFAULT_RULES)}).",
            autocompletion=complete_rule,
        ),
    ] = None,
    judge: Judge = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="Recorded answers (CSV, JSON lines) instead of a judge."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Rows of --answers (repeatable)."),
    ] = None,
    bench: Bench = None,
    num_images: Annotated[
        int | None,
        typer.Option("--num-images", help="Tiles an image: 1, 2 or 4 (default: 4)."),
    ] = None,
    tile_px: Annotated[
        int | None,
        typer.Option("--tile-px", help="Pixels of a tile (default: from the images)."),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            help="ROWSxCOLUMNS of tiles in an image (default: 2x2 of 4).",
            autocompletion=complete_layout,
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", help="Where files are: '{item_id}/samples/{tile:04d}.png'."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", help="Folder that a run's images are in now.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare images with the run's hashes.")
    ] = True,
    name: Annotated[
        str | None, typer.Option("--name", help="Model name for the leaderboard.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run directory.")] = None,
    weights: Weights = None,
    revision: Revision = None,
    weights_source: WeightsSource = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Images at once (not for vision language models)."),
    ] = None,
    decode: Decode = None,
    compile_: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="mplug: torch.compile.")
    ] = None,
    base_url: BaseUrl = None,
    max_requests: MaxRequests = None,
    questions_per_request: Annotated[
        int | None,
        typer.Option("--questions-per-request", help="openai: questions in one request."),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="openai: requests in flight at most.")
    ] = None,
    price_in: Annotated[
        float | None,
        typer.Option("--price-in", help="openai: dollars for a million prompt tokens."),
    ] = None,
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", help="openai: dollars for a million answered tokens."),
    ] = None,
    limit: Limit = None,
    items: Items = None,
    source: Source = None,
    partial: Partial = False,
    reference_files: Annotated[
        bool, typer.Option("--reference-files", help="Also write the ELLA script's text files.")
    ] = False,
    read_answers: Annotated[
        bool,
        typer.Option(
            "--read-answers", help="Read answers as yes or no whatever their case, spaces, marks."
        ),
    ] = False,
    ask_invalid_again: Annotated[
        bool,
        typer.Option("--ask-invalid-again", help="Ask anew what was answered neither yes nor no."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask what was not asked yet, then score; results are written into each run."""
    from dpgbench.jobs.score import ScoreRequest

    for wanted in rule or DEFAULT_RULES:
        find_rule(wanted)
    choice: dict[str, Any] = {"limit": limit, "items": split_items(items), "sources": source or []}
    place: dict[str, Any] = {"bench": bench, "num_images": num_images, "out": out, "name": name}
    request = ScoreRequest(
        rules=list(dict.fromkeys(rule or DEFAULT_RULES)),
        partial=partial,
        reference_files=reference_files,
        read_answers=read_answers,
        ask_invalid_again=ask_invalid_again,
        command=command_line(),
    )
    if answers:
        if targets or all_:
            shown = targets[0] if targets else "--all"
            raise UsageError(f"{shown}: give images to judge or --answers to replay, not both")
        if ask_invalid_again:
            raise UsageError("--ask-invalid-again: --answers has no judge to ask; name a run")
        found = {answers: partial_(_of_answers, answers, where or [], place, choice)}
    elif where:
        raise UsageError(f"--where {where[0]}: it chooses rows of --answers, and there are none")
    else:
        asked = judge_request(
            judge,
            weights=weights,
            revision=revision,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            decode=decode,
            weights_source=weights_source,
            compile=compile_,
            base_url=base_url,
            max_requests=max_requests,
            questions_per_request=questions_per_request,
            concurrency=concurrency,
            price_in=price_in,
            price_out=price_out,
        )
        paths = _paths(targets or [], all_=all_, out=out, name=name)
        asked, choice["sources"] = _take_hub(asked, source or [], paths, bench)
        request = replace(request, judge=asked)
        place |= {"tile_px": tile_px, "layout": layout, "pattern": pattern}
        place |= {"images": images, "verify": verify}
        found = {path: partial_(_of_path, path, **place, **choice) for path in paths}
    _score_each(found, request, as_json=as_json)


def _paths(
    targets: Sequence[Path], *, all_: bool, out: Path | None, name: str | None
) -> Sequence[Path]:
    """Return the runs and folders to score; where none is named, the newest run, and say so.

    Raises:
        UsageError: there is no run, or the options fit one target alone.
    """
    from dpgbench.store.run.directory import runs_by_age

    if targets and all_:
        raise UsageError(f"{targets[0]}: name runs or give --all, not both")
    if not targets:
        runs = [run.path for run in runs_by_age()]
        targets = sorted(runs) if all_ else runs[-1:]
        if not all_:
            others = f"; {counted(len(runs) - 1, 'other run')}: --all scores all"
            say_unless_quiet(f"scoring {runs[-1]}, the newest run" + others * (len(runs) > 1))
    if len(targets) > 1 and (out or name):
        option = "--out" if out else "--name"
        raise UsageError(f"{option} is for one run or folder; {len(targets)} are named")
    return targets


def _take_hub(
    judge: JudgeRequest, words: Sequence[str], paths: Sequence[Path], bench: str | None
) -> tuple[JudgeRequest, list[str]]:
    """Return the judge with the source of weights that ``--source`` names, and those of items.

    A hub's name is one of weights where the judge can be had from there and no benchmark has items
    of such a source; what was understood is said.

    Raises:
        UsageError: two hubs are named.
    """
    from dpgbench.backends.judges.table import WEIGHTS_SOURCES, check_request, find_judge
    from dpgbench.jobs.find_target import has_item_source

    hubs = sorted({word for word in words if word in WEIGHTS_SOURCES})
    takes_hubs = "weights_source" in find_judge(judge.name).options
    said = judge.options.get("weights_source")
    if (
        said
        or not takes_hubs
        or not hubs
        or any(has_item_source(path, bench, hubs) for path in paths)
    ):
        return judge, list(words)
    if len(hubs) > 1:
        raise UsageError(f"--source {' --source '.join(hubs)}: weights are from one source")
    hub = hubs[0]
    say_unless_quiet(
        f"--source {hub}: taken as --weights-source {hub}, for no item is of such a source"
    )
    chosen = replace(judge, options={**judge.options, "weights_source": hub})
    check_request(chosen)
    return chosen, [word for word in words if word != hub]


def _of_path(path: Path, **options: Any) -> Subject:
    from dpgbench.jobs.find_target import find_subject

    return find_subject(path, **options)


def _score_each(
    found: Mapping[Path, Callable[[], Subject]], request: ScoreRequest, *, as_json: bool
) -> None:
    """Score one after the other and print; what fails is said, and the rest goes on.

    Args:
        found: by path, what finds the subject there or raises.

    Raises:
        DpgBenchError: the first failure.
    """
    from dpgbench.jobs.score import score as run

    outcomes: list[Scored] = []
    failures: list[DpgBenchError] = []
    for path, find in found.items():
        try:
            subject = find()
            announced: list[str] = []
            subject.announce = partial_(_announce, announced)
            replayed = subject.manifest.kind == "answers"
            if request.judge and not replayed:
                _hint(request.judge, subject)
            outcome = run(subject, replace(request, judge=None) if replayed else request)
        except DpgBenchError as error:
            failures.append(error if len(found) == 1 else type(error)(f"{path}: {error}"))
            continue
        outcomes.append(outcome)
        for note in subject.manifest.notes:
            if note not in announced:
                say(f"note: {note}")
        try:
            if outcome.refused:
                raise outcome.refused[0]
            raise_incomplete(outcome.incomplete, "not scored", partial=request.partial)
        except DpgBenchError as error:
            failures.append(error if len(found) == 1 else type(error)(f"{path}: {error}"))
    _print_all(outcomes, as_json=as_json)
    for later in failures[1:]:
        say(f"error: {later}")
    if failures:
        raise failures[0]


def _announce(announced: list[str], note: str) -> None:
    """Say a note that must be read before the judge has worked for hours."""
    announced.append(note)
    say(f"note: {note}")


def _hint(judge: JudgeRequest, subject: Subject) -> None:
    """Name the judge that goes with the benchmark's world where another one is asked."""
    from dpgbench.backends.judges.table import DEFAULT_JUDGE, JUDGES, find_judge

    name = subject.benchmark.name
    native = [entry.name for entry in JUDGES.values() if entry.world == name]
    if judge.name == DEFAULT_JUDGE and native:
        say_unless_quiet(f"hint: {subject.run.path} is about {name}: --judge {native[0]} knows it")
    elif find_judge(judge.name).world not in (None, name):
        say_unless_quiet(f"hint: the judge for {name} is --judge {DEFAULT_JUDGE}")


def _print_all(outcomes: Sequence[Scored], *, as_json: bool) -> None:
    results = [result for outcome in outcomes for result in outcome.results]
    if as_json:
        print_json({"results": results})
    elif outcomes:
        _print(results)
        for outcome in outcomes:
            whole = f" of {outcome.subset}" if outcome.subset else ""
            echo(f"results{whole}: {outcome.run.path / 'scores'}")


def _of_answers(
    path: Path, where: list[str], place: dict[str, Any], choice: dict[str, Any]
) -> Subject:
    from dpgbench.jobs.find_target import subject_of_answers
    from dpgbench.store.benchmarks import load_benchmark
    from dpgbench.store.recorded_answers import parse_where, read_recorded_answers

    if not place["bench"]:
        raise UsageError("--answers needs --bench, the benchmark that the answers are about")
    chosen = parse_where(where)
    return subject_of_answers(
        read_recorded_answers(path, chosen),
        load_benchmark(place["bench"]),
        source=path,
        where=chosen,
        num_images=place["num_images"],
        out=place["out"],
        name=place["name"],
        **choice,
    )


def _print(results: Any) -> None:
    rows = []
    for result in results:
        interval = result["interval"]
        rows.append(
            [
                result["model"],
                result["judge"],
                result["rule"],
                _number(result["overall"]),
                f"{interval[0]:.2f}-{interval[1]:.2f}" if interval else "",
                f"{result['items_scored']}/{result['items_expected']}",
                "  ".join(f"{key} {_number(c['score'])}" for key, c in result["l1"].items()),
            ]
        )
    print_table(["model", "judge", "rule", "overall", "95% interval", "items", "L1"], rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
