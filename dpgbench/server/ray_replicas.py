"""The judge of a server in several processes, on several GPUs or machines, through Ray Serve.

Ray Serve places the replicas, replaces those that end, and hands each batch to whichever has the
least to do. HTTP stays with `dpgbench.server.app` and batches with `dpgbench.server.batching`: Ray
Serve's own proxy would read bodies of any size before a limit could count, and would neither know
pictures nor patience. What is left to do here is to ask again what a replica that ended was asked,
and to tell a picture that ends each of them.

A server that is killed can take nothing back that it deployed on another's cluster. So each replica
looks whether the server's `Lease`, an actor that ends with it, is still there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.judges.answer_checks import checked_description
from dpgbench.backends.judges.request import load_judge
from dpgbench.backends.protocols import Judge, JudgeReply, JudgeRequest, TileQuestions
from dpgbench.engine.open import opened_cluster
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.ray_cluster import Cluster
from dpgbench.engine.ray_process import Note, RayProcess, Returned, Setting, WorkerFacts
from dpgbench.engine.ray_workers import check_alike, check_room, pass_on
from dpgbench.engine.work import Worker
from dpgbench.errors import DpgBenchError, IncompleteError, SetupError, reason_of
from dpgbench.server.batching import Askers, BatchShape, OnBatch, Waiting, ask_together

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_DEPLOYMENT = "judge"
_TO_BE_ASKED = 10.0  # seconds in which a replica can say why its judge could not be loaded


@dataclass(frozen=True)
class ReplicaPatience:
    """When what does not go well is given up.

    Attributes:
        num_ends: so many ends of a replica over one batch split it; over one tile fail the tile.
        batches_at_once: sent to a replica, so that it need not wait for the next.
        health_seconds: between two looks at a replica.
        placement_seconds: without any replica on a machine end the server.
        closing_seconds: for replicas to be taken back at the end.
    """

    num_ends: int = 3
    batches_at_once: int = 2
    health_seconds: float = 1.0
    placement_seconds: float = 600.0
    closing_seconds: float = 10.0


class ReplicaFacts(NamedTuple):
    """What a replica says of itself once its judge is loaded."""

    worker: WorkerFacts
    description: Mapping[str, Any]
    origin: Mapping[str, Any]
    shape: BatchShape
    images_at_once: int


class FromReplica(NamedTuple):
    """The replies to a batch, in its order, and who gave them."""

    worker: WorkerFacts
    replies: Returned[JudgeReply]


class TileAsker(Worker[TileQuestions, JudgeReply]):
    """A worker that asks about tiles that it is given, and gives each one whole reply."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def units_at_once(self) -> int:
        """Return how many tiles are asked about together at most."""
        return BatchShape.of(self.judge).size

    def decides(self) -> Mapping[str, Any]:
        """Return what decides the answers.

        Raises:
            JudgeContractError: the judge says it in a form that no manifest can hold.
        """
        return checked_description(self.judge.class_name, self.judge.describe())

    def prepared(self, tile: TileQuestions) -> TileQuestions:
        """Return a tile with what the judge makes of its image; it may run in any thread."""
        return tile._replace(prepared=self.judge.prepare(tile.image))

    def work(self, units: Sequence[TileQuestions]) -> Iterator[JudgeReply]:  # type: ignore[override]
        """Yield the reply to each tile, in order."""
        replies: dict[int, JudgeReply] = {}
        ask_together(self.judge, units, replies.__setitem__)
        return (replies[place] for place in range(len(units)))


@dataclass(frozen=True)
class TileAskerFactory:
    """Builds a `TileAsker` in whatever process it is to work in."""

    request: JudgeRequest

    def __call__(self) -> TileAsker:
        """Return a worker with the judge loaded.

        Raises:
            SetupError: weights are missing or not what they must be.
        """
        return TileAsker(load_judge(self.request))


