"""`dpgbench prompts review`: a page on which a person looks through question graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpgbench.cli.console import echo, print_json, say
from dpgbench.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review")(review)


def review(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="Benchmark with questions: a name or a CSV.")
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.html", help="The page (default: NAME-review.html)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one offline page to look through questions, strike and edit them, and download them."""
    from dpgbench.errors import UsageError, counted
    from dpgbench.report.review import write_review_page
    from dpgbench.store.benchmarks import load_benchmark

    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out}: the page is one file; name it .html")
    written = write_review_page(load_benchmark(name), out)
    if as_json:
        print_json({**written._asdict(), "path": str(written.path)})
        return
    echo(str(written.path))
    say(
        f"{counted(written.items, 'item')}, {counted(written.questions, 'question')}, "
        f"{counted(written.flags, 'flag')}, {counted(written.findings, 'finding')} of 'check'; "
        "open it in a browser, and use the CSV that it lets you download"
    )
