"""Workers of a Ray cluster: batches go out, outcomes come back, and who is lost is replaced.

Ray places workers on machines, restarts their processes, and holds what is on its way. What is
left to do here: send no more than workers can take, do the batch of a worker that ended again, and
tell an item that ends its worker from one that was on a machine that went away.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Concatenate, Generic

from dpgbench.engine.options import EngineOptions
from dpgbench.engine.ray_cluster import Cluster, has_gpu, import_ray
from dpgbench.engine.ray_process import Note, RayActor, Returned, Setting, WorkerFacts
from dpgbench.engine.work import Answered, Arguments, Lost, Outcome, Unit, Worker, Workers
from dpgbench.errors import IncompleteError, SetupError, counted
from dpgbench.interrupts import stop_requested

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkerPatience:
    """When what does not go well is given up.

    Attributes:
        num_ends: so many ends of a worker over one batch split it; over one item fail the item.
        num_failed_starts: so many ends of a worker while it loads end the work.
        batches_at_once: sent to a worker, so that it need not wait for the next.
        pause_seconds: before a worker that is being restarted is called again.
        placement_seconds: without any worker end the work: the cluster has no room for one.
        own_placement_seconds: the same where the cluster is the command's own, and empty.
        look_seconds: between two looks for workers that Ray has given up before they began.
    """

    num_ends: int = 3
    num_failed_starts: int = 3
    batches_at_once: int = 2
    pause_seconds: float = 0.2
    placement_seconds: float = 600.0
    own_placement_seconds: float = 120.0
    look_seconds: float = 5.0


@dataclass
class _Batch(Generic[Unit]):
    """Units that are sent together, and how many workers have ended over them."""

    units: list[Unit]
    num_ends: int = 0


@dataclass
class _Remote(Generic[Unit]):
    """A worker in another process, as it is seen from here.

    Attributes:
        actor: Ray's handle, which outlives the process.
        node: id of the machine that it is on; None until it is placed.
        step: what it is asked for now beside batches, and the answer to come.
        batches: sent to it, the oldest first, each with the answer to come.
        not_before: when it may be called again.
    """

    actor: Any
    node: str | None = None
    step: tuple[str, Any] | None = None
    is_ready: bool = False
    batches: deque[tuple[Any, _Batch[Unit]]] = field(default_factory=deque)
    not_before: float = 0.0
    num_failed_starts: int = 0


class RayWorkers(Workers[Unit, Outcome]):
    """Workers of a cluster, all built by one factory.

    Args:
        cluster: is closed with the workers.
        factory: builds a worker; sent to each process.
        setting: what the processes take over from this one.
        for_another_process: makes of a unit one that is sent; None sends units as they are.
        patience: when to give up.
    """

    def __init__(
        self,
        cluster: Cluster,
        factory: Callable[[], Worker[Unit, Outcome]],
        setting: Setting,
        *,
        for_another_process: Callable[[Unit], Unit] | None = None,
        patience: WorkerPatience | None = None,
    ) -> None:
        self.cluster, self.patience = cluster, patience or WorkerPatience()
        self._ray = cluster.ray
        self._setting, self._for_another_process = setting, for_another_process
        self._factory = self._ray.put(factory)
        self._facts: WorkerFacts | None = None
        self._notes: set[Note] = set()
        self._not_loaded: list[BaseException] = []
        self._num_replaced = 0
        self._placed_at = self._looked_at = time.monotonic()
        self._class = self._actor_class()
        self._remotes = [_Remote[Unit](self._class.remote()) for _ in range(cluster.size.number)]

    def _actor_class(self) -> Any:
        size = self.cluster.size
        return self._ray.remote(RayActor).options(
            num_cpus=size.cpus,
            num_gpus=size.gpus,
            max_restarts=-1,
            max_task_retries=0,  # a batch that was lost is sent to whoever is free
            scheduling_strategy="SPREAD",
        )

    def close(self) -> None:
        """End the workers, and the cluster where it is the command's own."""
        if not self.cluster.is_own:
            for remote in self._remotes:
                self._ray.kill(remote.actor)
        self.cluster.close()

    def call(
        self,
        method: Callable[Concatenate[Any, Arguments], Answered],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Answered:
        """Return what a method returns on the first worker that is ready."""
        for _ in range(self.patience.num_failed_starts):
            remote = self._first_ready()
            try:
                answer = self._ray.get(remote.actor.call.remote(method, args, kwargs))
            except self._ray.exceptions.RayError as error:
                _raise_own(self._ray, error)
                self._begin_again(remote)
                continue
            self._pass_on(answer.notes)
            if answer.error is not None:
                raise answer.error.error()
            value: Answered = answer.outcomes[0]
            return value
        raise IncompleteError(
            f"workers end again and again when {method.__name__} is called (killed, out of memory, "
            "or a crash in native code); run the same command again to go on"
        )

    def run(self, units: Iterable[Unit], number: int) -> Iterator[Outcome | Lost[Unit]]:
        """Yield outcomes as they come back."""
        fresh = self._fresh_batches(units, number)
        again: deque[_Batch[Unit]] = deque()
        while True:
            more = self._send(fresh, again) or again
            if not self._is_busy and (not more or stop_requested()):
                return
            for remote, reference in self._answered():
                if remote.step is not None and remote.step[1] == reference:
                    self._take_step(remote)
                elif remote.batches and remote.batches[0][0] == reference:
                    yield from self._take_batches(remote, again)

    @property
    def _is_busy(self) -> bool:
        return any(remote.batches for remote in self._remotes)

    def _fresh_batches(self, units: Iterable[Unit], number: int) -> Iterator[_Batch[Unit]]:
        """Yield batches as large as a worker likes; smaller ones where few units are left for all.

        Yields nothing before the first worker has said what it likes: see `_send`.
        """
        sent = self._for_another_process
        left = iter(units) if sent is None else map(sent, units)
        most = self._facts.units_at_once if self._facts else 1
        shares = self.patience.batches_at_once * len(self._remotes)
        size = max(1, min(most, -(-number // shares)))
        while batch := list(islice(left, size)):
            yield _Batch(batch)

    def _send(self, fresh: Iterator[_Batch[Unit]], again: deque[_Batch[Unit]]) -> bool:
        """Send batches to workers that can take one; return whether there may be more to send.

        A batch over which a worker ended has a worker for itself: what ended it may have been the
        next batch, begun before the answer about this one was on its way.
        """
        for num_sent in range(self.patience.batches_at_once):
            for remote in self._remotes:
                if not remote.is_ready or len(remote.batches) > num_sent:
                    continue
                if remote.batches and any(
                    batch.num_ends for batch in (*(b for _, b in remote.batches), *again)
                ):
                    continue
                batch = again.popleft() if again else next(fresh, None)
                if batch is None or stop_requested():
                    return False
                remote.batches.append((remote.actor.work.remote(batch.units), batch))
        return True

    def _answered(self, seconds: float = 1.0) -> list[tuple[_Remote[Unit], Any]]:
        """Return the workers that have answered, each with what it answered; wait for one."""
        self._check_placement()
        waiting: dict[Any, _Remote[Unit]] = {}
        for remote in self._remotes:
            if (
                not remote.is_ready
                and remote.step is None
                and time.monotonic() >= remote.not_before
            ):
                remote.step = ("node", remote.actor.node.remote())
            if remote.step is not None:
                waiting[remote.step[1]] = remote
            if remote.batches:
                waiting[remote.batches[0][0]] = remote
        if not waiting:
            time.sleep(self.patience.pause_seconds)
            return []
        references = list(waiting)
        pausing = any(not r.is_ready and r.step is None for r in self._remotes)
        ready, _ = self._ray.wait(
            references, timeout=self.patience.pause_seconds if pausing else seconds
        )
        return [(waiting[reference], reference) for reference in ready]

    def wait_for(self, number: int) -> None:
        """Wait until so many workers are loaded."""
        while sum(remote.is_ready for remote in self._remotes) < number:
            for remote, _ in self._answered():
                self._take_step(remote)

    def _first_ready(self) -> _Remote[Unit]:
        """Return a worker that is loaded; wait for it."""
        self.wait_for(1)
        return next(remote for remote in self._remotes if remote.is_ready)

    def _check_placement(self) -> None:
        """Raise where no worker has been on any machine for too long.

        Raises:
            SetupError: the cluster has no room for any.
            IncompleteError: it has none any more.
        """
        now = time.monotonic()
        if any(remote.node for remote in self._remotes):
            self._placed_at = now
        if now - self._looked_at > self.patience.look_seconds:
            self._looked_at = now
            self._replace_given_up()
        patience = self.patience
        own = self.cluster.is_own
        longest = patience.own_placement_seconds if own else patience.placement_seconds
        try:
            check_room(self.cluster, now - self._placed_at, longest)
        except SetupError as error:
            if self._facts is None:
                raise
            raise IncompleteError(str(error)) from error

    def _replace_given_up(self) -> None:
        """Have new workers for those that Ray has given up, and that nobody would hear of."""
        for remote in self._remotes:
            waits = remote.node is None and remote.step is not None
            if waits and self.cluster.is_dead(remote.actor):
                self._begin_again(remote, failed_start=True)

    def _take_step(self, remote: _Remote[Unit]) -> None:
        """Take what a worker answered that is placed or loaded; go on to the next step."""
        if remote.step is None:
            return
        (name, reference), remote.step = remote.step, None
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            _raise_own(self._ray, error)
            self._begin_again(remote, failed_start=name == "load")
            return
        if name == "node":
            remote.node = answer
            remote.step = ("load", remote.actor.load.remote(self._factory, self._setting))
        else:
            self._take_loaded(remote, answer)

    def _take_loaded(self, remote: _Remote[Unit], answer: Returned[WorkerFacts]) -> None:
        """Count a worker in that is loaded, or leave it out if it cannot load and others can.

        Raises:
            BaseException: no worker can be loaded.
        """
        self._pass_on(answer.notes)
        if answer.error is None:
            (facts,) = answer.outcomes
            self._facts = self._facts or facts
            check_alike(self._facts, facts)
            remote.is_ready = True
            for error in self._not_loaded:
                log.warning("one worker less, for it cannot be loaded: %s", error)
            self._not_loaded.clear()
            return
        error = answer.error.error()
        self._remotes.remove(remote)
        self._ray.kill(remote.actor)
        if not self._remotes:
            raise error
        self._not_loaded.append(error)
        if self._facts is not None:
            log.warning("one worker less, for it cannot be loaded: %s", self._not_loaded.pop())

    def _begin_again(self, remote: _Remote[Unit], *, failed_start: bool = False) -> None:
        """Wait for the process of a worker that ended, which Ray starts anew, and load it again.

        Where Ray has given the worker up for good there is a new one in its place.

        Raises:
            IncompleteError: it ends each time that it loads.
        """
        remote.is_ready, remote.step, remote.node = False, None, None
        remote.not_before = time.monotonic() + self.patience.pause_seconds
        remote.num_failed_starts = remote.num_failed_starts + 1 if failed_start else 0
        if remote.num_failed_starts >= self.patience.num_failed_starts:
            raise IncompleteError(
                f"a worker ended {self.patience.num_failed_starts} times before its model was "
                "loaded (killed, out of memory, or a crash in native code); give fewer --workers, "
                "or more of the machine to each"
            )
        if self.cluster.is_dead(remote.actor):
            remote.actor = self._class.remote()

    def _take_batches(
        self, remote: _Remote[Unit], again: deque[_Batch[Unit]]
    ) -> Iterator[Outcome | Lost[Unit]]:
        """Yield what came of a worker's oldest batch; of one that ended its worker, what is left.

        Raises:
            BaseException: the worker raised it, for it was not about one unit.
        """
        reference, batch = remote.batches.popleft()
        try:
            answer: Returned[Outcome] = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            _raise_own(self._ray, error)
            yield from self._take_ended(remote, batch, again)
            return
        self._pass_on(answer.notes)
        yield from answer.outcomes
        if answer.error is not None:
            raise answer.error.error()

    def _take_ended(
        self, remote: _Remote[Unit], batch: _Batch[Unit], again: deque[_Batch[Unit]]
    ) -> Iterator[Lost[Unit]]:
        """Have the batches of a worker that ended done again; it worked on the first alone."""
        waiting = [later for _, later in remote.batches]
        remote.batches.clear()
        is_alive = remote.node in self.cluster.alive_nodes()
        self._begin_again(remote)
        batch.num_ends += is_alive  # a machine that went away says nothing about the batch
        self._say_replaced(batch)
        if batch.num_ends < self.patience.num_ends:
            again.extendleft([*reversed(waiting), batch])
            return
        again.extendleft(reversed(waiting))
        if len(batch.units) > 1:
            again.extendleft(_Batch([unit]) for unit in reversed(batch.units))
            return
        yield Lost(
            batch.units[0],
            f"its worker ended {batch.num_ends} times while it was worked on alone (killed, out of "
            "memory, or a crash in native code)",
        )

    def _say_replaced(self, batch: _Batch[Unit]) -> None:
        self._num_replaced += 1
        log.warning(
            "a worker ended over %s, which %s done again; %s replaced so far",
            counted(len(batch.units), "item"),
            "is" if len(batch.units) == 1 else "are",
            counted(self._num_replaced, "worker"),
        )

    def _pass_on(self, notes: Iterable[Note]) -> None:
        pass_on(notes, self._notes)


def pass_on(notes: Iterable[Note], written: set[Note]) -> None:
    """Write what workers logged; what several say alike, once.

    Args:
        notes: of a worker.
        written: gets those that were written now.
    """
    for note in notes:
        if note not in written:
            written.add(note)
            logging.getLogger(note.logger).log(note.level, "%s", note.text)


def check_room(cluster: Cluster, waited_seconds: float, placement_seconds: float) -> None:
    """Raise where no worker has been on any machine for too long.

    Raises:
        SetupError: it says what one needs, and what the cluster has.
    """
    if waited_seconds > placement_seconds:
        raise SetupError(
            f"--engine ray: for {placement_seconds:.0f} s the cluster had no room for a worker, "
            f"which needs {cluster.size.text}; the cluster has {cluster.resources()}: see "
            "--gpus-per-worker and --cpus-per-worker"
        )


def check_alike(first: WorkerFacts, other: WorkerFacts) -> None:
    """Raise where two workers would not give the same outcomes.

    Raises:
        SetupError: they have other weights or settings.
    """
    if other.decides != first.decides:
        fields = sorted(
            name
            for name in first.decides.keys() | other.decides.keys()
            if first.decides.get(name) != other.decides.get(name)
        )
        raise SetupError(
            f"workers are not alike: {', '.join(fields)} on {other.machine} differ from those on "
            f"{first.machine}; give all machines of the cluster the same weights and releases"
        )


def _raise_own(ray: Any, error: Exception) -> None:
    """Raise what is no end of a worker but a fault of how it was called.

    Raises:
        SetupError: modules of the user's own cannot be sent to it.
        RayTaskError: what was sent cannot be read there.
    """
    if isinstance(error, ray.exceptions.RuntimeEnvSetupError):
        raise SetupError(f"--engine ray: workers cannot be set up: {error}") from error
    if isinstance(error, ray.exceptions.RayTaskError):
        raise error


def call_on_gpu(
    options: EngineOptions,
    setting: Setting,
    function: Callable[..., Answered],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Answered:
    """Return what a function returns, called on a GPU of the cluster if only others have some.

    Raises:
        BaseException: what the function raises.
    """
    ray = import_ray(options)
    num_gpus = ray.cluster_resources().get("GPU", 0)
    if not num_gpus or options.gpus_per_worker == 0 or has_gpu(ray):
        return function(*args, **kwargs)
    process = ray.remote(RayActor).options(num_cpus=0, num_gpus=min(1, num_gpus)).remote()
    try:
        answer = ray.get(process.once.remote(setting, function, args, kwargs))
    finally:
        ray.kill(process)
    for note in answer.notes:
        logging.getLogger(note.logger).log(note.level, "%s", note.text)
    if answer.error is not None:
        raise answer.error.error()
    value: Answered = answer.outcomes[0]
    return value
