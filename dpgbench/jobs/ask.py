"""Grids to raw answers: every question of every tile, asked once."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from dpgbench.backends.failures import Failures
from dpgbench.backends.judges.answer_checks import refuse_strays
from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.score import Answer, Answers
from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError, IncompleteError, counted
from dpgbench.store.files import JsonLines
from dpgbench.store.image_files import ImageFiles
from dpgbench.store.images import open_tiles, single_colour_tiles
from dpgbench.store.run.answers import AnswerLine, answer_line
from dpgbench.store.run.directory import RunDir

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_NUM_WARNED, _SHARE_WARNED = 10, 0.5  # answers from which on many invalid ones are warned about
_NUM_HOPELESS, _SHARE_HOPELESS = 20, 0.9  # and from which on nothing more is asked
_LONGEST_EXAMPLE = 100
_AHEAD = 8  # grids that are decoded while the judge is busy


@dataclass(frozen=True)
class Asked:
    """What a run of `ask` did: answers written now, items that failed, questions cut short."""

    answers: int
    failures: Mapping[str, str]
    truncated_questions: int


@dataclass(frozen=True)
class OpenGrid:
    """An item whose image has open questions: for each tile, the rows without an answer."""

    item_id: str
    image: ImageFiles
    rows_by_tile: Mapping[int, Sequence[QuestionRow]]

    @property
    def num_questions(self) -> int:
        """How many questions are open."""
        return sum(len(rows) for rows in self.rows_by_tile.values())


def open_grids(
    benchmark: Benchmark,
    items: Sequence[str],
    images: Mapping[str, ImageFiles],
    answers: Answers,
    num_images: int,
) -> list[OpenGrid]:
    """Return the items that have an image and a question without an answer."""
    grids = []
    for item_id in items:
        if item_id not in images:
            continue
        open_rows = {
            tile: rows
            for tile in range(num_images)
            if (rows := _open_rows(benchmark, answers, item_id, tile))
        }
        if open_rows:
            grids.append(OpenGrid(item_id, images[item_id], open_rows))
    return grids


def _open_rows(
    benchmark: Benchmark, answers: Answers, item_id: str, tile: int
) -> list[QuestionRow]:
    answered = answers.get((item_id, tile), {})
    return [row for row in benchmark.items.get(item_id, ()) if row.qid not in answered]


def ask(
    run: RunDir,
    judge_name: str,
    judge: Judge,
    grids: Sequence[OpenGrid],
    grid: GridSpec | None,
    single_colour: dict[str, list[int]] | None = None,
    *,
    has_answers: bool = False,
) -> Asked:
    """Ask `judge` what is open and append its answers to the run as they come.

    Args:
        run: that answers go to.
        judge_name: that they go by.
        judge: is asked.
        grids: items with open questions.
        grid: size of the images; None where each file is a tile.
        single_colour: gets, by item, the tiles whose pixels are all alike.
        has_answers: the run holds answers of the judge already.

    Raises:
        IncompleteError: nearly all answers from the start are neither yes nor no.
        JudgeContractError: the judge returned something else than answers.
    """
    from tqdm import tqdm

    judge = as_judge(judge)
    judge.has_answers = has_answers
    failures = Failures()
    alike = {} if single_colour is None else single_colour
    total = sum(item.num_questions for item in grids)
    with (
        JsonLines(run.answers(judge_name)) as lines,
        tqdm(total=total, unit="question", desc=f"ask {judge_name}") as progress,
        # Closed here, not by the garbage collector, which may run in a thread of its own pool.
        closing(_tiles(grids, grid, judge.prepare, failures, progress, alike)) as tiles,
    ):
        writer = _ReplyWriter(judge, judge_name, grids, lines, failures)
        try:
            for reply in judge.replies(tiles):
                writer.write(reply)
                progress.update(len(reply.answers))
                writer.validity.watch(reply.answers.values())
        except IncompleteError as error:
            left = f"{total - writer.written} of {total} questions are left"
            raise type(error)(f"{error} ({left})") from error
    return Asked(writer.written, failures.reasons, writer.truncated)


class _ReplyWriter:
    """Appends the answers of replies to a file, and notes what is wrong with them.

    Attributes:
        written: answers in the file by now.
        truncated: of these, to questions that were longer than the judge reads.
        validity: of all answers.
    """

    def __init__(
        self,
        judge: Judge,
        judge_name: str,
        grids: Sequence[OpenGrid],
        lines: JsonLines,
        failures: Failures,
    ) -> None:
        self.written = self.truncated = 0
        self.validity = Validity(judge_name)
        self._class_name, self._lines, self._failures = judge.class_name, lines, failures
        self._num_empty: Counter[tuple[str, int]] = Counter()
        self._open = {
            (item.item_id, tile): {row.qid for row in rows}
            for item in grids
            for tile, rows in item.rows_by_tile.items()
        }

    def write(self, reply: JudgeReply) -> None:
        """Append the answers of a reply that are not empty.

        Raises:
            JudgeContractError: it has answers that nobody asked for.
            StorageError: they could not be written.
        """
        tile = (reply.item_id, reply.tile)
        refuse_strays(self._class_name, reply, self._open.get(tile, set()))
        if reply.error is not None:
            self._failures.reasons[reply.item_id] = reply.error
            log.warning("item %s tile %d: %s", reply.item_id, reply.tile, reply.error)
        lines = list(_lines(reply))
        self._lines.append(*lines)
        self.written += len(lines)
        self.truncated += sum("truncated" in line for line in lines)
        if num_empty := len(reply.answers) - len(lines):
            self._note_empty(tile, num_empty)

    def _note_empty(self, tile: tuple[str, int], num_empty: int) -> None:
        self._num_empty[tile] += num_empty
        number, item_id = self._num_empty[tile], tile[0]
        are = "an empty answer; it is" if number == 1 else f"{number} empty answers; they are"
        reason = f"tile {tile[1]}: the judge gave {are} asked again by the same command"
        self._failures.reasons[item_id] = reason
        if number == num_empty:  # once a tile
            log.warning("item %s %s", item_id, reason)


class Validity:
    """How many answers are neither yes nor no; ends the work where nearly all are, from the start.

    A judge that says nothing valid twenty times says nothing valid of a whole benchmark either.
    """

    def __init__(self, judge: str) -> None:
        self._judge = judge
        self._answers = self._invalid = 0
        self._first = ""
        self._warned = False

    def watch(self, answers: Iterable[JudgeAnswer]) -> None:
        """Count `answers`; warn once where many are invalid.

        Raises:
            IncompleteError: nearly all of the first ones are.
        """
        for answer in answers:
            self._answers += 1
            if answer.invalid or is_missing(answer.text):
                self._first = self._first if self._invalid else answer.text
                self._invalid += 1
        share = self._invalid / max(1, self._answers)
        message = (
            f"{self._invalid} of {counted(self._answers, 'answer')} of judge {self._judge} are "
            f"neither yes nor no (first: {self._first[:_LONGEST_EXAMPLE]!r})"
        )
        if self._answers >= _NUM_HOPELESS and share >= _SHARE_HOPELESS:
            raise IncompleteError(
                f"{message}: nothing more is asked. Mend the judge, or take another one; then the "
                "same command with --ask-invalid-again asks these anew"
            )
        if not self._warned and self._answers >= _NUM_WARNED and share >= _SHARE_WARNED:
            self._warned = True
            log.warning("%s", message)


def _tiles(
    grids: Sequence[OpenGrid],
    grid: GridSpec | None,
    prepare: Callable[[Image], Any],
    failures: Failures,
    progress: Any,
    single_colour: dict[str, list[int]],
) -> Generator[TileQuestions, None, None]:
    """Yield tiles with their open questions; images are decoded and prepared ahead, in threads."""

    def load(item: OpenGrid) -> list[tuple[Image, Any]]:
        tiles = open_tiles(item.image, grid)
        if alike := single_colour_tiles(tiles):
            single_colour[item.item_id] = alike
        return [
            (tile, prepare(tile) if number in item.rows_by_tile else None)
            for number, tile in enumerate(tiles)
        ]

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        waiting: deque[tuple[OpenGrid, Future[list[tuple[Image, Any]]]]] = deque()
        submitted = ((item, pool.submit(load, item)) for item in grids)
        waiting.extend(islice(submitted, _AHEAD))
        while waiting:
            item, images = waiting.popleft()
            waiting.extend(islice(submitted, 1))
            try:
                decoded = images.result()
            except DataError as error:
                log.warning("item %s: %s", item.item_id, failures.record(item.item_id, error))
                progress.update(item.num_questions)
                continue
            for tile, rows in item.rows_by_tile.items():
                yield TileQuestions(
                    item.item_id,
                    tile,
                    decoded[tile][0],
                    tuple(row.qid for row in rows),
                    tuple(row.question for row in rows),
                    decoded[tile][1],
                )


def _lines(reply: JudgeReply) -> Iterator[AnswerLine]:
    """Yield the lines of the answers of a reply that are not empty."""
    for qid, answer in reply.answers.items():
        if not is_missing(answer.text):
            p_yes = None if answer.p_yes is None else round(answer.p_yes, 6)
            recorded = Answer(reply.item_id, reply.tile, qid, answer.text, p_yes, answer.invalid)
            yield answer_line(recorded, truncated=answer.truncated)
