"""Pauses and limits: they grow while a server refuses, and are forgotten once it answers."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from dpgbench.backends.failures import PassingError, RequestFailedError
from dpgbench.backends.judges.openai.retries import Retries
from dpgbench.backends.judges.openai.usage import Usage
from dpgbench.backends.rate_limit import RateLimit, RetryPolicy
from tests.backends.fake_openai import Act, FakeOpenAi
from tests.backends.openai_kit import QUICK, collected, judge_of, leave_alone, texts, tiles, truths


def test_a_server_that_answers_in_between_refuses_nothing_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_alone(monkeypatch)
    policy = replace(QUICK, refusing_seconds=0.25)
    refused: set[str] = set()

    def every_second(asked: Any) -> Act:
        key = f"{asked.picture}{asked.questions}"
        if key in refused:
            return Act(seconds=0.05)
        refused.add(key)
        return Act(429, "slow down")

    with FakeOpenAi() as server:
        server.rule = every_second
        judge = judge_of(server, policy, concurrency=1)
        answers, errors = collected(judge.stream(tiles(4, questions=3)))
        assert len(server.asked) == 24
    assert (texts(answers), errors) == (truths(4), {})


def test_the_clock_of_refusals_starts_again_after_an_answer() -> None:
    clock = [1000.0]
    limit = RateLimit(4, clock=lambda: clock[0])
    assert limit.pause(1.0, "busy") == 0
    clock[0] += 600
    assert limit.pause(1.0, "busy") == 600
    limit.success()
    clock[0] += 600
    assert limit.pause(1.0, "busy") == 0
    clock[0] += 5
    assert limit.pause(1.0, "busy") == 5


def most_at_a_time(limit: RateLimit) -> int:
    """Return how many requests may be in flight now."""
    entered = 0

    async def enter() -> None:
        nonlocal entered
        async with contextlib.AsyncExitStack() as stack:
            while True:
                await stack.enter_async_context(limit.turn())
                entered += 1

    async def enter_for_a_moment() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(enter(), 0.02)

    asyncio.run(enter_for_a_moment())
    return entered


def test_a_limit_is_halved_by_each_burst_and_won_back_by_answers() -> None:
    def after(pauses: int, answers: int) -> int:
        limit = RateLimit(8)
        for _ in range(pauses):
            limit.pause(0.0, "busy")
        for _ in range(answers):
            limit.success()
        return most_at_a_time(limit)

    assert after(0, 0) == 8
    assert after(1, 0) == 4
    assert after(2, 0) == 2
    assert after(9, 0) == 1
    assert after(1, 11) == 5
    assert after(1, 9) == 4
    assert after(0, 50) == 8
    assert after(1, 200) == 8


class Recorded(RateLimit):
    """Waits for nothing, and keeps what it was to wait for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.pauses: list[float] = []
        self.sleeps: list[float] = []

    def pause(self, seconds: float, reason: str) -> float:
        assert reason  # the server's words go with every pause
        self.pauses.append(seconds)
        return 0.0 if len(self.pauses) < 9 else 1e9

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)


class Refusing:
    """A client whose every request fails in one way."""

    base_url = "http://x"
    reached = True

    def __init__(self, error: PassingError, policy: RetryPolicy) -> None:
        self.error, self.policy, self.usage = error, policy, Usage()

    async def complete(self, conversation: object, used: object) -> Any:
        raise self.error


def pauses(error: PassingError, **policy: Any) -> Recorded:
    limit = Recorded()
    client = Refusing(error, RetryPolicy(spread=0.0, **policy))
    retries = Retries(client, limit, limit.sleep)  # type: ignore[arg-type]
    with pytest.raises(RequestFailedError):
        asyncio.run(retries.complete(object()))  # type: ignore[arg-type]
    return limit


def test_pauses_after_429_grow() -> None:
    limit = pauses(PassingError("slow down", too_many=True))
    assert limit.pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert limit.sleeps == []


def test_pauses_after_failures_grow_and_have_an_end() -> None:
    limit = pauses(PassingError("no answer"), tries=6)
    assert limit.sleeps == [1, 2, 4, 8, 16]
    assert limit.pauses == []


def test_a_pause_that_is_asked_for_is_kept() -> None:
    error = PassingError("busy", too_many=True, wait_seconds=20.0)
    assert pauses(error).pauses == [20, 20, 20, 20, 20, 32, 60, 60, 60]
    error = PassingError("busy", wait_seconds=3.0)
    assert pauses(error, tries=4).pauses == [3, 3, 4]


def test_no_two_requests_wait_alike() -> None:
    policy = RetryPolicy(first_seconds=1.0, longest_seconds=60.0)
    for failures, longest in ((1, 1.0), (3, 4.0), (40, 60.0)):
        seconds = {policy.pause(failures) for _ in range(50)}
        assert len(seconds) > 40
        assert longest / 2 <= min(seconds) <= max(seconds) <= longest
