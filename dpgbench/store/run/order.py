"""The canonical order of a run's lines: the same files, in whatever order the work was done.

Lines are appended as work comes back, from one process or from many. Once nothing more is to be
done they are put into the benchmark's order, so that the bytes do not tell who worked when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dpgbench.domain.benchmark import Benchmark
from dpgbench.store.files import read_jsonl, write_atomic
from dpgbench.store.run.directory import RunDir

Record = Mapping[str, Any]
Line = TypeVar("Line")
Position = tuple[int, ...]


def order_answers(run: RunDir, judge: str, benchmark: Benchmark, num_images: int) -> bool:
    """Put a judge's answers into canonical order, atomically; return whether they were not in it.

    Raises:
        DataError: a line is not a JSON object.
        StorageError: the file could not be written; it is as it was.
    """
    return _rewrite(run.answers(judge), answer_position(benchmark, num_images), scratch=run.path)


def order_image_log(run: RunDir, items: Iterable[str]) -> bool:
    """Put a run's image log into the order of `items`, as `order_answers` does with answers."""
    return _rewrite(run.images_log, image_position(items), scratch=run.path)


def answer_position(benchmark: Benchmark, num_images: int) -> Callable[[Record], Position | None]:
    """Return what says where an answer's line stands: item, tile, row; None is a stray's."""
    items = {item_id: number for number, item_id in enumerate(benchmark.items)}
    rows: dict[str, dict[int, int]] = {}

    def position(line: Record) -> Position | None:
        item_id, tile, qid = line.get("item_id"), line.get("tile"), line.get("qid")
        if not isinstance(item_id, str) or item_id not in items or not isinstance(tile, int):
            return None
        if item_id not in rows:
            numbers = [row.qid for row in benchmark.items[item_id]]
            rows[item_id] = {number: row for row, number in reversed(list(enumerate(numbers)))}
        row = rows[item_id].get(qid) if isinstance(qid, int) else None
        if row is None or not 0 <= tile < num_images:
            return None
        return items[item_id], tile, row

    return position


def image_position(items: Iterable[str]) -> Callable[[Record], Position | None]:
    """Return what says where an image's line stands; None is a stray's."""
    numbers = {item_id: number for number, item_id in enumerate(items)}

    def position(line: Record) -> Position | None:
        item_id = line.get("item_id")
        number = numbers.get(item_id) if isinstance(item_id, str) else None
        return None if number is None else (number,)

    return position


def in_order(lines: Sequence[tuple[Line, Position | None]]) -> list[Line]:
    """Return lines by their positions; those without one last, equal ones as they came."""
    ordered = sorted(lines, key=lambda line: (line[1] is None, line[1] or ()))
    return [line for line, _ in ordered]


def _rewrite(path: Path, position: Callable[[Record], Position | None], *, scratch: Path) -> bool:
    """Put the lines of a file into order, each as it is, byte for byte."""
    records = read_jsonl(path)
    positions = [position(record) for record in records]
    keys = [(place is None, place or ()) for place in positions]
    if keys == sorted(keys):
        return False
    raw = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")[:-1]
    ordered = in_order(list(zip(raw, positions, strict=True)))
    write_atomic(path, b"".join(line + b"\n" for line in ordered), scratch=scratch)
    return True
