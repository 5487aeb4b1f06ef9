"""Options that several commands share, the groups that they come in, and what their words mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.errors import UsageError

if TYPE_CHECKING:
    from dpgbench.backends.entries import Role
    from dpgbench.backends.protocols import JudgeRequest
    from dpgbench.engine.options import EngineOptions
    from dpgbench.jobs.find_target import ImageOptions, ItemChoice


def complete_rule(incomplete: str) -> list[str]:
    """Return the rules whose names start so, for the shell's completion."""
    from dpgbench.domain.rules import ALL_RULES

    return [name for name in ALL_RULES if name.startswith(incomplete)]


def complete_layout(incomplete: str) -> list[str]:
    """Return the layouts of tiles whose names start so."""
    from dpgbench.domain.spec import LAYOUTS

    return [str(layout) for layout in LAYOUTS if str(layout).startswith(incomplete)]


def complete_judge(incomplete: str) -> list[str]:
    """Return the judges whose names, or forms of names, start so."""
    from dpgbench.backends.judges.table import FAMILIES, JUDGES

    return [name for name in (*JUDGES, *FAMILIES) if name.startswith(incomplete)]


def complete_model(incomplete: str) -> list[str]:
    """Return the models whose names start so."""
    from dpgbench.backends.generators.table import MODELS

    return [name for name in MODELS if name.startswith(incomplete)]


def complete_bench(incomplete: str) -> list[str]:
    """Return the benchmarks and the CSV files and folders here whose names start so."""
    from dpgbench.store.benchmark_table import named_benchmarks
    from dpgbench.store.prompt_lists import SUFFIXES

    before, _, start = incomplete.rpartition("/")
    folder = Path(f"{before}/" if before or incomplete.startswith("/") else ".")
    here = sorted(folder.iterdir()) if folder.is_dir() else []
    prefix = incomplete[: len(incomplete) - len(start)]
    files = [
        f"{prefix}{path.name}{'/' * path.is_dir()}"
        for path in here
        if path.name.startswith(start) and (path.is_dir() or path.suffix.lower() in SUFFIXES)
    ]
    named = [name for name in named_benchmarks() if name.startswith(incomplete)]
    return [*named, *(name for name in files if start or not name.startswith("."))]


