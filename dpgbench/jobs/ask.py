"""Grids to raw answers: every question of every tile, asked once."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.base import Judge, TileQuestions
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.score import Answers, collect
from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError
from dpgbench.jobs.failures import Failures
from dpgbench.store.benchmarks import Benchmark
from dpgbench.store.files import JsonLines
from dpgbench.store.images import open_tiles
from dpgbench.store.rundir import RunDir

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
_AHEAD = 8  # grids that are decoded while the judge is busy


@dataclass(frozen=True)
class Asked:
    """What a run of `ask` did: answers written now, items that failed, questions cut short."""

    answers: int
    failures: Mapping[str, str]
    truncated_questions: int


@dataclass(frozen=True)
class _Grid:
    """An item whose image has tiles with open questions."""

    item_id: str
    path: Path
    tiles: tuple[int, ...]
    rows: Sequence[QuestionRow]


def open_grids(
    benchmark: Benchmark,
    items: Sequence[str],
    images: Mapping[str, Path],
    answers: Answers,
    num_tiles: int,
) -> list[_Grid]:
    """Return the items that have an image and a tile without all of its answers."""
    grids = []
    for item_id in items:
        rows = benchmark.items.get(item_id, ())
        tiles = tuple(
            tile
            for tile in range(num_tiles)
            if not {row.qid for row in rows} <= answers.get((item_id, tile), {}).keys()
        )
        if rows and tiles and item_id in images:
            grids.append(_Grid(item_id, images[item_id], tiles, rows))
    return grids


def refuse_ambiguous_questions(benchmark: Benchmark, items: Sequence[str]) -> None:
    """Raise where an item has one question number twice: its answers could not be told apart.

    Raises:
        DataError: names the row.
    """
    for item_id in items:
        seen: dict[int, int] = {}
        for row in benchmark.items.get(item_id, ()):
            if row.qid in seen:
                raise DataError(
                    f"{benchmark.path} row {row.row} (item {item_id}): question {row.qid} stands "
                    f"at row {seen[row.qid]} already; number an item's questions uniquely"
                )
            seen[row.qid] = row.row


def ask(
    run: RunDir, judge_name: str, judge: Judge, grids: Sequence[_Grid], grid: GridSpec
) -> Asked:
    """Ask `judge` what is open and append its answers to the run as they come."""
    from tqdm import tqdm

    failures = Failures()
    written = truncated = 0
    total = sum(len(item.tiles) * len(item.rows) for item in grids)
    with (
        JsonLines(run.answers(judge_name)) as lines,
        tqdm(total=total, unit="question", desc=f"ask {judge_name}") as progress,
    ):
        for batch in _batches(_tiles(grids, grid, failures, progress), judge.num_images_at_once):
            records = _ask_batch(judge, batch, failures)
            lines.append(*records)
            written += len(records)
            truncated += sum(record.get("truncated", False) for record in records)
            progress.update(sum(len(tile.questions) for tile in batch))
    return Asked(written, failures.reasons, truncated)


def _tiles(
    grids: Sequence[_Grid], grid: GridSpec, failures: Failures, progress: Any
) -> Iterator[TileQuestions]:
    """Yield open tiles with their questions; images are decoded ahead, in threads."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[tuple[_Grid, Future[list[Image]]]] = deque()
        submitted = ((item, pool.submit(open_tiles, item.path, grid)) for item in grids)
        waiting.extend(islice(submitted, _AHEAD))
        while waiting:
            item, images = waiting.popleft()
            waiting.extend(islice(submitted, 1))
            try:
                decoded = images.result()
            except DataError as error:
                log.warning("item %s: %s", item.item_id, failures.record(item.item_id, error))
                progress.update(len(item.tiles) * len(item.rows))
                continue
            for tile in item.tiles:
                yield TileQuestions(
                    item.item_id,
                    tile,
                    decoded[tile],
                    tuple(row.qid for row in item.rows),
                    tuple(row.question for row in item.rows),
                )


def _batches(tiles: Iterator[TileQuestions], size: int) -> Iterator[list[TileQuestions]]:
    while batch := list(islice(tiles, max(1, size))):
        yield batch


def _ask_batch(
    judge: Judge, batch: Sequence[TileQuestions], failures: Failures
) -> list[dict[str, Any]]:
    try:
        answers = judge.ask(batch)
    except Exception as error:
        if len(batch) > 1:  # find out whose fault it is
            return [line for tile in batch for line in _ask_batch(judge, [tile], failures)]
        reason = failures.record(batch[0].item_id, error)
        log.warning("item %s tile %d: %s", batch[0].item_id, batch[0].tile, reason)
        return []
    failures.success()
    return [
        _record(tile, qid, answer._asdict())
        for tile, given in zip(batch, answers, strict=True)
        for qid, answer in zip(tile.qids, given, strict=True)
    ]


def _record(tile: TileQuestions, qid: int, answer: dict[str, Any]) -> dict[str, Any]:
    record = {"item_id": tile.item_id, "tile": tile.tile, "qid": qid, "answer": answer["text"]}
    if answer["p_yes"] is not None:
        record["p_yes"] = round(answer["p_yes"], 6)
    if answer["truncated"]:
        record["truncated"] = True
    return record


def answers_so_far(run: RunDir, judge_name: str) -> dict[tuple[str, int], dict[int, str]]:
    """Return a judge's answers in a run, by (item_id, tile) and question number."""
    return collect(run.read_answers(judge_name))
