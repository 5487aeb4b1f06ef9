"""Asking as work: a grid's open questions in, the judge's replies out.

Images are opened, cut and prepared ahead, in threads, while the judge is busy.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.judges.answer_checks import checked_description
from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.judges.request import load_judge
from dpgbench.backends.protocols import Judge, JudgeReply, JudgeRequest, TileQuestions
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.spec import GridSpec
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.work import Worker
from dpgbench.errors import DataError, UsageError
from dpgbench.interrupts import stop_requested
from dpgbench.store.image_files import SeenImage, encoded_image, with_full_paths
from dpgbench.store.images import open_tiles, single_colour_tiles

if TYPE_CHECKING:
    from PIL.Image import Image


class OpenGrid(NamedTuple):
    """An item whose image has open questions: for each tile, the rows without an answer.

    With `forms`, the probabilities of right answers are wanted.
    """

    item_id: str
    image: SeenImage
    rows_by_tile: Mapping[int, Sequence[QuestionRow]]
    forms: bool = False

    @property
    def num_questions(self) -> int:
        """How many questions are open."""
        return sum(len(rows) for rows in self.rows_by_tile.values())

    def for_another_process(self, *, shared_storage: bool) -> OpenGrid:
        """Return it with its image's content, or with full paths where workers see the files."""
        if shared_storage:
            return self._replace(image=with_full_paths(self.image))
        try:
            return self._replace(image=encoded_image(self.image))
        except OSError:
            return self  # the worker that opens it says what is wrong with it


class Opened(NamedTuple):
    """An item's image as it was seen before it was asked about.

    Attributes:
        single_colour: numbers, from 0, of tiles whose pixels are all alike.
        error: why it could not be opened.
        num_left: questions that stay open for it.
    """

    item_id: str
    single_colour: tuple[int, ...] = ()
    error: DataError | None = None
    num_left: int = 0


class Spent(NamedTuple):
    """What asking has cost a worker so far; None where it costs nothing."""

    worker: str
    account: Mapping[str, Any] | None


class JudgeFacts(NamedTuple):
    """What a judge says of itself before it is asked.

    Attributes:
        class_name: as messages about wrong answers call it.
        description: what decides the answers; the same on every worker.
        origin: where its files are from.
    """

    class_name: str
    description: Mapping[str, Any]
    origin: Mapping[str, Any]


@dataclass(frozen=True)
class AskerFactory:
    """Builds an `Asker` in whatever process it is to work in.

    Attributes:
        request: for the judge.
        grid: how tiles lie in images; None where each file is a tile.
        has_answers: the run holds answers of the judge already.
    """

    request: JudgeRequest
    grid: GridSpec | None
    has_answers: bool = False

    def __call__(self) -> Asker:
        """Return a worker with the judge loaded.

        Raises:
            SetupError: weights are missing or not what they must be.
        """
        return Asker(load_judge(self.request), self.grid, has_answers=self.has_answers)


def refuse_budget_of_many(judge: JudgeRequest, engine: EngineOptions) -> None:
    """Raise where a limit that one process keeps would hold for each of several.

    Raises:
        UsageError: says which limit.
    """
    if engine.is_ray and judge.options.get("max_requests") is not None:
        raise UsageError(
            "--max-requests counts the requests of one process: leave --engine ray out, which "
            f"judge {judge.name} gains nothing from (see --concurrency)"
        )


class Asker(Worker[OpenGrid, JudgeReply | Opened | Spent]):
    """A worker that asks.

    Args:
        judge: is asked.
        grid: how tiles lie in images; None where each file is a tile.
        has_answers: the run holds answers of the judge already.
        num_ahead: grids that are decoded while the judge is busy.
    """

    def __init__(
        self, judge: Any, grid: GridSpec | None, *, has_answers: bool = False, num_ahead: int = 8
    ) -> None:
        self.judge: Judge = as_judge(judge)
        self.judge.has_answers = has_answers
        self.grid, self.num_ahead = grid, num_ahead
        self.name = uuid.uuid4().hex

    def units_at_once(self) -> int:
        """Return a multiple of what the judge likes, so that it seldom waits for images."""
        tiles = 1 if self.grid is None else self.grid.num_images
        return 4 * -(-max(1, self.judge.num_images_at_once) // tiles)

    def decides(self) -> Mapping[str, Any]:
        """Return what decides the answers: weights, settings.

        Raises:
            JudgeContractError: the judge says it in a form that no manifest can hold.
        """
        return checked_description(self.judge.class_name, self.judge.describe())

    def facts(self) -> JudgeFacts:
        """Return what the judge says of itself.

        Raises:
            JudgeContractError: it says it in a form that no manifest can hold.
        """
        return JudgeFacts(self.judge.class_name, self.decides(), self.judge.origin())

    def spent(self) -> Spent:
        """Return what asking has cost so far."""
        return Spent(self.name, self.judge.account())

    def work(self, units: Iterable[OpenGrid]) -> Iterator[JudgeReply | Opened | Spent]:
        """Yield replies as they come, images as they were seen, and last what it cost.

        Raises:
            JudgeContractError: the judge returned something else than answers.
            Exception: what the judge raised that is not about one image.
        """
        opened: deque[Opened] = deque()
        answered = self.judge.has_answers
        # Closed here, not by the garbage collector, which may run in a thread of its own pool.
        with closing(self._tiles(units, opened)) as tiles:
            try:
                for reply in self.judge.replies(tiles):
                    yield from _taken(opened)
                    yield reply
                    answered = answered or bool(reply.answers)
            except (Exception, KeyboardInterrupt):
                yield from _taken(opened)
                yield self.spent()
                raise
        self.judge.has_answers = answered  # for the next batch, where there is one
        yield from _taken(opened)
        yield self.spent()

    def _tiles(
        self, grids: Iterable[OpenGrid], opened: deque[Opened]
    ) -> Generator[TileQuestions, None, None]:
        """Yield tiles with their open questions; what was seen of images goes into `opened`."""
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            waiting: deque[tuple[OpenGrid, Future[list[tuple[Image, Any]]]]] = deque()
            submitted = ((grid, pool.submit(self._load, grid, opened)) for grid in grids)
            waiting.extend(islice(submitted, self.num_ahead))
            while waiting and not stop_requested():
                grid, images = waiting.popleft()
                waiting.extend(islice(submitted, 1))
                try:
                    decoded = images.result()
                except DataError as error:
                    opened.append(Opened(grid.item_id, (), error, grid.num_questions))
                    continue
                for tile, rows in grid.rows_by_tile.items():
                    if stop_requested():
                        return
                    picture, prepared = decoded[tile]
                    yield TileQuestions.of(
                        grid.item_id, tile, picture, rows, prepared, forms=grid.forms
                    )

    def _load(self, grid: OpenGrid, opened: deque[Opened]) -> list[tuple[Image, Any]]:
        """Return the tiles of an image, each with what the judge makes of it; in a thread."""
        tiles = open_tiles(grid.image, self.grid, plain_rgb=self.judge.reads_plain_rgb)
        if alike := single_colour_tiles(tiles):
            opened.append(Opened(grid.item_id, tuple(alike)))
        return [
            (tile, self.judge.prepare(tile) if number in grid.rows_by_tile else None)
            for number, tile in enumerate(tiles)
        ]


def _taken(opened: deque[Opened]) -> Iterator[Opened]:
    """Yield what is in a queue by now, and take it out."""
    while opened:
        yield opened.popleft()