Bench = Annotated[
    str | None,
    typer.Option(
        "--bench",
        metavar="NAME|FILE.csv",
        help="Benchmark: a name of 'dpgbench prompts list', a CSV, or prompts to draw (.txt, "
        ".jsonl, .tsv, .csv).",
        autocompletion=complete_bench,
    ),
]
JudgeName = Annotated[
    str | None,
    typer.Option(
        "--judge", help="See 'dpgbench judges' (default: mplug).", autocompletion=complete_judge
    ),
]
WeightPaths = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="ROLE=PATH", help="Weights on this machine (repeatable)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, cuda:1 ...")]
ImagesFolder = Annotated[
    Path | None, typer.Option("--images", help="Folder that a run's images are in now.")
]
Verify = Annotated[
    bool,
    typer.Option("--verify/--no-verify", help="Check pictures against their recorded hashes."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Grace = Annotated[
    float,
    typer.Option(
        "--grace", min=0, metavar="SECONDS", help="How long SIGTERM waits for the running batch."
    ),
]


ShardChoice = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Part I of N; 'dpgbench merge' joins the parts."),
]


@dataclass(frozen=True)
class WorkersChoice:
    """Which processes a model is in."""

    engine: Annotated[
        str, typer.Option("--engine", help="local (this process) or ray (workers, machines).")
    ] = "local"
    workers: Annotated[
        int | None, typer.Option("--workers", help="ray: how many (default: one a GPU).")
    ] = None
    gpus_per_worker: Annotated[
        float | None, typer.Option("--gpus-per-worker", help="ray: such as 2 or 0.5 (default: 1).")
    ] = None
    cpus_per_worker: Annotated[
        float | None, typer.Option("--cpus-per-worker", help="ray: that it keeps for each.")
    ] = None
    address: Annotated[
        str | None,
        typer.Option(
            "--address", metavar="auto|ray://HOST:PORT", help="ray: a cluster (default: its own)."
        ),
    ] = None

    def options(self) -> EngineOptions:
        """Return the options, checked.

        Raises:
            UsageError: there is no such engine, or an option does not fit it.
        """
        from dataclasses import asdict

        from dpgbench.engine.options import EngineOptions

        return EngineOptions(**asdict(self))


@dataclass(frozen=True)
class EngineChoice(WorkersChoice):
    """Who works on a run, and where."""

    shared_storage: Annotated[
        bool,
        typer.Option("--shared-storage", help="ray: workers see the run's folder as it is here."),
    ] = False


@dataclass(frozen=True)
class ItemOptions:
    """Which items of a benchmark."""

    limit: Annotated[int | None, typer.Option("--limit", help="The first N items only.")] = None
    items: Annotated[
        str | None,
        typer.Option("--items", metavar="A,B", help="These items only, comma-separated."),
    ] = None
    source: Annotated[
        list[str] | None,
        typer.Option("--source", metavar="PREFIX", help="Items of this source only (repeatable)."),
    ] = None

    def choice(self) -> ItemChoice:
        """Return the items that are wanted."""
        from dpgbench.jobs.find_target import ItemChoice

        ids = [item.strip() for item in (self.items or "").split(",")]
        return ItemChoice(self.limit, [item for item in ids if item], self.source or [])


@dataclass(frozen=True)
class LayoutOptions:
    """How an item's images lie in its files, and where these are."""

    num_images: Annotated[
        int | None,
        typer.Option("--num-images", help="Tiles an image: 1 to 10 (default: 4)."),
    ] = None
    tile_px: Annotated[
        int | None,
        typer.Option("--tile-px", help="Pixels of a tile (default: from the images)."),
    ] = None
    layout: Annotated[
        str | None,
        typer.Option(
            "--layout",
            help="ROWSxCOLUMNS of tiles in an image (default: 2x2 of 4).",
            autocompletion=complete_layout,
        ),
    ] = None
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", help="Where files are: '{item_id}/samples/{tile:04d}.png'."),
    ] = None
    images: ImagesFolder = None
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Compare images with the run's hashes.")
    ] = True

    def image_options(self) -> ImageOptions:
        """Return what the words say of images.

        Raises:
            UsageError: there is no such layout or pattern, or the options exclude each other.
        """
        from dpgbench.jobs.find_target import ImageOptions

        return ImageOptions.of(
            num_images=self.num_images,
            tile_px=self.tile_px,
            layout=self.layout,
            pattern=self.pattern,
            images=self.images,
            verify=self.verify,
        )


