"""`dpgbench demo`: the whole path on the embedded benchmark and models, offline, on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import command_line, echo, say
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import EngineChoice

if TYPE_CHECKING:
    from dpgbench.engine.options import EngineOptions
    from dpgbench.store.run.directory import RunDir

MODELS = ("tiny-sd15", "tiny-ella-sd15")
JUDGE = "tiny-mplug"
BENCHMARK = "shapes"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


@with_option_groups
def demo(
    *,
    out: Annotated[Path, typer.Option("--out", help="Where runs and report go.")] = Path(
        "runs/demo"
    ),
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="How many prompts, spread over the benchmark.")
    ] = 40,
    engine: EngineChoice,
) -> None:
    """Generate, judge, score and report two small models; the same command again resumes."""
    from dpgbench.engine.open import kept_cluster
    from dpgbench.report import build_report

    options = engine.options()
    with kept_cluster(options, device="cpu"):
        runs = _runs(out, limit, options)
    paths = build_report(runs, out / "report")
    page = next(path for path in paths if path.suffix == ".html")
    echo(f"report: {page.resolve()}")


def _runs(out: Path, limit: int, engine: EngineOptions) -> list[RunDir]:
    """Return a run of each model, drawn and scored; print its results."""
    from dpgbench.backends.generators.plan import GeneratorRequest
    from dpgbench.backends.judges.request import judge_request
    from dpgbench.jobs.find_target import target_of_run
    from dpgbench.jobs.generate import GenerateRequest, generate
    from dpgbench.jobs.score import ScoreRequest, score
    from dpgbench.store.benchmarks import load_benchmark

    benchmark = load_benchmark(BENCHMARK)
    items = _spread(benchmark.select(), limit)
    runs = []
    for model in MODELS:
        request = GenerateRequest(
            generator=GeneratorRequest(model, device="cpu"),
            benchmark=benchmark,
            items=items,
            out=out / model,
            engine=engine,
            command=command_line(),
        )
        runs.append(generate(request).run)
        target = target_of_run(runs[-1].path)
        judge = judge_request(JUDGE)
        scored = score(target, ScoreRequest(judge=judge, engine=engine, command=command_line()))
        for note in target.manifest.notes:
            say(f"note: {note}")
        for result in scored.results:
            echo(f"{model}  {result.rule}  {result.overall:.2f}")
    return runs


def _spread(items: Sequence[str], limit: int) -> list[str]:
    """Return at most `limit` of `items` at even distances: some of every kind."""
    number = min(limit, len(items))
    return [items[len(items) * (2 * position + 1) // (2 * number)] for position in range(number)]
