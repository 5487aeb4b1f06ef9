"""Outcomes recorded in order by a thread of its own, while the next ones are worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

Outcome = TypeVar("Outcome")


class Recorder(Generic[Outcome]):
    """Calls `record` with one outcome after the other, to be used in a ``with``.

    What `record` raises ends the recording; it is raised by the next `put`, or at the end.

    Args:
        record: writes an outcome down; it may wait for it to be complete.
        is_failure: tells outcomes that are waited for: what they mean decides whether to go on.
        most_open: outcomes that are not recorded yet, at a time: what a kill costs.
    """

    def __init__(
        self,
        record: Callable[[Outcome], None],
        is_failure: Callable[[Outcome], bool],
        *,
        most_open: int = 1,
    ) -> None:
        self._record, self._is_failure = record, is_failure
        self._waiting: queue.SimpleQueue[Outcome | None] = queue.SimpleQueue()
        self._most_open, self._free = most_open, threading.Semaphore(most_open)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="record", daemon=True)

    def __enter__(self) -> Callable[[Outcome], None]:
        """Begin, and return `put`."""
        self._thread.start()
        return self.put

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until all is recorded that was put.

        Raises:
            BaseException: what recording raised, unless the block has ended with an error.
        """
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def put(self, outcome: Outcome) -> None:
        """Have an outcome recorded; a failure is, when this returns.

        Raises:
            BaseException: what recording has raised.
        """
        self._free.acquire()  # as many as are open may be recorded meanwhile
        self._raise()
        self._waiting.put(outcome)
        if self._is_failure(outcome):
            self._wait_for_all()
        self._raise()

    def _wait_for_all(self) -> None:
        for _ in range(self._most_open):
            self._free.acquire()
        self._free.release(self._most_open)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while (outcome := self._waiting.get()) is not None:
            try:
                if self._error is None:
                    self._record(outcome)
            except BaseException as error:  # noqa: BLE001 - it is raised where the work is done
                self._error = error
            finally:
                self._free.release()