@dataclass(frozen=True)
class JudgeOptions:
    """What a judge is built from, but for its name."""

    weights: WeightPaths = None
    revision: Annotated[
        str | None, typer.Option("--revision", help="Revision of the judge's weights to fetch.")
    ] = None
    weights_source: Annotated[
        str | None,
        typer.Option(
            "--weights-source",
            metavar="modelscope|hf",
            help="mplug: where its weights are fetched from (default: modelscope).",
        ),
    ] = None
    device: Device = "auto"
    dtype: Annotated[
        str, typer.Option("--dtype", help="The judge's precision; the reference is float32.")
    ] = "float32"
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Images at once (not for vision language models)."),
    ] = None
    decode: Annotated[
        str | None,
        typer.Option("--decode", help="mplug: beam (exact) or first-token (another judge)."),
    ] = None
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="mplug: torch.compile.")
    ] = None
    chunks: Annotated[
        str | None,
        typer.Option(
            "--chunks",
            metavar="3.6.0|3.8.0|spacy|FILE.jsonl",
            help="blip-vqa: whose noun chunks are asked (default: shipped 3.6.0, else spacy).",
        ),
    ] = None
    detections: Annotated[
        Path | None,
        typer.Option(
            "--detections", metavar="FILE.jsonl", help="spatial: what UniDet saw in each image."
        ),
    ] = None
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="openai: address of the server.")
    ] = None
    max_requests: Annotated[
        int | None, typer.Option("--max-requests", help="openai: stop after so many requests.")
    ] = None
    questions_per_request: Annotated[
        int | None,
        typer.Option("--questions-per-request", help="openai: questions in one request."),
    ] = None
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", help="openai: requests in flight at most.")
    ] = None
    price_in: Annotated[
        float | None,
        typer.Option("--price-in", help="openai: dollars for a million prompt tokens."),
    ] = None
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", help="openai: dollars for a million answered tokens."),
    ] = None

    def request(self, judge: str | None, *, elsewhere: bool = False) -> JudgeRequest:
        """Return the request for the judge of a name; None is the default one.

        Args:
            judge: its name.
            elsewhere: it is built on other machines, where its device is looked for.

        Raises:
            UsageError: there is no such judge, or it has no such option, weights or device.
        """
        from dpgbench.backends.judges import request, table

        entry = table.find_judge(judge or table.DEFAULT_JUDGE)
        return request.judge_request(
            entry.name,
            weights=parse_weights(self.weights or [], entry.roles, entry.name),
            revision=self.revision,
            device=self.device,
            dtype=self.dtype,
            batch_size=self.batch_size,
            elsewhere=elsewhere,
            decode=self.decode,
            weights_source=self.weights_source,
            compile=self.compile,
            chunks=self.chunks,
            detections=None if self.detections is None else str(self.detections),
            base_url=self.base_url,
            max_requests=self.max_requests,
            questions_per_request=self.questions_per_request,
            concurrency=self.concurrency,
            price_in=self.price_in,
            price_out=self.price_out,
        )


def parse_weights(values: Sequence[str], roles: Sequence[Role], name: str) -> dict[str, str]:
    """Return paths by role from ``ROLE=PATH`` words.

    Raises:
        UsageError: a word has another form, or names a role that `name` has not.
    """
    names = [role.name for role in roles]
    weights: dict[str, str] = {}
    for value in values:
        role, equals, path = value.partition("=")
        if not equals or not path:
            raise UsageError(f"--weights {value}: write ROLE=PATH, with a role of {names}")
        if role not in names:
            raise UsageError(
                f"--weights {value}: {name} has no role '{role}'; its roles are "
                f"{', '.join(names) or '(none)'}"
            )
        weights[role] = path
    return weights


def parse_revisions(values: Sequence[str], roles: Sequence[Role]) -> dict[str, str]:
    """Return revisions by role from ``REVISION`` or ``ROLE=REVISION`` words.

    A word without a role is of the first role: the model's own repository.

    Raises:
        UsageError: nothing is fetched for the model, or the revision is empty.
    """
    names = [role.name for role in roles]
    revisions: dict[str, str] = {}
    for value in values:
        role, equals, revision = value.partition("=")
        if not equals or role not in names:
            role, revision = (names or [""])[0], value
        if not role or not revision:
            raise UsageError(
                f"--revision {value}: write REVISION or ROLE=REVISION with a role of "
                f"{', '.join(names) or '(none)'}"
            )
        revisions[role] = revision
    return revisions


def parse_options(
    values: Sequence[str], defaults: Mapping[str, Any]
) -> dict[str, str | bool | int | float]:
    """Return a model's own settings from ``NAME=VALUE`` words, typed like the model's defaults.

    Raises:
        UsageError: a word has another form, or names a setting that the model has not.
    """
    options: dict[str, str | bool | int | float] = {}
    for word in values:
        name, equals, text = word.partition("=")
        if not equals or name not in defaults:
            raise UsageError(
                f"--option {word}: write NAME=VALUE with one of {', '.join(defaults) or '(none)'}"
            )
        options[name] = _typed(word, text, defaults[name])
    return options


def _typed(word: str, text: str, default: Any) -> str | bool | int | float:
    """Return an option's value, of the type that its default has."""
    if isinstance(default, bool):
        if text not in ("true", "false"):
            raise UsageError(f"--option {word}: write true or false")
        return text == "true"
    if isinstance(default, (int, float)) or default is None:
        kind = int if default is None else type(default)
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            whole = "a whole number" if kind is int else "a number"
            raise UsageError(f"--option {word}: write {whole}")
        return number
    return text
