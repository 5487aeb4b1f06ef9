"""`.progress.json`: how far the command is that works in a run, for whoever looks from outside.

Written in place now and then while work is going on, and gone when it ends. Nothing depends on it:
where it cannot be written, work goes on, and what is done is computed from the run's files.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TypedDict

from dpgbench.errors import DataError
from dpgbench.store.files import json_line, read_json
from dpgbench.store.typed_json import check_json

HEARTBEAT = ".progress.json"


class Heartbeat(TypedDict):
    """How far a command is.

    Attributes:
        work: `generate` or `score`.
        of: the model that draws, or the judge that is asked.
        unit: what is counted: `grid` or `question`.
        done: units done, those of earlier commands among them.
        total: units that there are.
        items_done: items done.
        items: items that there are.
        failed: items that failed in this command.
        per_second: units a second, over this command; null at its start.
        seconds_left: at that rate; null where there is none.
        process: number of the process.
        host: its machine.
        started: when it began, in UTC.
        updated: when this was written, in UTC.
    """

    work: str
    of: str
    unit: str
    done: int
    total: int
    items_done: int
    items: int
    failed: int
    per_second: float | None
    seconds_left: float | None
    process: int
    host: str
    started: str
    updated: str


def write_heartbeat(run: Path, heartbeat: Heartbeat) -> None:
    """Write how far a command is into a run; where that cannot be, nothing is."""
    with contextlib.suppress(OSError):
        (run / HEARTBEAT).write_text(json_line(heartbeat), encoding="utf-8", errors="replace")


def remove_heartbeat(run: Path) -> None:
    """Take the heartbeat of a command that has ended out of its run."""
    with contextlib.suppress(OSError):
        (run / HEARTBEAT).unlink(missing_ok=True)


def read_heartbeat(run: Path) -> Heartbeat | None:
    """Return what a command last wrote; None where there is nothing, or it is being written."""
    try:
        heartbeat: Heartbeat = read_json(run / HEARTBEAT)
        check_json(heartbeat, Heartbeat)
    except (DataError, ValueError):
        return None
    return heartbeat
