"""A connection to a Ray cluster: one of this command's own, or one that is there already.

Ray itself is quiet: what it would print says less than the one line that a command ends with.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.engine.options import EngineOptions
from dpgbench.errors import SetupError, UsageError, counted, reason_of

log = logging.getLogger(__name__)
INSTALL = "pip install 'dpgbench[ray]'"
_FOLDER = "dpgbench-"
_LONGEST_FOLDER = 30  # sockets below it have paths of at most 107 bytes
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # no call over the network that nobody asked for
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # lines about workers that end: the command has its own
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
_AUTH = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
_own_tokens: list[str] = []  # that this process has made up


def import_ray(options: EngineOptions) -> Any:
    """Return Ray, which reads some of its settings from the environment when it is imported.

    A cluster of the command's own has a token of its own: nobody else on the machine gets in, and
    no file holds it.

    Raises:
        SetupError: it is not installed, or its token is not for the cluster that is asked for.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if options.address is None and "ray" not in sys.modules and not set(_AUTH) & os.environ.keys():
        os.environ.update(zip(_AUTH, ("token", secrets.token_hex(32)), strict=True))
        _own_tokens.append(os.environ["RAY_AUTH_TOKEN"])
    if options.address is not None and os.environ.get("RAY_AUTH_TOKEN") in _own_tokens:
        raise SetupError(
            f"--address {options.address}: this process has had a Ray cluster of its own, whose "
            "token Ray keeps as long as the process lives; begin a new process (a new notebook "
            "kernel) for another cluster, or set RAY_AUTH_MODE before the first one"
        )
    try:
        import ray
    except ImportError as error:
        raise SetupError(
            f"--engine ray needs a package that is not installed ({reason_of(error)}): {INSTALL}"
        ) from error
    return ray


class WorkerSize(NamedTuple):
    """How many workers there are, and what Ray keeps for each."""

    number: int
    cpus: float
    gpus: float

    @property
    def text(self) -> str:
        """What one of them needs, in words."""
        return f"{self.cpus:g} CPU and {self.gpus:g} GPU"


@dataclass
class Cluster:
    """A connection to a cluster.

    Attributes:
        ray: the package.
        is_own: the command has started the cluster, on this machine, and ends it.
        size: of its workers.
        folder: of files of its own cluster; None of another's.
    """

    ray: Any
    is_own: bool
    size: WorkerSize
    folder: Path | None = None
    was_connected: bool = False

    def close(self) -> None:
        """End the cluster if it is the command's own, else the connection."""
        if self.was_connected:
            return
        with _signals_kept():
            self.ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def alive_nodes(self) -> set[str]:
        """Return the ids of the machines that are in the cluster now."""
        return {node["NodeID"] for node in self.ray.nodes() if node["Alive"]}

    def is_dead(self, actor: Any) -> bool:
        """Return whether Ray has given an actor up for good; who waits for it may never hear so.

        That is what becomes of one whose driver did not answer while it was being placed.
        """
        from ray._private.state import actors

        try:
            return bool(actors(actor._actor_id.hex()).get("State") == "DEAD")
        except Exception:  # noqa: BLE001 - another release of Ray, or it is asked at a bad moment
            return False

    def resources(self) -> str:
        """Return what the cluster has, and how much of it nobody uses now, in words."""
        has, free = self.ray.cluster_resources(), self.ray.available_resources()
        return f"{_words(has)}, of which {_words(free)} are free"


def _words(resources: Mapping[str, float]) -> str:
    return f"{resources.get('CPU', 0):g} CPU and {resources.get('GPU', 0):g} GPU"


def connect(options: EngineOptions, *, on_gpu: bool, modules: Sequence[str] = ()) -> Cluster:
    """Return a connection to the cluster that `options` name, or to a new one on this machine.

    Args:
        options: of the user.
        on_gpu: the work is done on GPUs, where there are any.
        modules: files and folders of Python modules that workers of another cluster may not have.

    Raises:
        SetupError: Ray is not installed, or there is no such cluster.
        UsageError: this machine has fewer GPUs than the workers would need.
    """
    ray = import_ray(options)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    if options.address is None and not ray.is_initialized():
        return _started(ray, options, on_gpu=on_gpu)
    was_connected = bool(ray.is_initialized())
    if not was_connected:
        _attach(ray, str(options.address), modules)
    cluster = Cluster(
        ray, False, _size_in(ray, options, on_gpu=on_gpu), was_connected=was_connected
    )
    try:
        _check_machines(cluster)
    except SetupError:
        cluster.close()
        raise
    return cluster


def _check_machines(cluster: Cluster) -> None:
    """Raise where no machine is big enough for a worker; say where not all will have room.

    Raises:
        SetupError: it says what one needs, and what the biggest machines have.
    """
    size = cluster.size
    needs = {name: need for name, need in (("CPU", size.cpus), ("GPU", size.gpus)) if need}
    nodes = [node["Resources"] for node in cluster.ray.nodes() if node["Alive"]]
    room = sum(
        min((int(has.get(name, 0) / need) for name, need in needs.items()), default=size.number)
        for has in nodes
    )
    if not room:
        biggest = {name: max((has.get(name, 0) for has in nodes), default=0) for name in needs}
        raise SetupError(
            f"--engine ray: no machine of the cluster has room for a worker, which needs "
            f"{size.text}; the most that one has is {_words(biggest)}: give smaller "
            "--gpus-per-worker and --cpus-per-worker, or add machines"
        )
    if room < size.number:
        log.warning(
            "the cluster has room for %d of %s of %s; the others join in once there is more",
            room,
            counted(size.number, "worker"),
            size.text,
        )


