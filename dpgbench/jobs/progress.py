"""How far a job is: one line on stderr, events for programs, a heartbeat for `dpgbench status`."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from dpgbench.jobs.events import EventLog
from dpgbench.store.run.heartbeat import Heartbeat, remove_heartbeat, write_heartbeat
from dpgbench.store.run.manifest import now


class Progress:
    """Counts what is done of a job, to be used in a ``with`` as long as it works.

    Args:
        run: folder of the run, for the heartbeat.
        work: the command.
        of: the model that draws, or the judge that is asked.
        unit: what is counted.
        units_by_item: how many of them each item needs that is still to be done.
        failures: why items failed, by id; the job adds to it.
        items_before: items that were done before.
        units_before: units that were done before, and are counted too.
        events: gets an event for each failure, and for progress now and then.
        event_seconds: between two events of progress, at least.
        heartbeat_seconds: between two heartbeats, at least.
    """

    def __init__(
        self,
        run: Path,
        work: str,
        of: str,
        unit: str,
        units_by_item: Mapping[str, int],
        failures: Mapping[str, str],
        *,
        items_before: int = 0,
        units_before: int = 0,
        events: EventLog | None = None,
        event_seconds: float = 1.0,
        heartbeat_seconds: float = 2.0,
    ) -> None:
        self._run, self._work, self._of, self._unit = run, work, of, unit
        self._left = dict(units_by_item)
        self._failures, self._num_failures_seen = failures, 0
        self._before, self.done = units_before, units_before
        self.total = units_before + sum(units_by_item.values())
        self.items_done, self.items = items_before, items_before + len(units_by_item)
        self._events = events or EventLog()
        self._event_seconds, self._heartbeat_seconds = event_seconds, heartbeat_seconds
        self._started, self._since = now(), time.monotonic()
        self._next_event = self._next_heartbeat = 0.0

    def __enter__(self) -> Progress:
        from tqdm import tqdm

        name = self._of if self._work == "generate" else f"ask {self._of}"
        self._bar: Any = tqdm(total=self.total, initial=self.done, unit=self._unit, desc=name)
        self._show()
        self._tell()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._note_failures()
        self._events.write("progress", **_counts(self._facts()))
        self._bar.close()
        remove_heartbeat(self._run)

    def update(self, item_id: str, number: int = 1) -> None:
        """Note that `number` units of an item are done with, or will not be done."""
        self.done += number
        if item_id in self._left:
            self._left[item_id] -= number
            if self._left[item_id] <= 0:
                del self._left[item_id]
                self.items_done += 1
        self._note_failures()
        self._show()
        self._bar.update(number)
        self._tell()

    def _show(self) -> None:
        failed = f", {len(self._failures)} failed" if self._failures else ""
        if self._unit == "grid":  # the bar itself counts items
            self._bar.set_postfix_str(failed.removeprefix(", "), refresh=False)
        else:
            items = f"{self.items_done}/{self.items} items{failed}"
            self._bar.set_postfix_str(items, refresh=False)

    def _note_failures(self) -> None:
        """Log the failures that are new."""
        new = list(self._failures.items())[self._num_failures_seen :]
        self._num_failures_seen += len(new)
        for item_id, reason in new:
            self._events.write("failure", work=self._work, item_id=item_id, reason=reason)

    def _tell(self) -> None:
        """Write an event and a heartbeat, each if it is time."""
        present = time.monotonic()
        if present >= self._next_event:
            self._next_event = present + self._event_seconds
            self._events.write("progress", **_counts(self._facts()))
        if present >= self._next_heartbeat:
            self._next_heartbeat = present + self._heartbeat_seconds
            write_heartbeat(self._run, self._facts())

    def _facts(self) -> Heartbeat:
        worked = self.done - self._before
        seconds = time.monotonic() - self._since
        per_second = worked / seconds if worked and seconds else None
        left = None if per_second is None else round((self.total - self.done) / per_second, 1)
        return {
            "work": self._work,
            "of": self._of,
            "unit": self._unit,
            "done": self.done,
            "total": self.total,
            "items_done": self.items_done,
            "items": self.items,
            "failed": len(self._failures),
            "per_second": None if per_second is None else round(per_second, 3),
            "seconds_left": left,
            "process": os.getpid(),
            "host": platform.node(),
            "started": self._started,
            "updated": now(),
        }


def _counts(facts: Heartbeat) -> dict[str, Any]:
    """Return what an event says of progress: who works is in the event of the start."""
    others = ("process", "host", "started", "updated")
    return {name: value for name, value in facts.items() if name not in others}
