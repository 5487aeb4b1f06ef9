"""`dpgbench plan`: what a run will take, before it is started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dpgbench.cli.console import echo, print_json, print_table
from dpgbench.cli.generate import CallOptions, PriceImage, SettingOptions
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import (
    AsJson,
    Bench,
    Device,
    ItemOptions,
    JudgeName,
    JudgeOptions,
    WeightPaths,
    complete_model,
)
from dpgbench.errors import UsageError

if TYPE_CHECKING:
    from dpgbench.backends.entries import JudgeEntry, ModelEntry
    from dpgbench.backends.generators.drawing_options import DrawingOptions
    from dpgbench.backends.generators.plan import GeneratorRequest
    from dpgbench.backends.protocols import JudgeRequest
    from dpgbench.jobs.planning.commands import RunCommands
    from dpgbench.jobs.planning.figures import Figure
    from dpgbench.jobs.planning.plan import Plan


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan")(plan)


@dataclass(frozen=True)
class RateOptions:
    """How fast a worker is, where that need not be tried; and what it costs."""

    gpus: Annotated[int, typer.Option("--gpus", help="Workers at once, a GPU each.")] = 1
    tries: Annotated[
        int, typer.Option("--try", help="Items that are tried to find a rate that is not given.")
    ] = 2
    seconds_per_image: Annotated[
        float | None, typer.Option("--seconds-per-image", help="Of one worker; then none is drawn.")
    ] = None
    questions_per_second: Annotated[
        float | None,
        typer.Option("--questions-per-second", help="Of one worker; then none is asked."),
    ] = None
    start_seconds: Annotated[
        float | None,
        typer.Option("--start-seconds", help="From a worker's start to its first item."),
    ] = None
    price_per_gpu_hour: Annotated[
        float | None, typer.Option("--price-per-gpu-hour", help="Dollars.")
    ] = None
    price_image: PriceImage = None
    tokens_per_image: Annotated[
        int | None,
        typer.Option("--tokens-per-image", help="openai: that the server counts for a picture."),
    ] = None


@dataclass(frozen=True)
class PlannedCallOptions(CallOptions):
    """How items share calls of the networks that draw (--batch-size is the judge's here)."""

    generate_batch_size: Annotated[
        str,
        typer.Option(
            "--generate-batch-size",
            metavar="auto|N",
            help="The --batch-size of generate: items drawn in one call.",
        ),
    ] = "1"

    OPTIONS: ClassVar = ("generate_batch_size", "compile")

    def options(self) -> DrawingOptions:
        """Return them as `generate` takes them."""
        return CallOptions(self.generate_batch_size, self.compile).options()

    @property
    def words(self) -> list[str]:
        """What `generate` is to be given."""
        size = self.generate_batch_size
        words = ["--batch-size", size] if size != CallOptions.batch_size else []
        return [*words, "--compile"] if self.compile else words


@dataclass(frozen=True)
class PlannedJudgeOptions(JudgeOptions):
    """What the judge is built from, but for what it shares with the model."""

    judge_dtype: Annotated[
        str, typer.Option("--judge-dtype", help="The judge's precision (--dtype is the model's).")
    ] = "float32"

    OPTIONS: ClassVar = (
        *("judge_dtype", "weights_source", "batch_size", "decode", "base_url"),
        *("questions_per_request", "concurrency", "price_in", "price_out"),
    )


@with_option_groups
def plan(
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", help="What draws.", autocompletion=complete_model),
    ] = None,
    judge: JudgeName = None,
    bench: Bench = None,
    rates: RateOptions,
    settings: SettingOptions,
    calls: PlannedCallOptions,
    judge_options: PlannedJudgeOptions,
    weights: WeightPaths = None,
    device: Device = "auto",
    items: ItemOptions,
    out: Annotated[
        Path | None, typer.Option("--out", help="Run directory, for the commands.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell work, memory, disk, hours and cost of a run, and the commands that make it.

    Each number says what it rests on: counted, measured, given, estimated, assumed, unknown.
    Nothing is fetched; a few items are tried where a rate is needed and not given.
    """
    from dpgbench.jobs.planning.plan import PlanRequest, plan_run

    words = _Words(model, judge, weights or [])
    entry, asked = words.entries()
    planned = plan_run(
        PlanRequest(
            bench=bench,
            generator=words.generator(entry, settings, calls, device, bench) if entry else None,
            judge=words.judge_request(asked, judge_options, device) if asked else None,
            choice=items.choice(),
            gpus=rates.gpus,
            tries=rates.tries,
            seconds_per_image=rates.seconds_per_image,
            questions_per_second=rates.questions_per_second,
            start_seconds=rates.start_seconds,
            price_per_gpu_hour=rates.price_per_gpu_hour,
            tokens_per_image=rates.tokens_per_image,
            price_image=rates.price_image,
        )
    )
    drawing = [*_flags(settings), *calls.words]
    commands = _commands(words, bench, drawing, judge_options, items, out, device, rates.gpus)
    if as_json:
        print_json({**planned.to_json(), "commands": commands.to_json()})
    else:
        _print(planned, commands)


@dataclass(frozen=True)
class _Words:
    """What draws and what judges, as the user wrote it."""

    model: str | None
    judge: str | None
    weights: Sequence[str]

    def entries(self) -> tuple[ModelEntry | None, JudgeEntry | None]:
        """Return the entries.

        Raises:
            UsageError: there is no such model or judge, or weights are of neither.
        """
        from dpgbench.backends.generators.table import find_model
        from dpgbench.backends.judges.table import find_judge

        model = find_model(self.model) if self.model else None
        judge = find_judge(self.judge) if self.judge else None
        roles = [role.name for entry in (model, judge) if entry for role in entry.roles]
        for word in self.weights:
            if word.partition("=")[0] not in roles:
                names = ", ".join(roles) or "(none)"
                raise UsageError(f"--weights {word}: write ROLE=PATH, with a role of {names}")
        return model, judge

    def of(self, entry: ModelEntry | JudgeEntry) -> list[str]:
        """Return the words about the weights of a model or a judge."""
        roles = [role.name for role in entry.roles]
        return [word for word in self.weights if word.partition("=")[0] in roles]

    def generator(
        self,
        entry: ModelEntry,
        settings: SettingOptions,
        calls: PlannedCallOptions,
        device: str,
        bench: str | None,
    ) -> GeneratorRequest:
        from dpgbench.backends.generators.plan import GeneratorRequest
        from dpgbench.cli.options import parse_weights
        from dpgbench.store.benchmark_table import named_benchmarks

        paths = parse_weights(self.of(entry), entry.roles, entry.name)
        named = named_benchmarks().get(bench or entry.benchmark)
        chosen = settings.settings(entry.all_options, named)
        return GeneratorRequest(entry.name, paths, chosen, device, drawing=calls.options())

    def judge_request(
        self, entry: JudgeEntry, options: PlannedJudgeOptions, device: str
    ) -> JudgeRequest:
        from dataclasses import replace

        words = self.of(entry)
        chosen = replace(options, weights=words, device=device, dtype=options.judge_dtype)
        return chosen.request(entry.name)


def _commands(
    words: _Words,
    bench: str | None,
    drawing: Sequence[str],
    judge_options: PlannedJudgeOptions,
    items: ItemOptions,
    out: Path | None,
    device: str,
    workers: int,
) -> RunCommands:
    from dpgbench.jobs.planning.commands import RunCommands
    from dpgbench.store.paths import file_name

    entry, asked = words.entries()
    place = str(out or Path("runs") / file_name(words.model or "images"))
    common = [*_flags(items), *(["--device", device] if device != "auto" else [])]
    generate: list[str] = []
    if entry and words.model:
        generate = ["--model", words.model, *(["--bench", bench] if bench else [])]
        generate += ["--out", place, *drawing, *_weights(words.of(entry)), *common]
    score: list[str] = []
    if asked and words.judge:
        score = [place, "--judge", words.judge, *(["--bench", bench] if bench else [])]
        score += [*_flags(judge_options), *_weights(words.of(asked)), *common]
    parts = {"generate": entry, "judge": asked}
    servers = frozenset(name for name, part in parts.items() if part and not part.on_device)
    return RunCommands(generate, score, place, workers, servers)


def _weights(words: Sequence[str]) -> list[str]:
    return [part for word in words for part in ("--weights", word)]


def _flags(group: Any) -> list[str]:
    """Return the options of a group that are not as they are by themselves, as words."""
    names = getattr(group, "OPTIONS", None)
    words: list[str] = []
    for item in fields(group):
        value = getattr(group, item.name)
        if value == item.default or (names and item.name not in names):
            continue
        flag = "--dtype" if item.name == "judge_dtype" else "--" + item.name.replace("_", "-")
        for part in value if isinstance(value, list) else [value]:
            words += [flag, str(part)]
    return words


def _print(planned: Plan, commands: RunCommands) -> None:
    rows = [
        [_heading(section, name), _number(section, name, figure), figure.basis, figure.note]
        for section, name, figure in _figures(planned.sections)
    ]
    print_table(["", "", "basis", "note"], rows)
    for remark in planned.remarks:
        echo(f"note: {remark}")
    _print_commands(commands)


def _figures(
    sections: Mapping[str, Mapping[str, Figure]],
) -> Iterator[tuple[str, str, Figure]]:
    for section, figures in sections.items():
        for name, figure in figures.items():
            yield section, name, figure


def _heading(section: str, name: str) -> str:
    what = section.partition("_")[0]
    return (
        name.replace("_", " ")
        if what in ("units", "rates")
        else f"{what}: {name}".replace("_", " ")
    )


def _number(section: str, name: str, figure: Figure) -> str:
    value = figure.value
    if value is None:
        return "unknown"
    if section == "disk_bytes":
        return f"{value / 1e9:,.2f} GB" if value >= 1e7 else f"{value / 1e6:,.2f} MB"
    if section == "memory_gib":
        return f"{value:.2f} GiB"
    if section == "hours":
        if name.startswith("share"):
            return f"{value:.0f}%"
        return f"{value:,.1f} h" if value >= 1 else f"{60 * value:.1f} min"
    if section == "cost_dollars" and not name.endswith("tokens"):
        return f"{value:,.2f} $"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def _print_commands(commands: RunCommands) -> None:
    echo("\nin one process:")
    for command in commands.alone:
        echo(f"  {command}")
    if commands.workers == 1:
        return
    echo(f"with Ray, {commands.workers} workers:")
    for command in commands.ray:
        echo(f"  {command}")
    echo("with Slurm, this script for sbatch:")
    for line in commands.slurm.splitlines():
        echo(f"  {line}")
    echo("and when all of its tasks have ended:")
    for command in commands.after_slurm:
        echo(f"  {command}")
