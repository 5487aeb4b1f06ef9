"""Tiles of all requests to a judge: asked together, in the order they came, and one reply to each.

The judge is in this process, in a thread of its own (`JudgeThread`), or in processes of Ray
(`ray_replicas`); batches are made here for both.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from dpgbench.backends.judges.own_class import OwnJudge
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.errors import DpgBenchError, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_TILES_OF_STREAM = 32


class ServedJudge(Protocol):
    """What a server needs of its judge beside the answers; a `Judge` has it."""

    @property
    def num_images_at_once(self) -> int:
        """How many images it likes to be given together."""

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers, as plain data."""

    def origin(self) -> Mapping[str, Any]:
        """Return plain data about where files are from."""

    def prepare(self, image: Image) -> Any:
        """Return what it wants of an image; called in worker threads."""


class BatchShape(NamedTuple):
    """What a judge may be asked together.

    Attributes:
        size: tiles at most.
        unique: no two tiles of one item's number, whose replies could not be told apart.
    """

    size: int
    unique: bool

    @classmethod
    def of(cls, judge: Judge) -> BatchShape:
        """Return the shape for a judge."""
        streams = _streams(judge)
        return cls(_TILES_OF_STREAM if streams else max(1, judge.num_images_at_once), streams)


@dataclass
class Waiting:
    """A tile that is to be asked about, and who waits for the reply."""

    tile: TileQuestions
    reply: Future[JudgeReply] = field(default_factory=Future)


