"""How long a server is tried, and how many requests it is sent at a time."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

log = logging.getLogger(__name__)
_REPORTED_SECONDS = 10.0  # the shortest pause that is worth a warning
_RECOVERY = 0.1  # of a request at a time, for each that the server took


@dataclass(frozen=True)
class RetryPolicy:
    """How long to try.

    Attributes:
        tries: of one request that fails by hang-ups, timeouts, errors of the server.
        first_seconds: pause after the first failure; doubles with each further one.
        longest_seconds: of such a pause.
        spread: share of such a pause that is left to chance, so that no two requests wait alike.
        refusing_seconds: how long a server may answer nothing but 429 before a request fails.
        asked_seconds: the longest pause that is granted to a server that asks for one.
        connect_seconds: until a server is reached.
        timeout_seconds: of silence, before a request counts as failed.
        reply_seconds: for a request and its whole reply, however it drips in.
        largest_reply: bytes of a reply's body.
    """

    tries: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    spread: float = 0.5
    refusing_seconds: float = 900.0
    asked_seconds: float = 600.0
    connect_seconds: float = 10.0
    timeout_seconds: float = 180.0
    reply_seconds: float = 1800.0
    largest_reply: int = 1 << 24

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after so many failures."""
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 30))
        return longest * random.uniform(1 - self.spread, 1)


class RateLimit:
    """Lets at most `size` requests be in flight; fewer after the server said that it was too many.

    Each demand for a pause halves what may be in flight at a time, down to one; requests that
    succeed win it back little by little. Used within one event loop.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._limit, self._in_flight = size, float(size), 0
        self._clock, self._paused_until = clock, float("-inf")
        self._refused_since: float | None = None
        self._change = asyncio.Event()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn and hold it: one request in flight."""
        while (pause := self._paused_until - self._clock()) > 0 or self._is_full():
            self._change.clear()
            await (asyncio.sleep(pause) if pause > 0 else self._change.wait())
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            self._change.set()

    def pause(self, seconds: float, reason: str) -> float:
        """Let nothing out for `seconds`; return since how long the server has refused everything.

        Refusals that arrive during a pause belong to the same burst and lower the limit once.
        """
        now = self._clock()
        if now >= self._paused_until:
            self._limit = max(1.0, self._limit / 2)
            if seconds >= _REPORTED_SECONDS:
                log.warning("no request for %.0f s: %s", seconds, reason)
        self._paused_until = max(self._paused_until, now + seconds)
        self._refused_since = now if self._refused_since is None else self._refused_since
        return now - self._refused_since

    def success(self) -> None:
        """Note that the server took a request."""
        self._refused_since = None
        self._limit = min(float(self._size), self._limit + _RECOVERY)
        self._change.set()

    def _is_full(self) -> bool:
        return self._in_flight >= int(self._limit)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a reply asks to wait, by ``retry-after-ms`` or ``Retry-After``."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name) or ""
        with contextlib.suppress(ValueError):
            if 0 <= (seconds := float(text) * unit) < math.inf:
                return seconds
        with contextlib.suppress(ValueError, OverflowError):
            return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None