class Lease:
    """Lives as long as the server does."""

    def is_held(self) -> bool:
        """Return true, from where the server still is."""
        return True


class Replica:
    """A process of Ray Serve with a judge: one batch is asked while the next is prepared.

    Args:
        factory: builds its worker.
        setting: what it takes over from the server's process.
        lease: of the server.
        application: that it is part of, to be deleted where the lease has ended.
    """

    def __init__(
        self, factory: TileAskerFactory, setting: Setting, lease: Any, application: str
    ) -> None:
        self._lease, self._application = lease, application
        self._process: RayProcess[TileQuestions, JudgeReply] = RayProcess()
        self._judging = ThreadPoolExecutor(1)
        self._preparing = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        self._loaded = self._judging.submit(self._process.load, factory, setting).result()
        self._loaded_at = time.monotonic()

    @property
    def _asker(self) -> TileAsker:
        worker = self._process.worker
        if not isinstance(worker, TileAsker):
            raise DpgBenchError("the judge of this process is not loaded")
        return worker

    async def facts(self) -> Returned[ReplicaFacts]:
        """Return what it is, or why its judge could not be loaded."""
        if self._loaded.error is not None:
            return Returned([], self._loaded.error, self._loaded.notes)
        judge = self._asker.judge
        (worker,) = self._loaded.outcomes
        facts = ReplicaFacts(
            worker,
            dict(judge.describe()),
            dict(judge.origin()),
            BatchShape.of(judge),
            judge.num_images_at_once,
        )
        return Returned([facts], notes=self._loaded.notes)

    async def ask(self, tiles: Sequence[TileQuestions]) -> FromReplica:
        """Return the replies to a batch."""
        loop, asker = asyncio.get_running_loop(), self._asker
        prepared = await asyncio.gather(
            *(loop.run_in_executor(self._preparing, asker.prepared, tile) for tile in tiles)
        )
        replies = await loop.run_in_executor(self._judging, self._process.work, prepared)
        return FromReplica(self._loaded.outcomes[0], replies)

    async def check_health(self) -> None:
        """Raise where the judge is not loaded; take all back where the server is gone.

        Not at once: a replica that was never well would not be asked for its `facts`, the reason.

        Raises:
            DpgBenchError: Ray Serve replaces this process.
        """
        import ray
        from ray import serve

        try:
            await self._lease.is_held.remote()
        except ray.exceptions.RayActorError:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, lambda: serve.delete(self._application, False))
        if self._loaded.error is not None and time.monotonic() > self._loaded_at + _TO_BE_ASKED:
            raise DpgBenchError("the judge of this process is not loaded")


