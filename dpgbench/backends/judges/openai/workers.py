"""Threads that ask a model about tiles: each has one request in flight at most.

The thread that runs `Crew.replies` takes tiles, only when hands are free, and hands out what
arrives; the crew's threads encode images, ask, and repair.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dpgbench.backends.judges.answer_reading import kept, plain_answer
from dpgbench.backends.judges.openai.parsing import read
from dpgbench.backends.judges.openai.prompts import data_url, first_prompt
from dpgbench.backends.judges.openai.retries import RefusedRequestError, RequestFailedError, Session
from dpgbench.backends.judges.openai.usage import Account, CapReachedError
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.errors import IncompleteError, SetupError

_FAILED_ITEMS_ON_END = 10
_REFUSED_TILES_AT_START = 3
_SILENCE = {
    "content_filter": "the server's content filter let no answer through (content_filter)",
    "length": "the model said nothing: its tokens all went into thinking (finish_reason length); "
    "turn thinking off or down at the server",
}
_LEAVE_SECONDS = 2.0


class _OpenTile:
    """A tile that is being asked about; encoded once, by whichever thread comes first."""

    def __init__(self, tile: TileQuestions) -> None:
        self.item_id, self.tile = tile.item_id, tile.tile
        self.failed = False  # one of its requests did: no other one is sent
        self.told = False
        self._tile: TileQuestions | None = tile
        self._url = ""
        self._lock = threading.Lock()

    def image_url(self) -> str:
        """Return the image as a data URL; the decoded one is let go."""
        with self._lock:
            if self._tile is not None:
                self._url, self._tile = data_url(self._tile.image), None
            return self._url


class _Job(NamedTuple):
    """Questions that go into one request."""

    tile: _OpenTile
    qids: Sequence[int]
    questions: Sequence[str]


class _Done(NamedTuple):
    """A job has ended; `trouble` is why it has not all its answers."""

    tile: _OpenTile
    trouble: BaseException | None


class Crew:
    """`size` threads at work on one stream of tiles.

    Args:
        session: shared by all.
        has_answers: the server has answered before, in an earlier command: its key and model are
            right, and what it refuses is about the request.
        scrub: takes secrets out of a text.
        stop: cuts off what is in flight.
    """

    def __init__(
        self,
        size: int,
        session: Session,
        account: Account,
        *,
        questions_per_request: int,
        has_answers: bool = False,
        scrub: Callable[[str], str],
        stop: Callable[[], None],
    ) -> None:
        self._session = session
        self._account = account
        self._per_request = questions_per_request
        self._scrub = scrub
        self._stop = stop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._events: queue.SimpleQueue[JudgeReply | _Done] = queue.SimpleQueue()
        self._pending = 0
        self._left = False
        self._failed_items: set[str] = set()
        self._answered = has_answers
        self._refused: dict[tuple[str, int], str] = {}
        self._threads = [
            threading.Thread(target=self._work, name=f"dpgbench-openai-{n}", daemon=True)
            for n in range(size)
        ]

    def replies(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield replies as they arrive.

        When it is called off, by Ctrl-C or by trouble that ends all work, what has arrived is
        still handed out before the exception goes on.

        Raises:
            IncompleteError: the cap on requests is reached, or item after item fails.
            SetupError: no request can succeed.
        """
        for thread in self._threads:
            thread.start()
        try:
            yield from self._until_done(tiles)
        except GeneratorExit:
            raise
        except BaseException:
            self._leave()
            yield from self._arrived()
            raise
        finally:
            self._leave()

    def _until_done(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        capped = False
        while True:
            while self._pending < len(self._threads) and not capped:
                tile = next(tiles, None)
                if tile is None:
                    break
                self._hand_out(tile)
            if not self._pending:
                break
            event = self._events.get()
            if isinstance(event, JudgeReply):
                self._failed_items.clear()
                self._answered = True
                yield event
                continue
            self._pending -= 1
            if isinstance(event.trouble, CapReachedError):
                capped = True
            elif isinstance(event.trouble, RequestFailedError):
                yield from self._failed(event.tile, event.trouble)
            elif event.trouble is not None:
                raise event.trouble
        if self._refused and not self._answered:
            raise SetupError(next(iter(self._refused.values())))
        if capped:
            raise IncompleteError(
                f"--max-requests {self._account.max_requests}: so many requests were sent, and "
                "questions are left. What was answered is kept: run the same command again to "
                "send as many more, or give a higher --max-requests"
            )

    def _hand_out(self, tile: TileQuestions) -> None:
        opened = _OpenTile(tile)
        for start in range(0, len(tile.qids), self._per_request):
            part = slice(start, start + self._per_request)
            self._jobs.put(_Job(opened, tile.qids[part], tile.questions[part]))
            self._pending += 1

    def _failed(self, tile: _OpenTile, trouble: RequestFailedError) -> Iterator[JudgeReply]:
        """Yield a tile's error once; raise where the trouble is not with the items.

        Raises:
            IncompleteError: item after item fails.
            SetupError: nothing but refusals since the start: the key or the model is wrong.
        """
        if not tile.told:
            tile.told = True
            yield JudgeReply(tile.item_id, tile.tile, {}, str(trouble))
        if isinstance(trouble, RefusedRequestError):
            if self._answered:
                return  # a server that answers may refuse as many pictures as it likes
            if trouble.told:
                self._refused[tile.item_id, tile.tile] = trouble.told
        if len(self._refused) >= _REFUSED_TILES_AT_START:
            raise SetupError(next(iter(self._refused.values())))
        self._failed_items.add(tile.item_id)
        if len(self._failed_items) >= _FAILED_ITEMS_ON_END:
            raise IncompleteError(
                f"{len(self._failed_items)} items on end failed, the last one {tile.item_id}: "
                f"{trouble}. What was answered is kept: run the same command again when the "
                "server is well"
            )

    def _arrived(self) -> Iterator[JudgeReply]:
        with contextlib.suppress(queue.Empty):
            while True:
                event = self._events.get_nowait()
                if isinstance(event, JudgeReply):
                    yield event

    def _leave(self) -> None:
        """Call the threads off and wait a moment for them; once is enough."""
        if self._left:
            return
        self._left = True
        self._stop()
        deadline = time.monotonic() + _LEAVE_SECONDS
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            trouble: BaseException | None = None
            try:
                for reply in self._ask(job):
                    self._events.put(reply)
            except BaseException as error:  # whose it is decides the thread that hands out
                trouble = error
                job.tile.failed |= isinstance(error, RequestFailedError)
            self._events.put(_Done(job.tile, trouble))
            if not isinstance(trouble, CapReachedError | RequestFailedError | None):
                self._stop()  # nothing is sent any more, even before the other thread knows
                return

    def _ask(self, job: _Job) -> Iterator[JudgeReply]:
        """Yield the answers to a job: the plain ones at once, the others after a repair."""
        if job.tile.failed:
            return
        prompt = first_prompt(job.tile.image_url(), job.questions)
        first = self._session.complete(prompt)
        if first.silence == "content_filter":
            raise RefusedRequestError(_SILENCE[first.silence])
        said = read(first.text, prompt.asked, len(prompt.questions))
        plain = _plain(said)
        if plain:
            p_yes = first.p_yes if len(prompt.asked) == 1 else None
            yield _reply(job, {n: JudgeAnswer(text, p_yes) for n, text in plain.items()})
        missing = [number for number in prompt.asked if number not in plain]
        if not missing:
            return
        second = self._session.complete(prompt.again(first.text, missing))
        if second.silence == "content_filter" or (second.silence and not any(said.values())):
            raise RefusedRequestError(_SILENCE[second.silence])
        mended = read(second.text, missing, len(prompt.questions))
        plain = _plain(mended)
        answers = {number: JudgeAnswer(text) for number, text in plain.items()}
        for number in missing:
            if number not in plain:
                words = mended.get(number) or said.get(number) or second.text or first.text
                answers[number] = JudgeAnswer(kept(self._scrub(words)), invalid=True)
        self._account.answered(repaired=len(plain), invalid=len(missing) - len(plain))
        yield _reply(job, answers)


def _plain(said: Mapping[int, str]) -> dict[int, str]:
    """Return the answers that are yes or no."""
    return {number: answer for number, words in said.items() if (answer := plain_answer(words))}


def _reply(job: _Job, answers: Mapping[int, JudgeAnswer]) -> JudgeReply:
    """Return answers by their number in the request as answers by question number."""
    by_qid = {job.qids[number - 1]: answer for number, answer in sorted(answers.items())}
    return JudgeReply(job.tile.item_id, job.tile.tile, by_qid)
