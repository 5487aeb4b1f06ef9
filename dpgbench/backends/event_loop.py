"""Asynchronous work on a stream of jobs, for callers that are not asynchronous themselves."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")


class _Ended(NamedTuple):
    """A job has ended, by an error or well."""

    error: BaseException | None


def in_event_loop(  # noqa: C901, PLR0915 - counted with the functions within
    jobs: Iterator[Job],
    work: Callable[[Job], AsyncIterator[Result]],
    close: Callable[[], Awaitable[None]],
    *,
    size: int,
    name: str,
    leave_seconds: float = 2.0,
) -> Iterator[Result]:
    """Yield what `work` yields for each of `jobs`, as it comes.

    The work runs in an event loop in a thread of its own, so that a caller within an event loop, a
    notebook for one, can use it too. Jobs are taken in the caller's thread, a few of them ahead, so
    that work waits less for the caller. The first error of a job cancels all others. When work
    ends so, or by Ctrl-C, results that have arrived are still handed out before the exception goes
    on.

    Args:
        jobs: what to work on.
        work: called in the loop; raises only what ends all work.
        close: called in the loop at the end.
        size: jobs at a time, at most.
        name: of the thread.
        leave_seconds: how long to wait for the work to be cancelled, at most.

    Raises:
        BaseException: whatever `jobs` or `work` raise.
    """
    events: queue.SimpleQueue[Result | _Ended] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    hands = asyncio.Semaphore(size)
    ahead = (size + 3) // 4
    left = threading.Event()
    tasks: set[asyncio.Task[None]] = set()  # those of jobs alone: a library's own end with them
    ending: list[asyncio.Task[None]] = []
    pending = 0

    def start(job: Job) -> None:
        task = loop.create_task(run(job))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def cancel_others() -> list[asyncio.Task[None]]:
        others = [task for task in tasks if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        return others

    async def run(job: Job) -> None:
        error: BaseException | None = None
        async with hands:
            try:
                async for result in work(job):
                    events.put(result)
            except Exception as raised:  # noqa: BLE001 - the caller raises it again
                error = raised
                cancel_others()  # before any of them takes another step
        events.put(_Ended(error))

    async def end() -> None:
        with contextlib.suppress(Exception):  # the work is over, however its end goes
            await asyncio.gather(*cancel_others(), return_exceptions=True)
            await close()
            await loop.shutdown_asyncgens()
        loop.stop()

    def run_loop() -> None:
        with contextlib.closing(loop):
            loop.run_forever()

    def leave() -> None:
        if not left.is_set():
            left.set()
            loop.call_soon_threadsafe(lambda: ending.append(loop.create_task(end())))
            thread.join(leave_seconds)

    thread = threading.Thread(target=run_loop, name=name, daemon=True)
    thread.start()
    try:
        while True:
            while pending < size + ahead and (job := next(jobs, None)) is not None:
                loop.call_soon_threadsafe(start, job)
                pending += 1
            if not pending:
                return
            event = events.get()
            if isinstance(event, _Ended):
                pending -= 1
                if event.error is not None:
                    raise event.error
            else:
                yield event
    except GeneratorExit:
        raise
    except BaseException:
        leave()
        while not events.empty():
            event = events.get()
            if not isinstance(event, _Ended):
                yield event
        raise
    finally:
        leave()
