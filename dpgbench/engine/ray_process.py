"""What runs in a worker process of Ray: one model, and batches of units that are sent to it.

This module is imported there before anything else of the toolkit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple

from dpgbench.backends.device import device_is_lost
from dpgbench.engine.portable_error import PortableError
from dpgbench.engine.work import Answered, Outcome, Unit, Worker


class Note(NamedTuple):
    """A log line of a worker, to be written where the user sees it."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class Returned(Generic[Outcome]):
    """What comes back from a worker.

    Attributes:
        outcomes: of a batch, or the one value of a call.
        error: that ended the batch, or the call.
        notes: what the worker logged meanwhile.
    """

    outcomes: Sequence[Outcome]
    error: PortableError | None = None
    notes: Sequence[Note] = ()


class WorkerFacts(NamedTuple):
    """What a worker says of itself once it is loaded.

    Attributes:
        decides: plain data that must be the same on all workers.
        units_at_once: how many units it likes in a batch.
        machine: that it is on.
    """

    decides: Mapping[str, Any]
    units_at_once: int
    machine: str


@dataclass(frozen=True)
class Setting:
    """What a worker process takes over from the driver's.

    Attributes:
        folder: that relative paths, and modules of the user's own, are looked up in.
        variables: of the environment, where the worker has no such variables.
        num_threads: that a CPU's networks compute with, for the same rounding as in one process;
            None leaves it to Ray.
    """

    folder: str
    variables: Mapping[str, str]
    num_threads: int | None = None


class RayActor(Generic[Unit, Outcome]):
    """A `RayProcess` as Ray calls it: all that its worker does, it does in one thread.

    The process's own thread is Ray's, so that while outcomes are put on their way, megabytes each,
    the next batch is at work already. Batches are begun in the order in which they were sent.
    """

    def __init__(self) -> None:
        self._process: RayProcess[Unit, Outcome] = RayProcess()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dpgbench-worker")

    async def node(self) -> str:
        """Return the id of the node that it is on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    async def load(
        self, factory: Callable[[], Worker[Unit, Outcome]], setting: Setting
    ) -> Returned[WorkerFacts]:
        """Build the worker."""
        return await self._in_thread(self._process.load, factory, setting)

    async def once(
        self, setting: Setting, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Returned[Any]:
        """Return what a function returns in a process like a worker's."""
        return await self._in_thread(self._process.once, setting, function, args, kwargs)

    async def call(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Returned[Any]:
        """Return what a method of the worker's class returns."""
        return await self._in_thread(self._process.call, method, args, kwargs)

    async def work(self, units: Sequence[Unit]) -> Returned[Outcome]:
        """Return what comes of a batch, up to an error that is not about one unit."""
        return await self._in_thread(self._process.work, units)

    async def _in_thread(
        self, function: Callable[..., Returned[Answered]], *arguments: Any
    ) -> Returned[Answered]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)


class RayProcess(Generic[Unit, Outcome]):
    """A worker in a process of its own, what it logs, and how it fails."""

    def __init__(self) -> None:
        self.worker: Worker[Unit, Outcome] | None = None
        self.notes: list[Note] = []

    def load(
        self, factory: Callable[[], Worker[Unit, Outcome]], setting: Setting
    ) -> Returned[WorkerFacts]:
        """Build the worker."""
        self._take(setting)

        def facts() -> list[WorkerFacts]:
            if self.worker is None:
                self.worker = factory()
            machine = os.uname().nodename
            return [WorkerFacts(self.worker.decides(), self.worker.units_at_once(), machine)]

        return self._returned(facts)

    def once(
        self, setting: Setting, function: Callable[..., Any], args: Any, kwargs: Any
    ) -> Returned[Any]:
        """Return what a function returns in a process like a worker's."""
        self._take(setting)
        return self._returned(lambda: [function(*args, **kwargs)])

    def call(self, method: Callable[..., Any], args: Any, kwargs: Any) -> Returned[Any]:
        """Return what a method of the worker's class returns."""
        return self._returned(lambda: [method(self.worker, *args, **kwargs)])

    def work(self, units: Sequence[Unit]) -> Returned[Outcome]:
        """Return what comes of a batch, up to an error that is not about one unit."""
        outcomes: list[Outcome] = []

        def work() -> list[Outcome]:
            if self.worker is not None:
                outcomes.extend(self.worker.work(units))
            return outcomes

        returned = self._returned(work, outcomes)
        if device_is_lost():
            os._exit(1)  # nothing that this process draws or asks from here on would go well
        return returned

    def _returned(self, do: Callable[[], list[Any]], so_far: Sequence[Any] = ()) -> Returned[Any]:
        try:
            outcomes: Sequence[Any] = do()
            error = None
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - it is raised where the user sees it
            outcomes, error = so_far, PortableError.of(raised)
        notes, self.notes = self.notes, []
        return Returned(outcomes, error, notes)

    def _take(self, setting: Setting) -> None:
        """Make the process like the driver's, and keep what it logs."""
        for name, value in setting.variables.items():
            os.environ.setdefault(name, value)
        if setting.num_threads is not None:
            os.environ["OMP_NUM_THREADS"] = str(setting.num_threads)
        if Path(setting.folder).is_dir():
            os.chdir(setting.folder)
        for kind in (DeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", kind)
        warnings.showwarning = self._keep_warning
        logging.getLogger().addHandler(_Keeping(self.notes_of))

    def notes_of(self, record: logging.LogRecord) -> None:
        """Keep a log line."""
        self.notes.append(Note(record.name, record.levelno, record.getMessage()))

    def _keep_warning(self, message: Warning | str, *place: Any, **more: Any) -> None:
        self.notes.append(Note("dpgbench", logging.WARNING, " ".join(str(message).split())))


class _Keeping(logging.Handler):
    """Hands log lines from a warning on to `keep`."""

    def __init__(self, keep: Callable[[logging.LogRecord], None]) -> None:
        super().__init__(logging.WARNING)
        self._keep = keep

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a line on."""
        self._keep(record)
