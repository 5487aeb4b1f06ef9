"""Ctrl-C and SIGTERM end the command line with one line and their own exit code, within a set time.

Ctrl-C (exit code 130) breaks off what is under way; a second one ends the process at once. SIGTERM
(143), which schedulers send before they kill, lets the batch that is being drawn or judged come to
its end within a time of grace; outside of a batch it breaks off as Ctrl-C does. A second SIGTERM
changes nothing, for wrappers and schedulers both pass it on.

Python's own handling is not enough: an interrupt that arrives while a library is imported may be
swallowed there, or turned into another error; one that arrives before `main` or after it leaves a
traceback. So the handlers are put in place as the first thing that the package does in the process
of the command, and a thread that the operating system wakes ends the process where the main thread
does not come out in time. That is safe at any moment: every file is written whole.

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
TERMINATED = 143  # as a shell reports a process that SIGTERM ended
UNWRITTEN = 120  # as Python itself ends where its output cannot be written at the end
MESSAGE = "interrupted; what was done is kept: run the same command again to go on"
TERMINATED_MESSAGE = "terminated; what was done is kept: run the same command again to go on"
CLEANUP_SECONDS = 2.5  # for a judge's account to be written, a server's replies to be taken
GRACE_SECONDS = 20.0  # schedulers kill 30 seconds after SIGTERM: Slurm and Kubernetes by default

_line_written = threading.Lock()


class _State:
    """What the process is doing."""

    working = False  # inside the command: its own cleaning up comes first
    interrupted = False  # KeyboardInterrupt was raised
    cause: signal.Signals | None = None  # of the end, the first one that came
    in_batches = False  # SIGTERM waits for the batch
    out_of_time = False  # it has waited long enough
    batches_ended = threading.Event()
    grace_seconds = GRACE_SECONDS
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
    """Take Ctrl-C and SIGTERM over for the whole process, where nobody else has.

    One that is ignored, as shells have Ctrl-C for jobs in the background, stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_signal)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_signal)
    if not _is_installed():
        return
    _watch()
    atexit.register(_leave)  # the first to be registered is the last to be called


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Let a signal raise KeyboardInterrupt inside, at first; it counts even where it is swallowed.

    Raises:
        KeyboardInterrupt: at the end, if one came and was swallowed or became another error.
    """
    here = threading.current_thread() is threading.main_thread()
    ours = here and _is_installed()
    hooks = sys.unraisablehook, threading.excepthook
    _State.working, _State.interrupted, _State.cause = ours, False, None
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


def set_grace(seconds: float) -> None:
    """Set how long SIGTERM waits for the batch that is under way."""
    _State.grace_seconds = seconds


@contextlib.contextmanager
def finishing_batches() -> Iterator[None]:
    """Let SIGTERM wait for the batch inside: whoever hands out batches asks `stop_requested`.

    A library that put a handler of its own in place of ours before is overruled.

    Raises:
        KeyboardInterrupt: at the end, if SIGTERM came; at once, where it does not end in time.
    """
    if not _State.working or threading.current_thread() is not threading.main_thread():
        yield
        return
    if is_ending():  # it was swallowed on the way here
        _State.interrupted = True
        raise KeyboardInterrupt
    if signal.getsignal(signal.SIGTERM) not in (_on_signal, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, _on_signal)
    _State.batches_ended.clear()
    _State.in_batches = True
    try:
        yield
    finally:
        _State.in_batches = False
        _State.batches_ended.set()
    if is_ending():
        _State.interrupted = True
        raise KeyboardInterrupt


def stop_requested() -> bool:
    """Return whether the batch that is under way is to be the last one."""
    return _State.in_batches and _State.cause is not None


def is_ending(*, within_seconds: float = 0.0) -> bool:
    """Return whether a signal has asked the command to end.

    Args:
        within_seconds: how long to wait for the thread that the signal wakes, where a library has
            taken our handler's place.
    """
    deadline = time.monotonic() + within_seconds
    while _State.cause is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return _State.cause is not None


def exit_code() -> int:
    """Return the exit code of a command that a signal ended."""
    return TERMINATED if _State.cause == signal.SIGTERM else INTERRUPTED


def ended(exit_code: int) -> None:
    """Note how the command ended: from here on nothing can be lost, and a signal ends at once."""
    _State.exit_code = exit_code
    if exit_code in (INTERRUPTED, TERMINATED) and _is_installed():
        _end()  # now: threads that are still at work are not waited for


def say_interrupted() -> None:
    """Write the one line, once, whatever thread says it first."""
    if _line_written.acquire(blocking=False):
        message = TERMINATED_MESSAGE if exit_code() == TERMINATED else MESSAGE
        with contextlib.suppress(OSError):
            os.write(2, f"{message}\n".encode())


def _is_installed() -> bool:
    return any(signal.getsignal(number) is _on_signal for number in (signal.SIGINT, signal.SIGTERM))


def _on_signal(number: int, _frame: FrameType | None) -> None:
    again = _State.interrupted
    _State.cause = _State.cause or signal.Signals(number)
    if not _State.watched:
        threading.Thread(target=_IN_TIME[number], daemon=True).start()
    if not _State.working or (again and number == signal.SIGINT):  # nothing to clean up, or again
        _end()
    if number == signal.SIGTERM and (again or (_State.in_batches and not _State.out_of_time)):
        return
    _State.interrupted = True
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
    threading.Thread(target=_wait_for_signals, args=(read,), daemon=True).start()
    _State.watched = True


def _wait_for_signals(pipe: int) -> None:
    seen: set[int] = set()
    while True:
        for number in os.read(pipe, 64):
            if number in _IN_TIME and number not in seen:
                seen.add(number)
                threading.Thread(target=_IN_TIME[number], daemon=True).start()


def _end_in_time() -> None:
    time.sleep(CLEANUP_SECONDS)
    _end()


def _end_batch_in_time() -> None:
    """End the process after SIGTERM: a batch gets the grace, cleaning up what is left of it."""
    _State.cause = _State.cause or signal.SIGTERM  # the main thread may not have come to it yet
    deadline = time.monotonic() + CLEANUP_SECONDS
    if _State.in_batches:
        deadline += _State.grace_seconds
        if not _State.batches_ended.wait(_State.grace_seconds):
            _State.out_of_time = True
            main = threading.main_thread().ident
            if main is not None and hasattr(signal, "pthread_kill"):
                signal.pthread_kill(main, signal.SIGTERM)
    time.sleep(max(0.0, deadline - time.monotonic()))
    _end()


_IN_TIME: dict[int, Callable[[], None]] = {
    signal.SIGINT: _end_in_time,
    signal.SIGTERM: _end_batch_in_time,
}


def _leave() -> None:
    """End the process as its command did, before the interpreter takes the handler away."""
    if _State.exit_code is not None:
        written = _flush()
        os._exit(_State.exit_code or (0 if written else UNWRITTEN))


def _end() -> None:
    say_interrupted()
    _flush()
    os._exit(exit_code())


def _flush() -> bool:
    """Write what is still held back; return whether it could be written."""
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - closed, full, or the signal came in the middle of a write
            written = False
    return written
