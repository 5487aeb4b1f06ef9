"""`dpgbench report`: the leaderboard as CSV, Markdown, LaTeX and HTML, figures, model cards."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dpgbench.cli.console import echo
from dpgbench.cli.options import Verify


class Embedded(StrEnum):
    """What of the pictures goes into the page."""

    none = "none"
    thumbs = "thumbs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(report)


def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RUN...]", help="Runs (default: all under runs/)."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER|FILE.html", help="Where the report goes.")
    ] = Path("report"),
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Show published scores, apart.")
    ] = True,
    embed: Annotated[
        Embedded,
        typer.Option("--embed", help="thumbs: small copies of all pictures inside the page."),
    ] = Embedded.none,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="FOLDER", help="Figures as SVG, PDF and PNG, too."),
    ] = None,
    latex: Annotated[
        Path | None,
        typer.Option("--latex", metavar="FOLDER", help="Each LaTeX table as a file, too."),
    ] = None,
    cards: Annotated[
        Path | None,
        typer.Option("--cards", metavar="FOLDER", help="Markdown for model cards, too."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail where a file is not up to date.")
    ] = False,
    verify: Verify = True,
) -> None:
    """Write leaderboard.html, .csv, .md, .tex and .bib, or tell which of them are stale."""
    from dpgbench.errors import DataError, shortened
    from dpgbench.jobs.merge.unmerged import warn_of_unmerged
    from dpgbench.report import ReportOptions, build_report, stale_files
    from dpgbench.store.run.directory import find_runs

    directories = find_runs(runs or [])
    warn_of_unmerged(directories)
    options = ReportOptions(published, embed.value, figures, latex, cards, verify)
    if check:
        stale = stale_files(directories, out, options)
        if stale:
            raise DataError(
                f"stale or absent: {shortened(stale, 20)}; "
                "the same command without --check writes them anew"
            )
        echo(f"up to date: {out}")
        return
    for path in build_report(directories, out, options):
        echo(str(path))
