"""`dpgbench report`: the leaderboard as CSV, Markdown and HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Runs [all under runs/].")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER|FILE.html", help="Where the report goes.")
    ] = Path("report"),
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Show published scores, apart.")
    ] = True,
) -> None:
    """Write leaderboard.csv, leaderboard.md and leaderboard.html."""
    from dpgbench.report import build_report
    from dpgbench.store.rundir import find_runs

    paths = build_report(find_runs(runs or []), out, published=published)
    for path in paths:
        typer.echo(str(path))
