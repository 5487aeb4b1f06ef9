"""Outcomes are recorded in order beside the work; what recording raises ends the work."""

from __future__ import annotations

import threading
import time

import pytest

from dpgbench.jobs.recording import Recorder


def fails(outcome: object) -> bool:
    return outcome == "failure"


def test_all_is_recorded_in_order_by_a_thread_of_its_own() -> None:
    taken: list[tuple[int, str]] = []

    def record(outcome: int) -> None:
        time.sleep(0.002 * (outcome % 3))
        taken.append((outcome, threading.current_thread().name))

    with Recorder(record, fails, most_open=2) as put:
        for number in range(20):
            put(number)
    assert taken == [(number, "record") for number in range(20)]


def test_work_goes_on_while_an_outcome_is_recorded() -> None:
    go_on = threading.Event()
    with Recorder(lambda _: go_on.wait(5), fails, most_open=2) as put:
        put("slow")
        put("another")  # before the first is recorded
        go_on.set()
    assert go_on.is_set()


def test_no_more_are_open_than_may_be_lost() -> None:
    recorded: list[int] = []

    def record(outcome: int) -> None:
        time.sleep(0.01)
        recorded.append(outcome)

    with Recorder(record, fails) as put:
        for number in range(5):
            put(number)
            assert len(recorded) >= number


def test_a_failure_is_recorded_when_put_returns() -> None:
    taken: list[str] = []

    def record(outcome: str) -> None:
        time.sleep(0.02)
        taken.append(outcome)

    with Recorder(record, fails) as put:
        put("one")
        put("failure")
        assert taken == ["one", "failure"]


def test_what_recording_raises_is_raised_by_the_next_put_and_nothing_more_is_recorded() -> None:
    taken: list[object] = []

    def record(outcome: object) -> None:
        taken.append(outcome)
        if len(taken) == 3:
            raise OSError("the disk is full")

    def work() -> None:
        with Recorder(record, fails) as put:
            for number in range(1000):
                put(number)

    with pytest.raises(OSError, match="the disk is full"):
        work()
    assert taken == [0, 1, 2]


def test_what_recording_the_last_raises_is_raised_at_the_end() -> None:
    def record(_: object) -> None:
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"), Recorder(record, fails) as put:
        put("last")


def test_what_was_put_before_the_work_broke_off_is_recorded() -> None:
    taken: list[int] = []

    def record(outcome: int) -> None:
        time.sleep(0.02)
        taken.append(outcome)

    with pytest.raises(KeyboardInterrupt), Recorder(record, fails, most_open=2) as put:
        put(1)
        put(2)
        raise KeyboardInterrupt
    assert taken == [1, 2]
