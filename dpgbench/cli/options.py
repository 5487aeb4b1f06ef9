"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Bench = Annotated[
    str | None,
    typer.Option("--bench", metavar="NAME|FILE.csv", help="Benchmark: dpg, shapes, or a CSV."),
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
Partial = Annotated[
    bool, typer.Option("--partial", help="Missing images or answers are expected: exit with 0.")
]


def split_items(text: str | None) -> list[str]:
    """Return the ids of a comma-separated list."""
    return [item.strip() for item in (text or "").split(",") if item.strip()]
