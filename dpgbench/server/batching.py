"""Tiles of all requests to the judge: asked together, in one thread, in the order they came."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from dpgbench.backends.judges.own_class import OwnJudge
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.errors import DpgBenchError, reason_of

log = logging.getLogger(__name__)
_TILES_OF_STREAM = 32


@dataclass
class _Waiting:
    """A tile that is to be asked about, and who waits for the reply."""

    tile: TileQuestions
    reply: Future[JudgeReply] = field(default_factory=Future)


class JudgeThread:
    """Loads a judge in a thread of its own and asks it there, whatever thread tiles come from.

    What has come by the time that the judge is free is asked together, up to as many images as it
    likes; a batch that is not full waits a moment for more. Answers do not depend on it.

    Args:
        load: returns the judge; called once, in the thread.
        batch_seconds: the moment.
        on_batch: is told how many tiles were asked, and in how many seconds.
    """

    def __init__(
        self,
        load: Callable[[], Judge],
        *,
        batch_seconds: float,
        on_batch: Callable[[int, float], None] = lambda tiles, seconds: None,
    ) -> None:
        self.ready: Future[Judge] = Future()
        self._load, self._batch_seconds, self._on_batch = load, batch_seconds, on_batch
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="dpgbench-judge", daemon=True)

    def start(self) -> None:
        """Begin to load the judge; `ready` has it, or why there is none."""
        self._thread.start()

    def submit(self, tile: TileQuestions) -> Future[JudgeReply]:
        """Return the reply to be, with all answers about the tile or an error.

        A future that is cancelled in time costs no question.
        """
        waiting = _Waiting(tile)
        with self._changed:
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.reply

    @property
    def num_waiting(self) -> int:
        """How many tiles no batch has taken yet."""
        return len(self._queue)

    def end(self) -> None:
        """Ask nothing more after the batch that is being asked, and let the thread end."""
        with self._changed:
            self._ended = True
            while self._queue:
                self._queue.popleft().reply.cancel()
            self._changed.notify()

    def _run(self) -> None:
        try:
            judge = self._load()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the judge gets it
            self.ready.set_exception(error)
            return
        self.ready.set_result(judge)
        streams = _streams(judge)
        size = _TILES_OF_STREAM if streams else max(1, judge.num_images_at_once)
        while batch := self._next_batch(size, unique=streams):
            start = time.perf_counter()
            _answer(judge, batch)
            self._on_batch(len(batch), time.perf_counter() - start)

    def _next_batch(self, size: int, *, unique: bool) -> list[_Waiting]:
        """Return what is asked next; nothing once the end has come.

        Args:
            size: tiles at most.
            unique: no two tiles of one item's number, whose replies could not be told apart.
        """
        with self._changed:
            while not self._ended:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if len(self._queue) < size:
                    self._changed.wait_for(
                        lambda: len(self._queue) >= size or self._ended, self._batch_seconds
                    )
                if batch := self._take(size, unique=unique):
                    return batch
        return []

    def _take(self, size: int, *, unique: bool) -> list[_Waiting]:
        """Return the first of the queue; those that were cancelled are left out and gone."""
        batch: list[_Waiting] = []
        left: deque[_Waiting] = deque()
        keys: set[tuple[str, int]] = set()
        while self._queue and len(batch) < size:
            waiting = self._queue.popleft()
            key = waiting.tile.item_id, waiting.tile.tile
            if unique and key in keys:
                left.append(waiting)
            elif waiting.reply.set_running_or_notify_cancel():
                keys.add(key)
                batch.append(waiting)
        self._queue.extendleft(reversed(left))
        return batch


def _streams(judge: Judge) -> bool:
    """Return whether a judge replies in an order of its own."""
    own = isinstance(judge, OwnJudge) and "stream" in vars(judge)
    return own or type(judge).stream is not Judge.stream


def _answer(judge: Judge, batch: Sequence[_Waiting]) -> None:
    """Ask about a batch and give each of it its reply; nothing that happens ends the thread."""
    unanswered = list(batch)
    answers: dict[int, dict[int, JudgeAnswer]] = {id(waiting): {} for waiting in batch}
    reason = "the judge left questions unanswered"
    try:
        for reply in judge.replies(iter([waiting.tile for waiting in batch])):
            waiting = _whose(reply, unanswered, answers)
            if waiting is None:
                log.warning("the judge replied to what it was not asked: %s", reply.item_id)
                continue
            collected = answers[id(waiting)]
            collected.update(reply.answers)
            if reply.error is not None or len(collected) == len(waiting.tile.qids):
                unanswered.remove(waiting)
                tile = waiting.tile
                whole = JudgeReply(tile.item_id, tile.tile, collected, reply.error)
                waiting.reply.set_result(whole)
    except Exception as error:  # noqa: BLE001 - it costs this batch, not the server
        log.warning("the judge failed: %s", reason_of(error, with_type=True))
        reason = reason_of(error, with_type=not isinstance(error, DpgBenchError))
    for waiting in unanswered:
        tile = waiting.tile
        waiting.reply.set_result(JudgeReply(tile.item_id, tile.tile, answers[id(waiting)], reason))


def _whose(
    reply: JudgeReply,
    unanswered: Sequence[_Waiting],
    answers: dict[int, dict[int, JudgeAnswer]],
) -> _Waiting | None:
    """Return the first tile that a reply fits: of its number, with its questions still open.

    Several requests may ask about tile 0 of one item at once; a judge that is asked in batches
    replies in the order of the tiles.
    """
    for waiting in unanswered:
        tile = waiting.tile
        if (tile.item_id, tile.tile) != (reply.item_id, reply.tile):
            continue
        if set(reply.answers) <= set(tile.qids) - set(answers[id(waiting)]):
            return waiting
    return None
