"""What a worker does, what a job needs of workers, wherever they are, and the one in this process.

A unit is the least that is worked on at once: an item to draw, a grid to ask about. Units go in,
outcomes come out, in any order; what they are, `drawing` and `asking` say. A worker never touches a
run's files: the job does, with the outcomes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

Unit = TypeVar("Unit")
Outcome = TypeVar("Outcome")
Answered = TypeVar("Answered")
Arguments = ParamSpec("Arguments")


class Worker(ABC, Generic[Unit, Outcome]):
    """Has a model, and works on one unit after the other with it."""

    @abstractmethod
    def work(self, units: Iterable[Unit]) -> Iterator[Outcome]:
        """Yield what comes of `units`; each outcome is on disk before the next is asked for.

        Raises:
            Exception: something that is not about one unit.
        """

    @abstractmethod
    def units_at_once(self) -> int:
        """Return how many units it likes to be given together where they are sent in batches."""

    @abstractmethod
    def decides(self) -> Mapping[str, Any]:
        """Return plain data that decides the outcomes, and must be the same on all workers."""


@dataclass(frozen=True)
class Lost(Generic[Unit]):
    """A unit that ended its worker again and again, for the `reason`, and has no outcome."""

    unit: Unit
    reason: str


class Workers(ABC, Generic[Unit, Outcome]):
    """Workers that are alike, for as long as a ``with`` lasts.

    Attributes:
        here: those of them that are in this process.
    """

    here: Sequence[Worker[Unit, Outcome]] = ()

    @abstractmethod
    def call(
        self,
        method: Callable[Concatenate[Any, Arguments], Answered],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Answered:
        """Return what a method of the workers' class returns on one of them.

        Raises:
            DpgBenchError: no worker can be built.
        """

    @abstractmethod
    def run(self, units: Iterable[Unit], number: int) -> Iterator[Outcome | Lost[Unit]]:
        """Yield what comes of `units`, in the order in which it is done.

        Args:
            units: are taken as workers get to them.
            number: how many there are.

        Raises:
            Exception: what a worker raised, for it was not about one unit.
        """

    def close(self) -> None:
        """Let the workers go."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class LocalWorkers(Workers[Unit, Outcome]):
    """One worker, which is here."""

    def __init__(self, worker: Worker[Unit, Outcome]) -> None:
        self.here = (worker,)

    def call(
        self,
        method: Callable[Concatenate[Any, Arguments], Answered],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Answered:
        """Return what the method returns on the worker."""
        return method(self.here[0], *args, **kwargs)

    def run(self, units: Iterable[Unit], number: int) -> Iterator[Outcome | Lost[Unit]]:
        """Yield the worker's outcomes, in the order of the units where the worker keeps it."""
        return self.here[0].work(units)
