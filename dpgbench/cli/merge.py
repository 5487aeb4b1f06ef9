"""`dpgbench merge`: shards, or several runs, into one run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dpgbench.cli.console import command_line, echo, print_json, raise_incomplete
from dpgbench.cli.event_log import LogJson, logging_events
from dpgbench.cli.options import AsJson, Bench
from dpgbench.errors import counted


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("merge")(merge)


def merge(
    *,
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="A run with shards, or several runs.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="The merged run (default: the one that is named).")
    ] = None,
    bench: Bench = None,
    log_json: LogJson = None,
    as_json: AsJson = False,
) -> None:
    """Join the shards of a run, or several runs, into one; nothing is deleted."""
    from dpgbench.jobs.merge.run import MergeRequest
    from dpgbench.jobs.merge.run import merge as run

    with logging_events(log_json, "merge") as events:
        merged = run(MergeRequest(runs, out, bench, command_line(), events))
        if as_json:
            print_json(
                {
                    "run": str(merged.run.path),
                    "sources": [str(path) for path in merged.sources],
                    "items": merged.items,
                    "images": merged.images,
                    "answers": dict(merged.answers),
                    "incomplete": dict(merged.incomplete),
                    "shards_bytes": merged.shards_bytes,
                    "shared_bytes": merged.shared_bytes,
                }
            )
        else:
            answers = [f"{number} answers of {judge}" for judge, number in merged.answers.items()]
            holds = ", ".join([counted(merged.images, "grid"), *answers])
            echo(f"{counted(len(merged.sources), 'run')} merged: {holds}: {merged.run.path}")
            if merged.shards_bytes:
                alone = merged.shards_bytes - merged.shared_bytes
                folder = shlex.quote(str(merged.run.path / "shards"))
                echo(
                    f"shards: {_megabytes(merged.shards_bytes)}, of which {_megabytes(alone)} come "
                    f"free if they are deleted (nothing needs them once they are merged): {folder}"
                )
        raise_incomplete(merged.incomplete, "not finished", partial=False)


def _megabytes(number: int) -> str:
    return f"{number / 1e6:.1f} MB"