class TileQueue:
    """Tiles that wait for a judge, first come first served; any thread may put and take."""

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._ended = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to be asked."""
        return self._ended

    def put(self, tile: TileQuestions) -> Future[JudgeReply]:
        """Return the reply to be, with all answers about the tile or an error.

        A future that is cancelled in time costs no question.
        """
        waiting = Waiting(tile)
        with self._changed:
            self._queue.append(waiting)
            self._changed.notify_all()
        return waiting.reply

    def end(self) -> None:
        """Give nothing more out, and cancel what waits."""
        with self._changed:
            self._ended = True
            while self._queue:
                self._queue.popleft().reply.cancel()
            self._changed.notify_all()

    def next_batch(self, shape: BatchShape, batch_seconds: float) -> list[Waiting]:
        """Return what is asked next; nothing once the end has come.

        Args:
            shape: of the batch.
            batch_seconds: a batch that is not full waits so long for more.
        """
        with self._changed:
            while not self._ended:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if len(self._queue) < shape.size:
                    self._changed.wait_for(
                        lambda: len(self._queue) >= shape.size or self._ended, batch_seconds
                    )
                if batch := self._take(shape):
                    return batch
        return []

    def _take(self, shape: BatchShape) -> list[Waiting]:
        """Return the first of the queue; those that were cancelled are left out and gone."""
        batch: list[Waiting] = []
        left: deque[Waiting] = deque()
        keys: set[tuple[str, int]] = set()
        while self._queue and len(batch) < shape.size:
            waiting = self._queue.popleft()
            key = waiting.tile.item_id, waiting.tile.tile
            if shape.unique and key in keys:
                left.append(waiting)
            elif waiting.reply.set_running_or_notify_cancel():
                keys.add(key)
                batch.append(waiting)
        self._queue.extendleft(reversed(left))
        return batch


OnBatch = Callable[[int, float], None]
"""Is told how many tiles were asked together, and in how many seconds."""


class Askers(ABC):
    """Whoever asks a judge about tiles: a thread of this process, or processes of Ray.

    Attributes:
        ready: the judge once it is loaded, or why there is none.
        queue: of tiles; what has come by the time that the judge is free is asked together, up to
            as many images as it likes. Answers do not depend on it.
    """

    def __init__(self) -> None:
        self.ready: Future[ServedJudge] = Future()
        self.queue = TileQueue()

    def opened(self) -> AbstractContextManager[object]:
        """Return what holds whatever the judge needs, for as long as the server lives."""
        return contextlib.nullcontext()

    @abstractmethod
    def start(self, batch_seconds: float, on_batch: OnBatch) -> None:
        """Begin to load the judge, and to ask it once it is loaded."""

    def end(self) -> None:
        """Ask nothing more after what is being asked."""
        self.queue.end()

    @property
    @abstractmethod
    def num_workers(self) -> int:
        """How many processes can answer now."""


class JudgeThread(Askers):
    """Loads a judge in a thread of its own and asks it there, whatever thread tiles come from.

    Args:
        load: returns the judge; called once, in the thread.
    """

    def __init__(self, load: Callable[[], Judge]) -> None:
        super().__init__()
        self._load = load

    def start(self, batch_seconds: float, on_batch: OnBatch) -> None:
        """Begin to load the judge."""
        arguments = (batch_seconds, on_batch)
        threading.Thread(
            target=self._run, args=arguments, name="dpgbench-judge", daemon=True
        ).start()

    @property
    def num_workers(self) -> int:
        """1 once the judge is loaded."""
        return int(self.ready.done() and self.ready.exception() is None)

    def _run(self, batch_seconds: float, on_batch: OnBatch) -> None:
        try:
            judge = self._load()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the judge gets it
            self.ready.set_exception(error)
            return
        self.ready.set_result(judge)
        shape = BatchShape.of(judge)
        while batch := self.queue.next_batch(shape, batch_seconds):
            start = time.perf_counter()
            tiles, futures = ([w.tile for w in batch], [w.reply for w in batch])
            ask_together(judge, tiles, partial(_deliver, futures))
            on_batch(len(batch), time.perf_counter() - start)


def _deliver(futures: Sequence[Future[JudgeReply]], place: int, reply: JudgeReply) -> None:
    futures[place].set_result(reply)


def _streams(judge: Judge) -> bool:
    """Return whether a judge replies in an order of its own."""
    own = isinstance(judge, OwnJudge) and "stream" in vars(judge)
    return own or type(judge).stream is not Judge.stream


def ask_together(
    judge: Judge, tiles: Sequence[TileQuestions], deliver: Callable[[int, JudgeReply], None]
) -> None:
    """Ask about tiles, and give each its one reply; nothing that happens is raised.

    Args:
        judge: is asked.
        tiles: in the order in which they came.
        deliver: gets a tile's place and its reply, as soon as it has all answers or an error.
    """
    answers: list[dict[int, JudgeAnswer]] = [{} for _ in tiles]
    unanswered = list(range(len(tiles)))
    reason = "the judge left questions unanswered"
    try:
        for reply in judge.replies(iter(tiles)):
            place = _whose(reply, tiles, unanswered, answers)
            if place is None:
                log.warning("the judge replied to what it was not asked: %s", reply.item_id)
                continue
            collected, tile = answers[place], tiles[place]
            collected.update(reply.answers)
            if reply.error is not None or len(collected) == len(tile.qids):
                unanswered.remove(place)
                deliver(place, JudgeReply(tile.item_id, tile.tile, collected, reply.error))
    except Exception as error:  # noqa: BLE001 - it costs this batch, not the server
        log.warning("the judge failed: %s", reason_of(error, with_type=True))
        reason = reason_of(error, with_type=not isinstance(error, DpgBenchError))
    for place in unanswered:
        tile = tiles[place]
        deliver(place, JudgeReply(tile.item_id, tile.tile, answers[place], reason))


def _whose(
    reply: JudgeReply,
    tiles: Sequence[TileQuestions],
    unanswered: Sequence[int],
    answers: Sequence[Mapping[int, JudgeAnswer]],
) -> int | None:
    """Return the place of the first tile that a reply fits: its number, its questions still open.

    Several requests may ask about tile 0 of one item at once; a judge that is asked in batches
    replies in the order of the tiles.
    """
    for place in unanswered:
        tile = tiles[place]
        if (tile.item_id, tile.tile) != (reply.item_id, reply.tile):
            continue
        if set(reply.answers) <= set(tile.qids) - set(answers[place]):
            return place
    return None
