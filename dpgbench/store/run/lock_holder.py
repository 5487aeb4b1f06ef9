"""Which process is working in a run, asked without touching its lock."""

from __future__ import annotations

import os
from pathlib import Path

from dpgbench.store.run.ownership import owner_of

LOCK = ".lock"
_LOCKS = Path("/proc/locks")


def lock_holder(run: Path) -> str | None:
    """Return who holds a run's lock, as ``process 4711``; None where nobody does.

    Linux lists the locks of the machine, so that nobody is disturbed. Elsewhere, and for file
    systems of other machines, the lock is tried for a moment, shared, which a reader may do.
    """
    path = run / LOCK
    try:
        status = path.stat()
    except OSError:
        return None
    if (process := _listed(status)) is not None:
        return f"process {process}"
    return owner_of(run) if _is_refused(path) else None


def _listed(status: os.stat_result) -> int | None:
    """Return the process that Linux lists as the holder of a lock on a file."""
    try:
        lines = _LOCKS.read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in lines:
        words = line.split()
        if len(words) > 5 and words[1] != "->" and words[5] == place and words[3] == "WRITE":
            return int(words[4])
    return None


def _is_refused(path: Path) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - there is none on Windows
    except ImportError:
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
