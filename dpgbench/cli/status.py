"""`dpgbench status`: how far a run is, asked from another shell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import echo, print_json
from dpgbench.cli.options import AsJson
from dpgbench.errors import counted

if TYPE_CHECKING:
    from dpgbench.jobs.status import RunStatus

_STATES = {
    "working": "{owner} works in it",
    "killed": "{owner} is gone without an end: the same command again goes on",
    "elsewhere": "{owner} works in it, or was killed there",
    "idle": "nobody works in it",
    "unmerged": "shards that are not merged: dpgbench merge {run}",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or a folder with shards.")],
    as_json: AsJson = False,
) -> None:
    """Say how far a run is, what failed, and who works in it; nothing is written or locked."""
    from dpgbench.jobs.status import run_status

    status = run_status(run)
    if as_json:
        print_json(status.to_json())
        return
    for shard in status.shards:
        _print(shard, status.run)
    _print(status, status.run)


def _print(status: RunStatus, run: Path) -> None:
    words = _STATES[status.state].format(owner=status.owner, run=shlex.quote(str(run)))
    grids = "" if status.images is None else f"{status.images}/{status.items} grids, "
    grids = grids or f"{counted(status.items, 'item')}, "
    answers = "".join(
        f"{judge.answers}/{'?' if judge.questions is None else judge.questions} answers of {name}, "
        for name, judge in status.judges.items()
    )
    echo(f"{status.run}: {grids}{answers}{words}")
    if status.progress:
        echo(f"  {_progress(status)}")
    if status.failed:
        item_id, reason = next(iter(status.failed.items()))
        echo(f"  {counted(len(status.failed), 'item')} failed, first {item_id}: {reason}")


def _progress(status: RunStatus) -> str:
    """Return what the command that works said last."""
    facts = status.progress or {}
    text = f"{facts['work']} {facts['of']}: {facts['done']}/{facts['total']} {facts['unit']}s"
    if facts["per_second"]:
        left = round(facts["seconds_left"] or 0)
        hours, minutes = left // 3600, left % 3600 // 60
        text += f", {facts['per_second']:.3g} a second, {hours}:{minutes:02}:{left % 60:02} left"
    failed = f", {facts['failed']} failed" if facts["failed"] else ""
    return f"{text}{failed} (since {facts['started']}, as of {facts['updated']})"
