"""Pauses and limits: they grow while a server refuses, and are forgotten once it answers."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import Any

import pytest

from dpgbench.backends.judges.openai import judge as openai_judge
from dpgbench.backends.judges.openai import retries as session_module
from dpgbench.backends.judges.openai import throttle as throttle_module
from dpgbench.backends.judges.openai.replies import PassingError
from dpgbench.backends.judges.openai.retries import Patience, RequestFailedError, Session
from dpgbench.backends.judges.openai.throttle import StoppedError, Throttle
from dpgbench.backends.judges.openai.usage import Account
from tests.backends.fake_openai import Act, FakeOpenAi
from tests.backends.openai_kit import QUICK, collected, judge_of, leave_alone, texts, tiles, truths


def test_a_server_that_answers_in_between_refuses_nothing_for_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_alone(monkeypatch)
    monkeypatch.setattr(openai_judge, "PATIENCE", replace(QUICK, refusing_seconds=0.25))
    refused: set[str] = set()

    def every_second(asked: Any) -> Act:
        key = f"{asked.picture}{asked.questions}"
        if key in refused:
            return Act(seconds=0.05)
        refused.add(key)
        return Act(429, "slow down")

    with FakeOpenAi() as server:
        server.rule = every_second
        answers, errors = collected(judge_of(server, concurrency=1).stream(tiles(4, questions=3)))
        assert len(server.asked) == 24
    assert (texts(answers), errors) == (truths(4), {})


def test_the_clock_of_refusals_starts_again_after_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(throttle_module.time, "monotonic", lambda: clock[0])
    throttle = Throttle(4)
    assert throttle.pause(1.0) == 0
    clock[0] += 600
    assert throttle.pause(1.0) == 600
    throttle.success()
    clock[0] += 600
    assert throttle.pause(1.0) == 0
    clock[0] += 5
    assert throttle.pause(1.0) == 5


def most_at_a_time(throttle: Throttle) -> int:
    """Return how many requests may be in flight now."""
    entered = 0

    def enter() -> None:
        nonlocal entered
        with contextlib.suppress(StoppedError), contextlib.ExitStack() as stack:
            while True:
                stack.enter_context(throttle.turn())
                entered += 1

    thread = threading.Thread(target=enter, daemon=True)
    thread.start()
    thread.join(0.1)  # by now it waits for a turn
    throttle.stop()
    thread.join()
    return entered


def test_a_limit_is_halved_by_each_burst_and_won_back_by_answers() -> None:
    def after(pauses: int, answers: int) -> int:
        throttle = Throttle(8)
        for _ in range(pauses):
            throttle.pause(0.0)
        for _ in range(answers):
            throttle.success()
        return most_at_a_time(throttle)

    assert after(0, 0) == 8
    assert after(1, 0) == 4
    assert after(2, 0) == 2
    assert after(9, 0) == 1
    assert after(1, 11) == 5
    assert after(1, 9) == 4
    assert after(0, 50) == 8
    assert after(1, 200) == 8


class Recorded(Throttle):
    """Waits for nothing, and tells what it was to wait for."""

    def __init__(self) -> None:
        super().__init__(1)
        self.pauses: list[float] = []
        self.sleeps: list[float] = []

    def pause(self, seconds: float, said: str = "") -> float:
        assert said  # the server's words go with every pause
        self.pauses.append(seconds)
        return 0.0 if len(self.pauses) < 9 else 1e9

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)


class Refusing:
    """A client whose every request fails in one way."""

    base_url = "http://x"

    def __init__(self, error: PassingError) -> None:
        self.error = error

    def post(self, body: bytes) -> Any:
        raise self.error


class Said:
    def body(self, model: str, dialect: object) -> bytes:
        return b"{}"


def pauses(monkeypatch: pytest.MonkeyPatch, error: PassingError, **patience: Any) -> Recorded:
    monkeypatch.setattr(session_module.random, "uniform", lambda low, high: high)
    throttle = Recorded()
    account, client = Account(), Refusing(error)
    session = Session(client, "m", account, throttle, Patience(**patience))  # type: ignore[arg-type]
    session._reached = True
    with pytest.raises(RequestFailedError):
        session.complete(Said())  # type: ignore[arg-type]
    return throttle


def test_pauses_after_429_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    throttle = pauses(monkeypatch, PassingError("slow down", too_many=True))
    assert throttle.pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert throttle.sleeps == []


def test_pauses_after_failures_grow_and_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    throttle = pauses(monkeypatch, PassingError("no answer"), tries=6)
    assert throttle.sleeps == [1, 2, 4, 8, 16]
    assert throttle.pauses == []


def test_a_pause_that_is_asked_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    error = PassingError("busy", too_many=True, wait_seconds=20.0)
    assert pauses(monkeypatch, error).pauses == [20, 20, 20, 20, 20, 32, 60, 60, 60]
    error = PassingError("busy", wait_seconds=3.0)
    assert pauses(monkeypatch, error, tries=4).pauses == [3, 3, 4]


def test_no_two_requests_wait_alike() -> None:
    patience = Patience(first_seconds=1.0, longest_seconds=60.0)
    for failures, longest in ((1, 1.0), (3, 4.0), (40, 60.0)):
        found = {patience.pause(failures) for _ in range(50)}
        assert len(found) > 40
        assert longest / 2 <= min(found) <= max(found) <= longest
