"""`dpgbench score`: ask what was not asked yet, then score under each rule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.cli.console import command_line, print_json, print_table, raise_incomplete, say
from dpgbench.cli.options import (
    AsJson,
    BaseUrl,
    Bench,
    Decode,
    Device,
    Dtype,
    Items,
    Limit,
    MaxRequests,
    Partial,
    Revision,
    Source,
    Weights,
    judge_request,
    split_items,
)

if TYPE_CHECKING:
    from dpgbench.jobs.subject import Subject


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("score")(score)


def score(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|FOLDER]", help="A run or a folder of images (default: newest run)."
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option("--rule", help="Rule, repeatable (default: ella-reference, corrected-v1)."),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option("--judge", help="See 'dpgbench judges' (default: mplug)."),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option("--answers", help="Recorded answers (CSV) instead of a judge."),
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
    name: Annotated[
        str | None, typer.Option("--name", help="Model name for the leaderboard.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run directory.")] = None,
    weights: Weights = None,
    revision: Revision = None,
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
    as_json: AsJson = False,
) -> None:
    """Ask what was not asked yet, then score; results are written into the run."""
    from dpgbench.domain.rules import DEFAULT_RULES, find_rule
    from dpgbench.errors import UsageError
    from dpgbench.jobs.find_subject import find_subject
    from dpgbench.jobs.score import ScoreRequest
    from dpgbench.jobs.score import score as run

    rules = rule or DEFAULT_RULES
    for wanted in rules:
        find_rule(wanted)
    choice: dict[str, Any] = {"limit": limit, "items": split_items(items), "sources": source or []}
    place: dict[str, Any] = {"bench": bench, "num_images": num_images, "out": out, "name": name}
    if answers:
        if target is not None:
            raise UsageError(f"{target}: give images to judge or --answers to replay, not both")
        subject = _of_answers(answers, where or [], place, choice)
        request = None
    else:
        request = judge_request(
            judge,
            weights=weights,
            revision=revision,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            decode=decode,
            compile=compile_,
            base_url=base_url,
            max_requests=max_requests,
            questions_per_request=questions_per_request,
            concurrency=concurrency,
            price_in=price_in,
            price_out=price_out,
        )
        subject = find_subject(target, tile_px=tile_px, **place, **choice)
        if subject.manifest.kind == "answers":
            request = None
    outcome = run(
        subject,
        ScoreRequest(
            rules=rules,
            judge=request,
            partial=partial,
            reference_files=reference_files,
            command=command_line(),
        ),
    )
    for note in subject.manifest.notes:
        say(f"note: {note}")
    if as_json:
        print_json({"results": list(outcome.results)})
    else:
        _print(outcome.results)
        typer.echo(f"results: {outcome.run.path / 'scores'}")
    if outcome.refused:
        raise outcome.refused[0]
    raise_incomplete(outcome.incomplete, "not scored", partial=partial)


def _of_answers(
    path: Path, where: list[str], place: dict[str, Any], choice: dict[str, Any]
) -> Subject:
    from dpgbench.errors import UsageError
    from dpgbench.jobs.find_subject import subject_of_answers
    from dpgbench.store.benchmarks import load_benchmark
    from dpgbench.store.replay import parse_where, read_recorded_answers

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
