"""When a request may go out: how many at a time, and not at all while the server wants a pause."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

log = logging.getLogger(__name__)
_WORTH_TELLING_SECONDS = 10.0
_RECOVERY = 0.1  # of a request at a time, for each that the server took


class StoppedError(Exception):
    """The work was called off while a request waited for its turn."""


class Throttle:
    """Lets at most `size` requests be in flight; fewer after the server said that it was too many.

    Every further demand for a pause halves what may be in flight at a time, down to one; requests
    that succeed win it back little by little.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._limit = float(size)
        self._in_flight = 0
        self._paused_until = 0.0
        self._refused_since: float | None = None
        self._stopped = False
        self._change = threading.Condition()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it: one request in flight.

        Raises:
            StoppedError: `stop` was called.
        """
        with self._change:
            while not self._may_go():
                pause = self._paused_until - time.monotonic()
                self._change.wait(pause if pause > 0 else None)
            self._in_flight += 1
        try:
            yield
        finally:
            with self._change:
                self._in_flight -= 1
                self._change.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait, holding no turn.

        Raises:
            StoppedError: `stop` was called.
        """
        with self._change:
            if self._change.wait_for(lambda: self._stopped, seconds):
                raise StoppedError

    def pause(self, seconds: float, said: str = "") -> float:
        """Let nothing out for `seconds`; return since how long the server has refused everything.

        Refusals that arrive during a pause belong to the same burst and lower the limit once.

        Args:
            seconds: how long.
            said: the server's words, for the warning.
        """
        with self._change:
            now = time.monotonic()
            if now >= self._paused_until:
                self._limit = max(1.0, self._limit / 2)
                if seconds >= _WORTH_TELLING_SECONDS:
                    log.warning(
                        "no request for %.0f s: %s", seconds, said or "the server wants it so"
                    )
            self._paused_until = max(self._paused_until, now + seconds)
            self._refused_since = now if self._refused_since is None else self._refused_since
            return now - self._refused_since

    def success(self) -> None:
        """Note that the server took a request."""
        with self._change:
            self._refused_since = None
            self._limit = min(float(self._size), self._limit + _RECOVERY)
            self._change.notify_all()

    def stop(self) -> None:
        """Wake all who wait, for nothing goes out any more."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def _may_go(self) -> bool:
        if self._stopped:
            raise StoppedError
        free = self._in_flight < int(self._limit)
        return free and time.monotonic() >= self._paused_until


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a reply asks to wait, None where it does not say.

    ``Retry-After`` holds seconds or a date; ``retry-after-ms`` is finer.

    Args:
        headers: their names in lower case.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name) or "") * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after") or "")
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
