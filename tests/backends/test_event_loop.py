"""Asynchronous work from code that is not: bounded, in order of arrival, called off at once."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from dpgbench.backends.event_loop import in_event_loop

NAME = "dpgbench-test"


class Work:
    """Doubles numbers, and keeps how many it does at a time."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.at_a_time = self.most_at_a_time = self.ended = self.closed = 0

    async def double(self, number: int) -> AsyncIterator[int]:
        self.at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self.at_a_time)
        try:
            await asyncio.sleep(self.seconds)
            yield 2 * number
        finally:
            self.at_a_time -= 1
            self.ended += 1

    async def close(self) -> None:
        assert self.at_a_time == 0
        self.closed += 1

    def run(self, jobs: Iterator[int], size: int = 3) -> Iterator[int]:
        return in_event_loop(jobs, self.double, self.close, size=size, name=NAME)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def test_all_jobs_are_done_so_many_at_a_time() -> None:
    work = Work()
    assert sorted(work.run(iter(range(20)))) == list(range(0, 40, 2))
    assert (work.most_at_a_time, work.ended, work.closed) == (3, 20, 1)
    assert threads() == []


def test_no_jobs_at_all() -> None:
    work = Work()
    assert list(work.run(iter(()))) == []
    assert (work.closed, threads()) == (1, [])


def test_it_works_within_an_event_loop() -> None:
    async def notebook() -> list[int]:
        return list(Work().run(iter(range(3))))

    assert sorted(asyncio.run(notebook())) == [0, 2, 4]


def test_jobs_are_taken_only_a_little_ahead() -> None:
    taken: list[int] = []
    done = 0
    for _ in Work().run(number for number in range(12) if not taken.append(number)):  # type: ignore[func-returns-value]
        done += 1
        assert len(taken) <= done + 3 + 1
    assert done == 12


def test_an_error_cancels_the_others_and_loses_nothing() -> None:
    work, received = Work(), []

    async def fail_at_two(number: int) -> AsyncIterator[int]:
        if number == 2:
            raise LookupError("two")
        if number > 2:
            await asyncio.sleep(30)
        yield number

    begun = time.monotonic()
    with pytest.raises(LookupError, match="two"):
        received.extend(in_event_loop(iter(range(9)), fail_at_two, work.close, size=4, name=NAME))
    assert time.monotonic() - begun < 2
    assert received == [0, 1]
    assert (work.closed, threads()) == (1, [])


def test_jobs_that_fail_at_once_leave_nothing_behind() -> None:
    def jobs() -> Iterator[int]:
        raise LookupError("no jobs")
        yield 1

    work = Work()
    with pytest.raises(LookupError, match="no jobs"):
        list(work.run(jobs()))
    assert (work.closed, threads()) == (1, [])


def test_results_that_have_arrived_outlive_an_error_of_the_jobs() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        time.sleep(0.1)  # the result is there by then
        raise KeyboardInterrupt

    received = []
    with pytest.raises(KeyboardInterrupt):
        received.extend(Work().run(jobs()))
    assert received == [2]


def test_closing_cancels_what_is_in_flight() -> None:
    work = Work()

    async def slow_after_the_first(number: int) -> AsyncIterator[int]:
        await asyncio.sleep(30 if number else 0)
        yield number

    stream = in_event_loop(iter(range(9)), slow_after_the_first, work.close, size=3, name=NAME)
    assert next(stream) == 0
    begun = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 1
    assert (work.closed, threads()) == (1, [])


def test_work_that_cannot_be_cancelled_is_left_to_itself() -> None:
    async def stubborn(number: int) -> AsyncIterator[int]:
        yield number
        time.sleep(1.0)  # blocks the loop

    async def close() -> None:
        pass

    stream = in_event_loop(iter([1]), stubborn, close, size=1, name=NAME, leave_seconds=0.1)
    assert next(stream) == 1
    begun = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 0.8
