"""Work done in this process, by one worker, with nothing between it and the job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Concatenate

from dpgbench.engine.work import Answered, Arguments, Lost, Outcome, Unit, Worker, Workers


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
