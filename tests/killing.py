"""A process that kills itself at a rename, for tests of what a kill leaves."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any


def kill_at_rename(number: int) -> None:
    """Have this process killed at its rename number `number`, from 1, in whatever thread that is.

    The rename is not done.
    """
    counting = threading.Lock()
    left = number

    def counted(rename: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            with counting:
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
                return rename(*args, **kwargs)

        return call

    os.replace = counted(os.replace)
    os.rename = counted(os.rename)
