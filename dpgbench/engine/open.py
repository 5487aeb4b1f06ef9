"""Opening workers: in this process, or of Ray."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from dpgbench.backends.import_class import import_target
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.ray_cluster import Cluster, connect, import_ray
from dpgbench.engine.ray_process import Setting
from dpgbench.engine.ray_workers import RayWorkers, call_on_gpu
from dpgbench.engine.work import (
    Answered,
    Arguments,
    LocalWorkers,
    Outcome,
    Unit,
    Worker,
    Workers,
)
from dpgbench.errors import UsageError

_VARIABLES = (
    "HF_HUB_DISABLE_TELEMETRY",
    "TOKENIZERS_PARALLELISM",
    "TRANSFORMERS_VERBOSITY",
    "DIFFUSERS_VERBOSITY",
)


def check_engine(options: EngineOptions) -> None:
    """Raise where the engine cannot be used, before anything is written.

    Raises:
        SetupError: its package is not installed.
    """
    if options.is_ray:
        import_ray(options)


def open_workers(
    options: EngineOptions,
    factory: Callable[[], Worker[Unit, Outcome]],
    *,
    device: str,
    own_class: str | None = None,
    for_another_process: Callable[[Unit], Unit] | None = None,
) -> Workers[Unit, Outcome]:
    """Return workers that `factory` builds, each in its own process; to be used in a ``with``.

    Args:
        options: who works, and where.
        factory: can be pickled, and so can all that it holds.
        device: that the workers' networks run on; ``auto`` is a GPU where there is one.
        own_class: the user's class that they use, as ``module:Class``, or None.
        for_another_process: makes of a unit one that a worker elsewhere can work on; None where
            units are so as they are.

    Raises:
        SetupError: the package of the engine is not installed, or the model lacks weights.
        UsageError: this machine has not what the workers need.
    """
    if not options.is_ray:
        return LocalWorkers(factory())
    cluster = _connected(options, device, own_class)
    try:
        return RayWorkers(
            cluster,
            factory,
            _setting_for(cluster, options),
            for_another_process=for_another_process,
        )
    except BaseException:
        cluster.close()
        raise


@contextlib.contextmanager
def opened_cluster(
    options: EngineOptions, *, device: str, own_class: str | None = None
) -> Iterator[tuple[Cluster, Setting]]:
    """Give a connection to a cluster, and what processes there take over from this one.

    For workers that are not `open_workers`'s; a cluster of the command's own ends with it.

    Args:
        options: who works, and where.
        device: that networks run on; as for `open_workers`.
        own_class: as for `open_workers`.

    Raises:
        SetupError: the package of the engine is not installed, or there is no such cluster.
        UsageError: this machine has not what the workers need.
    """
    cluster = _connected(options, device, own_class)
    try:
        yield cluster, _setting_for(cluster, options)
    finally:
        cluster.close()


@contextlib.contextmanager
def kept_cluster(
    options: EngineOptions, *, device: str, own_class: str | None = None
) -> Iterator[None]:
    """Keep one connection to a cluster for all workers that are opened inside.

    Starting a cluster takes seconds, which several jobs in a row need not take several times.

    Args:
        options: who works, and where; nothing is kept for this process.
        device: that networks run on; as for `open_workers`.
        own_class: as for `open_workers`.

    Raises:
        SetupError: the package of the engine is not installed, or there is no such cluster.
        UsageError: this machine has not what the workers need.
    """
    cluster = _connected(options, device, own_class) if options.is_ray else None
    try:
        yield
    finally:
        if cluster is not None:
            cluster.close()


def call_as_worker(
    options: EngineOptions,
    function: Callable[Arguments, Answered],
    *args: Arguments.args,
    **kwargs: Arguments.kwargs,
) -> Answered:
    """Return what a function returns where workers work, inside a `kept_cluster`.

    It is called in this process unless the cluster has GPUs and this machine has none: what
    depends on the device must be decided on a machine that has it.

    Args:
        options: of a cluster that was there before.
        function: can be pickled, as can its arguments and what it returns.

    Raises:
        Exception: what the function raises.
    """
    return call_on_gpu(options, _setting(with_threads=False), function, args, kwargs)


def _connected(options: EngineOptions, device: str, own_class: str | None) -> Cluster:
    if device.startswith("cuda:"):
        raise UsageError(
            f"--device {device}: with --engine ray each worker has GPUs of its own, which Ray "
            "chooses; give --device cuda, and CUDA_VISIBLE_DEVICES for some of them alone"
        )
    modules = _module_files(own_class) if own_class else ()
    on_gpu = device.partition(":")[0] in ("auto", "cuda")
    return connect(options, on_gpu=on_gpu, modules=modules)


def _setting_for(cluster: Cluster, options: EngineOptions) -> Setting:
    """Return what workers take over; networks on CPUs compute with as many threads as here."""
    return _setting(with_threads=not cluster.size.gpus and not options.cpus_per_worker)


def _setting(*, with_threads: bool) -> Setting:
    return Setting(
        str(Path.cwd()),
        {name: os.environ[name] for name in _VARIABLES if name in os.environ},
        num_threads=_num_threads() if with_threads else None,
    )


def _num_threads() -> int:
    """Return how many threads a network on the CPU would compute with in this process."""
    return int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def _module_files(own_class: str) -> tuple[str, ...]:
    """Return the file, or the folder of the package, that a user's class stands in."""
    import_target(own_class, "class")  # from the folder that the command is in, too
    top = importlib.import_module(own_class.partition(":")[0].partition(".")[0])
    file = getattr(top, "__file__", None)
    if file is None:
        return tuple(getattr(top, "__path__", ()))[:1]
    path = Path(file)
    return (str(path.parent if path.name == "__init__.py" else path),)
