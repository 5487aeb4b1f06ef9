"""Ctrl-C ends the command line with 130, within seconds, with one line, whatever it is doing.

Python's own handling is not enough: an interrupt that arrives while a library is imported may be
swallowed there, or turned into another error; one that arrives before `main` or after it leaves a
traceback. So the handler is put in place as the first thing that the package does in the command's
process, and a thread that the operating system wakes ends the process where the main thread does
not come out in time. That is safe at any moment: every file is written whole.

Until this module is there, the interpreter's own handling counts (some 30 ms from the start), so
nothing that takes long may be imported here. A program that imports the package keeps its own.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import FrameType

INTERRUPTED = 130
UNWRITTEN = 120  # as Python itself ends where its output cannot be written at the end
MESSAGE = "interrupted; what was done is kept: run the same command again to go on"
GRACE_SECONDS = 2.5  # for a judge's account to be written, a server's replies to be taken

_line_written = threading.Lock()


class _State:
    """What the process is doing."""

    working = False  # inside the command: its own cleaning up comes first
    interrupted = False
    exit_code: int | None = None  # once the command has ended
    watched = False


def is_command() -> bool:
    """Return whether this process is the command line, not a program that imports the package."""
    words = sys.orig_argv[1:]
    as_module = any(pair == ("-m", "dpgbench") for pair in pairwise(words))
    return as_module or _script() in ("dpgbench", "dpgbench.exe", "dpgbench-script.py")


def _script() -> str:
    return sys.argv[0].replace(os.sep, "/").rpartition("/")[2]


def install() -> None:
    """Take Ctrl-C over for the whole process, unless it is ignored, as shells have it for jobs."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    signal.signal(signal.SIGINT, _on_interrupt)
    _watch()
    atexit.register(_leave)  # the first to be registered is the last to be called


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt inside, at first; it counts even where that is swallowed.

    Raises:
        KeyboardInterrupt: at the end, if one came and was swallowed or became another error.
    """
    here = threading.current_thread() is threading.main_thread()
    ours = here and signal.getsignal(signal.SIGINT) is _on_interrupt
    hooks = sys.unraisablehook, threading.excepthook
    _State.working, _State.interrupted = ours, False
    with contextlib.suppress(RuntimeError):
        _line_written.release()  # a command before this one, in the same process, was interrupted
    if ours:
        sys.unraisablehook = _unless_interrupted(hooks[0])
        threading.excepthook = _unless_interrupted(hooks[1])
    try:
        yield
    except Exception as error:
        if _State.interrupted:  # an import that was interrupted may say that it failed
            raise KeyboardInterrupt from error
        raise
    finally:
        _State.working = False
        sys.unraisablehook, threading.excepthook = hooks
    if _State.interrupted:
        raise KeyboardInterrupt


def ended(exit_code: int) -> None:
    """Note how the command ended: from here on nothing can be lost, and Ctrl-C ends at once."""
    _State.exit_code = exit_code
    if exit_code == INTERRUPTED and signal.getsignal(signal.SIGINT) is _on_interrupt:
        _end()  # now: threads that are still at work are not waited for


def say_interrupted() -> None:
    """Write the one line, once, whatever thread says it first."""
    if _line_written.acquire(blocking=False):
        with contextlib.suppress(OSError):
            os.write(2, f"{MESSAGE}\n".encode())


def _on_interrupt(_signal: int, _frame: FrameType | None) -> None:
    if not _State.working or _State.interrupted:  # nothing to clean up, or a second Ctrl-C
        _end()
    _State.interrupted = True
    if not _State.watched:
        threading.Thread(target=_end_in_time, daemon=True).start()
    raise KeyboardInterrupt


def _unless_interrupted(hook: Callable[..., object]) -> Callable[[object], object]:
    return lambda what: None if _State.interrupted else hook(what)


def _watch() -> None:
    """Start the thread that a signal wakes even while the main thread is deep in a library."""
    if os.name == "nt":  # a pipe cannot be the wake-up there; the handler starts the thread
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_wait_for_interrupt, args=(read,), daemon=True).start()
    _State.watched = True


def _wait_for_interrupt(pipe: int) -> None:
    while signal.SIGINT not in os.read(pipe, 64):
        pass
    _end_in_time()


def _end_in_time() -> None:
    time.sleep(GRACE_SECONDS)
    _end()


def _leave() -> None:
    """End the process as its command did, before the interpreter takes the handler away."""
    if _State.exit_code is not None:
        written = _flush()
        os._exit(_State.exit_code or (0 if written else UNWRITTEN))


def _end() -> None:
    say_interrupted()
    _flush()
    os._exit(INTERRUPTED)


def _flush() -> bool:
    """Write what is still held back; return whether it could be written."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - closed, full, or the signal came in the middle of a write
            written = False
    return written
