"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dpgbench.backends.protocols import JudgeRequest


def complete_rule(incomplete: str) -> list[str]:
    """Return the rules whose names start so, for the shell's completion."""
    from dpgbench.domain.rules import RULES

    return [name for name in RULES if name.startswith(incomplete)]


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
    from dpgbench.store.benchmarks import DPG, packaged_names
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
    named = [name for name in (DPG, *packaged_names()) if name.startswith(incomplete)]
    return [*named, *(name for name in files if start or not name.startswith("."))]


Bench = Annotated[
    str | None,
    typer.Option(
        "--bench",
        metavar="NAME|FILE.csv",
        help="Benchmark: dpg, shapes, a CSV, or prompts to draw (.txt, .jsonl, .tsv, .csv).",
        autocompletion=complete_bench,
    ),
]
Judge = Annotated[
    str | None,
    typer.Option(
        "--judge", help="See 'dpgbench judges' (default: mplug).", autocompletion=complete_judge
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", help="The first N items only.")]
Items = Annotated[
    str | None, typer.Option("--items", metavar="A,B", help="These items only, comma-separated.")
]
Source = Annotated[
    list[str] | None,
    typer.Option("--source", metavar="PREFIX", help="Items of this source only (repeatable)."),
]
Weights = Annotated[
    list[str] | None,
    typer.Option("--weights", metavar="ROLE=PATH", help="Weights on this machine (repeatable)."),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, mps, cuda:1 ...")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Dtype = Annotated[
    str, typer.Option("--dtype", help="The judge's precision; the reference is float32.")
]
Decode = Annotated[
    str | None,
    typer.Option("--decode", help="mplug: beam (exact) or first-token (another judge)."),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Revision of the judge's weights to fetch.")
]
WeightsSource = Annotated[
    str | None,
    typer.Option(
        "--weights-source",
        metavar="modelscope|hf",
        help="mplug: where its weights are fetched from (default: modelscope).",
    ),
]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="openai: address of the server.")]
MaxRequests = Annotated[
    int | None, typer.Option("--max-requests", help="openai: stop after so many requests.")
]
Partial = Annotated[
    bool, typer.Option("--partial", help="Missing images or answers are expected: exit with 0.")
]


def judge_request(
    name: str | None,
    *,
    weights: list[str] | None = None,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    batch_size: int | None = None,
    **options: Any,
) -> JudgeRequest:
    """Return the request that a command's words make; options left out are the judge's own."""
    from dpgbench.backends.import_class import parse_weights
    from dpgbench.backends.judges import table as judges

    entry = judges.find_judge(name or judges.DEFAULT_JUDGE)
    return judges.judge_request(
        entry.name,
        weights=parse_weights(weights or [], entry.roles, entry.name),
        revision=revision,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        options={option: value for option, value in options.items() if value is not None},
    )


def split_items(text: str | None) -> list[str]:
    """Return the ids of a comma-separated list."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]
