"""Kills the process at its rename number `KILL_AT_RENAME`, from 1, in whatever thread that is.

Python imports this module at its start where the folder is on the path. The rename is not done.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

_counting = threading.Lock()
_left = int(os.environ.get("KILL_AT_RENAME", "0"))


def _counted(rename: Any) -> Any:
    def counted(*args: Any, **kwargs: Any) -> Any:
        global _left  # noqa: PLW0603 - it is of the process
        with _counting:
            _left -= 1
            if not _left:
                os.kill(os.getpid(), signal.SIGKILL)
            return rename(*args, **kwargs)

    return counted


os.replace = _counted(os.replace)
os.rename = _counted(os.rename)