@dataclass(frozen=True)
class ReplicatedJudge:
    """What the server's own process knows of a judge that is in others."""

    facts: ReplicaFacts

    @property
    def num_images_at_once(self) -> int:
        """How many images it likes to be given together."""
        return self.facts.images_at_once

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers."""
        return self.facts.description

    def origin(self) -> Mapping[str, Any]:
        """Return where files are from."""
        return self.facts.origin

    def prepare(self, image: Image) -> None:
        """Return nothing: replicas prepare images."""


class RayReplicas(Askers):
    """Asks a judge in processes of Ray Serve.

    Args:
        request: for the judge.
        options: how many processes, and where.
        device: that the judge runs on; ``cpu`` for one that needs none.
        own_class: the user's class that is the judge, as ``module:Class``, or None.
        patience: when to give up.
    """

    def __init__(
        self,
        request: JudgeRequest,
        options: EngineOptions,
        *,
        device: str,
        own_class: str | None = None,
        patience: ReplicaPatience | None = None,
    ) -> None:
        super().__init__()
        self._request, self._options = request, options
        self._device, self._own_class = device, own_class
        self._patience = patience or ReplicaPatience()
        self._application = f"dpgbench-{os.getpid()}-{secrets.token_hex(4)}"
        self._num_workers = 0
        self._notes: set[Note] = set()
        self._threads: list[threading.Thread] = []

    @property
    def num_workers(self) -> int:
        """How many processes can answer, as of a second ago."""
        return self._num_workers

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Connect to the cluster, or start one; end what was started there.

        Raises:
            SetupError: Ray is not installed, or there is no such cluster.
            UsageError: this machine has not what the processes need.
        """
        serve = import_serve()
        with opened_cluster(self._options, device=self._device, own_class=self._own_class) as (
            cluster,
            setting,
        ):
            self._cluster, self._setting = cluster, setting
            was_there = _is_running(cluster)
            try:
                yield
            finally:
                self.end()
                for thread in self._threads:
                    thread.join(self._patience.closing_seconds)
                if not cluster.is_own:
                    self._take_back(serve, was_there=was_there)

    def start(self, batch_seconds: float, on_batch: OnBatch) -> None:
        """Deploy the replicas; begin to ask once the first is loaded."""
        self._begin_thread(lambda: self._run(batch_seconds, on_batch))

    def _begin_thread(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name="dpgbench-replicas", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run(self, batch_seconds: float, on_batch: OnBatch) -> None:
        try:
            self._handle = self._deployed()
            facts = self._first_facts()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the judge gets it
            self.ready.set_exception(error)
            return
        if facts is None:
            return
        self._facts, self._num_workers = facts, 1
        self.ready.set_result(ReplicatedJudge(facts))
        for _ in range(self._patience.batches_at_once * self._cluster.size.number):
            self._begin_thread(lambda: self._ask_on(batch_seconds, on_batch))
        while not self.queue.has_ended:
            self._num_workers = self._running()
            time.sleep(self._patience.health_seconds)

    def _deployed(self) -> Any:
        """Return the handle of the replicas, which begin to load."""
        serve = import_serve()
        size, patience = self._cluster.size, self._patience
        ray = self._cluster.ray
        lease = ray.remote(Lease).options(num_cpus=0).remote()
        self._lease = lease  # ends with its last handle
        serve.start(proxy_location="Disabled", logging_config={"log_level": "CRITICAL"})
        deployment = serve.deployment(
            name=_DEPLOYMENT,
            num_replicas=size.number,
            max_ongoing_requests=patience.batches_at_once,
            health_check_period_s=patience.health_seconds,
            graceful_shutdown_timeout_s=patience.closing_seconds,
            graceful_shutdown_wait_loop_s=0.1,
            ray_actor_options={"num_cpus": size.cpus, "num_gpus": size.gpus},
            logging_config={"log_level": "CRITICAL"},
        )(Replica)
        bound = deployment.bind(
            TileAskerFactory(self._request), self._setting, lease, self._application
        )
        target = serve.api.RunTarget(bound, name=self._application, route_prefix=None)
        (handle,) = serve.run_many([target], wait_for_applications_running=False)
        return handle

    def _first_facts(self) -> ReplicaFacts | None:
        """Return what the first replica says of itself; None where the end came before.

        Raises:
            SetupError: there is no room for any.
            BaseException: its judge cannot be loaded.
        """
        response, begun = self._handle.facts.remote(), time.monotonic()
        while not self.queue.has_ended:
            try:
                answer: Returned[ReplicaFacts] = response.result(timeout_s=0.5)
            except TimeoutError:
                self._check_start(begun)
                continue
            except self._cluster.ray.exceptions.RayActorError:
                response = self._handle.facts.remote()
                continue
            pass_on(answer.notes, self._notes)
            if answer.error is not None:
                raise answer.error.error()
            return answer.outcomes[0]
        return None

    def _check_start(self, begun: float) -> None:
        """Raise where no replica comes up.

        Raises:
            SetupError: the cluster has no room for any.
            IncompleteError: they end while they load.
        """
        status = self._status()
        if status is not None and status.status == "DEPLOY_FAILED":
            raise IncompleteError(
                "workers end while the judge is loaded (killed, out of memory, or a crash in "
                f"native code): {reason_of(Exception(status.message), limit=200)}"
            )
        check_room(self._cluster, time.monotonic() - begun, self._patience.placement_seconds)

    def _status(self) -> Any:
        """Return what Ray Serve says of the application, or None."""
        return import_serve().status().applications.get(self._application)

    def _running(self) -> int:
        """Return how many replicas can answer."""
        try:
            status = self._status()
        except Exception:  # noqa: BLE001 - the controller is being replaced
            return self._num_workers
        deployment = status and status.deployments.get(_DEPLOYMENT)
        return deployment.replica_states.get("RUNNING", 0) if deployment else 0

    def _ask_on(self, batch_seconds: float, on_batch: OnBatch) -> None:
        """Ask batch after batch."""
        while batch := self.queue.next_batch(self._facts.shape, batch_seconds):
            start = time.perf_counter()
            self._answer(batch)
            on_batch(len(batch), time.perf_counter() - start)

    def _answer(self, batch: Sequence[Waiting]) -> None:
        """Give each tile of a batch its reply, whatever becomes of the replicas."""
        for number in range(1, self._patience.num_ends + 1):
            try:
                replies = self._asked([waiting.tile for waiting in batch])
            except self._cluster.ray.exceptions.RayActorError:
                log.warning("a worker ended over %d pictures, which are asked again", len(batch))
                time.sleep(0.1 * number)
                continue
            except Exception as error:  # noqa: BLE001 - it costs this batch, not the server
                self._fail(batch, reason_of(error, with_type=not isinstance(error, DpgBenchError)))
                return
            for waiting, reply in zip(batch, replies or (), strict=replies is not None):
                waiting.reply.set_result(reply)
            return  # without replies the end has come: whoever waits is told by the service
        if len(batch) > 1:
            for waiting in batch:
                self._answer([waiting])
            return
        self._fail(
            batch,
            f"its worker ended {self._patience.num_ends} times while it was asked about alone "
            "(killed, out of memory, or a crash in native code)",
        )

    def _asked(self, tiles: Sequence[TileQuestions]) -> Sequence[JudgeReply] | None:
        """Return the replies of one replica; None where the end came before.

        Raises:
            RayActorError: the replica ended.
            SetupError: it is not like the first one.
        """
        response = self._handle.ask.remote(tiles)
        while not self.queue.has_ended:
            try:
                answer: FromReplica = response.result(timeout_s=0.5)
            except TimeoutError:
                continue
            check_alike(self._facts.worker, answer.worker)
            pass_on(answer.replies.notes, self._notes)
            if answer.replies.error is not None:
                raise answer.replies.error.error()
            return answer.replies.outcomes
        return None

    def _fail(self, batch: Sequence[Waiting], reason: str) -> None:
        for waiting in batch:
            tile = waiting.tile
            waiting.reply.set_result(JudgeReply(tile.item_id, tile.tile, {}, reason))

    def _take_back(self, serve: Any, *, was_there: bool) -> None:
        """Take from another's cluster what was deployed there; Serve too, where it was not."""
        with contextlib.suppress(Exception):  # the cluster is gone
            if was_there:
                serve.delete(self._application)
            else:
                serve.shutdown()


def import_serve() -> Any:
    """Return Ray Serve, which prints nothing.

    Raises:
        SetupError: it is not installed.
    """
    os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")
    try:
        from ray import serve
    except ImportError as error:
        raise SetupError(
            "dpgbench serve --engine ray needs packages that are not installed "
            f"({reason_of(error, first_line=True)}): pip install 'dpgbench[ray,serve]'"
        ) from error
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)
    return serve


def _is_running(cluster: Cluster) -> bool:
    """Return whether Ray Serve runs on the cluster already."""
    actors = cluster.ray.util.list_named_actors(all_namespaces=True)
    return any(actor["namespace"] == "serve" for actor in actors)