def _attach(ray: Any, address: str, modules: Sequence[str]) -> None:
    try:
        _knock(address)
        with _signals_kept(), _no_warnings():
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=False,
                runtime_env={"py_modules": list(modules)} if modules else None,
            )
    except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError, grpc's own
        raise SetupError(
            f"--address {address}: no Ray cluster can be reached "
            f"({reason_of(error, first_line=True, limit=200)}); 'ray start --head' starts one, and "
            "without --address the command starts its own"
        ) from error


def _knock(address: str, seconds: float = 10.0) -> None:
    """Raise where nobody answers at an address: Ray itself would try for minutes.

    Raises:
        OSError: nobody answers.
        ValueError: it is no address.
    """
    if address == "auto":
        return
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (host and colon and port.isdigit()):
        raise ValueError("it is not auto, HOST:PORT or ray://HOST:PORT")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
        pass


def _size_in(ray: Any, options: EngineOptions, *, on_gpu: bool) -> WorkerSize:
    """Return how many workers there are in a cluster that is there already."""
    has: Mapping[str, float] = ray.cluster_resources()
    gpus = _gpus_per_worker(options, has.get("GPU", 0), on_gpu=on_gpu)
    cpus = 1.0 if options.cpus_per_worker is None else options.cpus_per_worker
    num_nodes = sum(node["Alive"] for node in ray.nodes())
    number = options.workers or (int(has.get("GPU", 0) / gpus) if gpus else num_nodes)
    return WorkerSize(max(1, number), cpus, gpus)


def _gpus_per_worker(options: EngineOptions, num_gpus: float, *, on_gpu: bool) -> float:
    if options.gpus_per_worker is not None:
        return options.gpus_per_worker
    return 1.0 if on_gpu and num_gpus else 0.0


def _started(ray: Any, options: EngineOptions, *, on_gpu: bool) -> Cluster:
    """Start a cluster on this machine, big enough for the workers that the user wants.

    Its CPUs are counts that Ray keeps, not cores: with ``--workers 8`` eight work on two cores too.
    """
    num_gpus = _num_gpus(ray) if on_gpu or options.gpus_per_worker else 0
    gpus = _gpus_per_worker(options, num_gpus, on_gpu=on_gpu)
    number = options.workers or max(1, int(num_gpus / gpus) if gpus else 1)
    if number > (most := _most_processes()):
        raise UsageError(
            f"--workers {number}: this machine has memory for {most} empty processes, without any "
            "model; give fewer"
        )
    if number * gpus > num_gpus:
        raise UsageError(
            f"{counted(number, 'worker')} with {gpus:g} GPU each: this machine has "
            f"{counted(num_gpus, 'GPU')}; give fewer --workers, or a part of one as "
            "--gpus-per-worker"
        )
    cpus = 1.0 if options.cpus_per_worker is None else options.cpus_per_worker
    folder = _new_folder()
    try:
        with _signals_kept(), _no_warnings():
            ray.init(
                address="local",
                num_cpus=max(1, math.ceil(number * cpus)),
                num_gpus=num_gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                configure_logging=False,
                object_store_memory=_store_bytes(),
                _temp_dir=str(folder),
            )
    except Exception as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupError(
            f"--engine ray: no cluster could be started on this machine: "
            f"{reason_of(error, first_line=True, limit=200)}"
        ) from error
    return Cluster(ray, True, WorkerSize(number, cpus, gpus), folder)


def has_gpu(ray: Any) -> bool:
    """Return whether this machine has a GPU that this process may use."""
    return _num_gpus(ray) > 0


def _num_gpus(ray: Any) -> int:
    """Return how many GPUs there are, by Ray's own count, which needs no torch."""
    from ray._private.accelerators import NvidiaGPUAcceleratorManager as Nvidia

    visible = Nvidia.get_current_process_visible_accelerator_ids()
    return int(Nvidia.get_current_node_num_accelerators()) if visible is None else len(visible)


def _store_bytes(most: int = 2 * 2**30) -> int:
    """Return how much memory images may take on their way: a fifth of the machine's at most."""
    memory = _memory_bytes()
    return most // 4 if memory is None else int(min(most, memory / 5))


def _most_processes(process_bytes: int = 2**26) -> float:
    """Return how many processes of Ray fit into memory; each takes some 64 MiB without a model."""
    memory = _memory_bytes()
    return math.inf if memory is None else max(1, memory // process_bytes)


def _memory_bytes() -> int | None:
    """Return how much memory this machine has; None where that cannot be asked."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _new_folder() -> Path:
    """Return a new folder for the cluster's files; those of commands that were killed go."""
    parent = tempfile.gettempdir()
    if len(parent) > _LONGEST_FOLDER - len(_FOLDER) and Path("/tmp").is_dir():
        parent = "/tmp"
    for old in Path(parent).glob(f"{_FOLDER}[0-9]*-*"):
        if not Path(f"/proc/{old.name.split('-')[1]}").exists() and Path("/proc/self").exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=parent))


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Have the command's own handlers of signals back afterwards: Ray puts its own in place."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(number, handler)


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
