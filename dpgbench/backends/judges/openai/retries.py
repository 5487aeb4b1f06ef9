"""What is tried again, and when: growing pauses, which all requests share where a server asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from dpgbench.backends.judges.openai.client import (
    Client,
    Completion,
    PassingError,
    RefusedError,
    RequestFailedError,
)
from dpgbench.backends.judges.openai.parameters import Negotiation
from dpgbench.backends.judges.openai.prompts import Conversation
from dpgbench.backends.judges.openai.usage import Usage
from dpgbench.errors import IncompleteError, SetupError

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
        timeout_seconds: of silence, before a request counts as failed.
    """

    tries: int = 6
    first_seconds: float = 1.0
    longest_seconds: float = 60.0
    spread: float = 0.5
    refusing_seconds: float = 900.0
    asked_seconds: float = 600.0
    timeout_seconds: float = 180.0

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
        while True:
            if (pause := self._paused_until - self._clock()) > 0:
                await asyncio.sleep(pause)
            elif self._in_flight >= int(self._limit):
                self._change.clear()
                await self._change.wait()
            else:
                break
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


class Retries:
    """A model at a server that is not given up easily; used within one event loop."""

    def __init__(
        self,
        client: Client,
        usage: Usage,
        limit: RateLimit,
        policy: RetryPolicy,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.negotiation = Negotiation()
        self._client, self._usage, self._limit, self._policy = client, usage, limit, policy
        self._sleep = sleep

    async def complete(self, conversation: Conversation) -> Completion:
        """Return what the model says.

        Raises:
            RequestFailedError: it says nothing, and others may have better luck.
            CapReachedError: no further request may be sent.
            SetupError: no request can succeed: the key, the account or the address is wrong.
            IncompleteError: the server wants a pause that is too long to sit through.
        """
        used, failures, refusals, again = self.negotiation.current, 0, 0, False
        while True:
            try:
                async with self._limit.turn():
                    self._usage.sending(again=again)
                    completion = await self._client.complete(conversation, used)
                self._limit.success()
                self.negotiation.accepted(used)
                return completion
            except RefusedError as error:
                simpler = self.negotiation.after_refusal(used, str(error), only_named=False)
                if error.advice or simpler is None:
                    raise
            except PassingError as error:
                # some servers answer 500 to a parameter that they do not know
                simpler = self.negotiation.after_refusal(used, str(error), only_named=True)
                if simpler is None:
                    failures, refusals = failures + (not error.too_many), refusals + error.too_many
                    await self._wait(error, failures, refusals)
            used, again = simpler or used, True

    async def _wait(self, error: PassingError, failures: int, refusals: int) -> None:
        """Wait as long as `error` calls for, or raise where trying has an end."""
        policy = self._policy
        if failures >= policy.tries:
            if self._client.reached:
                raise RequestFailedError(f"{error} ({failures} tries)")
            raise SetupError(
                f"{self._client.base_url} cannot be reached ({error}); "
                "start the server, or check --base-url"
            )
        seconds = max(policy.pause(max(failures, refusals)), error.wait_seconds or 0.0)
        if error.wait_seconds is None and not error.too_many:
            await self._sleep(seconds)
            return
        if seconds > policy.asked_seconds:
            raise IncompleteError(
                f"{error}; it asks for a pause of {seconds:.0f} s. What was answered is kept: "
                "run the same command again after that"
            )
        refusing_seconds = self._limit.pause(seconds, str(error))
        if refusing_seconds > policy.refusing_seconds:
            raise RequestFailedError(f"{error} (for {refusing_seconds:.0f} s, to every request)")
