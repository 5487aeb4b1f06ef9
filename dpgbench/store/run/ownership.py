"""Who works in a run: a line beside the lock, for people and for file systems without locks.

The lock itself is the operating system's and goes with its process. Where a network file system
keeps no locks between machines, two processes may both believe that they hold it: the one that came
first sees here that another has come, and stops.
"""

from __future__ import annotations

import json
import os
import platform
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dpgbench.errors import IncompleteError
from dpgbench.store.files import writing

OWNER = ".owner"
_TOKEN = uuid.uuid4().hex  # tells processes of one number apart, in time and between machines
_claimed: set[Path] = set()


@contextmanager
def owning(run: Path) -> Iterator[None]:
    """Be the owner of a run whose lock this process holds.

    Raises:
        StorageError: the run cannot be written.
    """
    path = run / OWNER
    with writing(path):
        path.write_text(json.dumps(_this_process()) + "\n", encoding="utf-8")
    here = run.absolute()
    _claimed.add(here)
    try:
        yield
    finally:
        _claimed.discard(here)
        if _read(run) == _this_process():
            with suppress(OSError):
                path.unlink()


def check_owner(run: Path) -> None:
    """Raise where a run that this process works in is no longer its own, or no longer there.

    Raises:
        IncompleteError: another process has taken it over, or its folder was moved.
    """
    if run.absolute() not in _claimed:
        return
    if not run.is_dir():
        raise IncompleteError(
            f"{run} is gone: was it moved or deleted? What was done is where it is now: "
            "name that folder in the same command to go on"
        )
    owner = _read(run)
    came_and_went = owner is None and not (run / OWNER).exists()
    if came_and_went or owner not in (None, _this_process()):
        raise IncompleteError(
            f"{run}: {owner_of(run)} works in it too, for its file system keeps no locks; this one "
            "stops, and what was done is kept. One at a time, or each into a folder of its own"
        )


def read_owner(run: Path) -> tuple[str, int] | None:
    """Return the machine and the process that last began to work in a run and did not end it.

    After a kill it is still there; who asks finds out whether the process is.
    """
    owner = _read(run)
    if owner is None or not isinstance(owner["process"], int):
        return None
    return str(owner["host"]), owner["process"]


def owner_of(run: Path) -> str:
    """Return who works in a run whose lock is held, in words."""
    owner = _read(run)
    return "another process" if owner is None else _words(owner)


def _this_process() -> dict[str, Any]:
    return {"host": platform.node(), "process": os.getpid(), "token": _TOKEN}


def _read(run: Path) -> dict[str, Any] | None:
    """Return the owner that is written down; None where none is, or it is being written."""
    try:
        owner = json.loads((run / OWNER).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return owner if isinstance(owner, dict) and {"host", "process"} <= owner.keys() else None


def _words(owner: dict[str, Any]) -> str:
    return f"process {owner['process']!s:.12} on {owner['host']!s:.60}"
