"""`--log-json`: what a command does, as JSON lines for other programs; a line an event."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dpgbench.errors import UsageError

log = logging.getLogger(__name__)
_HEAD = b'{"time": "'  # with which the line of an event begins, and of nothing else in a run


def refuse_other_file(path: Path) -> None:
    """Raise where events would be appended to a file that holds something else.

    Raises:
        UsageError: it is a file that does not begin with an event.
    """
    try:
        is_other = path.is_file() and not _HEAD.startswith(_head(path))
    except OSError:
        return  # that it cannot be written is said when it is
    if is_other:
        raise UsageError(
            f"--log-json {path} holds something else than events; name another file, or a new one"
        )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_HEAD))


class EventLog:
    """Appends events to a file; one that cannot be written never ends the work.

    Args:
        path: of the file; None keeps no events.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._torn = self._warned = False

    def write(self, event: str, **facts: Any) -> None:
        """Append an event with its time; say once if that cannot be done."""
        if self.path is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "event": event, **facts}, ensure_ascii=False)
        data = ("\n" * self._torn + line + "\n").encode("utf-8", "replace")
        written = 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                written = file.write(data)
        except OSError as error:
            self._warn(error.strerror or str(error))
        else:
            if written < len(data):
                self._warn("only a part was written")
        if written:
            self._torn = written < len(data)

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            log.warning("cannot write %s: %s; the work goes on without it", self.path, reason)
