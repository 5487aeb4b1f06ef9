"""Where work is done: the user's choice of engine, and how many workers it has."""

from __future__ import annotations

from dataclasses import dataclass

from dpgbench.errors import UsageError

LOCAL, RAY = "local", "ray"
ENGINES = (LOCAL, RAY)
NEW_CLUSTER = "local"


@dataclass(frozen=True)
class EngineOptions:
    """Who works, and where.

    Attributes:
        engine: ``local`` is this process; ``ray`` is workers of a Ray cluster.
        workers: how many; None is one a GPU, or one a machine where there is no GPU.
        gpus_per_worker: of each worker; a part of one where several share it. None is 1 where there
            are GPUs.
        cpus_per_worker: that Ray keeps for each worker, 0 for none; None leaves it to the engine.
        address: of a cluster: ``auto`` or ``ray://HOST:PORT``; None starts one on this machine and
            ends it with the command.
        shared_storage: workers see the run's folder under the same path, so that images need not
            travel.
    """

    engine: str = LOCAL
    workers: int | None = None
    gpus_per_worker: float | None = None
    cpus_per_worker: float | None = None
    address: str | None = None
    shared_storage: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: choose one of {', '.join(ENGINES)}")
        if self.engine == LOCAL:
            self._refuse_options_of_ray()
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}: at least 1 is needed")
        for name in ("gpus_per_worker", "cpus_per_worker"):
            value = getattr(self, name)
            if value is not None and not _is_share(value):
                raise UsageError(
                    f"{_flag(name)} {value:g}: give a whole number, or a part of one such as 0.5"
                )

    @property
    def is_ray(self) -> bool:
        """Whether workers are in other processes."""
        return self.engine == RAY

    def _refuse_options_of_ray(self) -> None:
        names = ("workers", "gpus_per_worker", "cpus_per_worker", "address", "shared_storage")
        for name in names:
            if getattr(self, name) not in (None, False):
                raise UsageError(f"{_flag(name)} is for workers of Ray: give --engine ray with it")


def _is_share(value: float) -> bool:
    """Return whether Ray can give a worker so much: whole numbers, or less than one."""
    return 0 <= value < 1 or (value > 0 and float(value).is_integer())


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
