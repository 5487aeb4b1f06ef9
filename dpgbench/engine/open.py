"""Opening workers: in this process, or of Ray."""

from __future__ import annotations

from collections.abc import Callable

from dpgbench.engine.local import LocalWorkers
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.work import Outcome, Unit, Worker, Workers


def open_workers(
    options: EngineOptions, factory: Callable[[], Worker[Unit, Outcome]]
) -> Workers[Unit, Outcome]:
    """Return workers that `factory` builds, each in its own process; to be used in a ``with``.

    Args:
        options: who works, and where.
        factory: can be pickled, and so can all that it holds.

    Raises:
        SetupError: the package of the engine is not installed, or the model lacks weights.
    """
    return LocalWorkers(factory())
