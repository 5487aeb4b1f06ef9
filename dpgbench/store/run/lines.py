"""Lines of a run's files of JSON lines, each looked at alone: which can be read, which cannot.

Readers that want all or nothing are in `answers` and `image_log`.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.errors import DataError
from dpgbench.store.files import json_line, parse_json, read_jsonl, write_atomic
from dpgbench.store.typed_json import check_json, fields_of, first_fault


@dataclass(frozen=True)
class RunLine:
    """A line of a file.

    Attributes:
        number: from 1.
        record: what it holds.
    """

    number: int
    record: dict[str, Any]


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be what it must be.

    Attributes:
        number: from 1.
        fault: what is wrong with it.
    """

    number: int
    fault: str


@dataclass(frozen=True)
class Lines:
    """A file's lines.

    Attributes:
        good: that can be read.
        bad: that cannot.
        torn_bytes: of a last line that has no end: a kill came while it was written.
        unknown_fields: fields that this version does not know, with the number of their lines.
        reformatted: how many good lines are written otherwise than this toolkit writes them.
    """

    good: Sequence[RunLine] = ()
    bad: Sequence[BadLine] = ()
    torn_bytes: int = 0
    unknown_fields: Sequence[tuple[str, int]] = ()
    reformatted: int = 0


def examine_lines(path: Path, kind: Any) -> Lines:
    """Return the lines of a file, sorted out.

    A field that no other line has and this version does not know is a letter gone wrong in the name
    of one that it knows; one that several lines have is of a later version.

    Args:
        path: of the file; one that is not there has no lines.
        kind: the `TypedDict` of a line.

    Raises:
        OSError: it cannot be read.
    """
    if not path.exists():
        return Lines()
    data = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    raw = data.split(b"\n")
    torn = len(raw.pop())
    good, bad = _all_at_once(path, kind)
    if not good and raw:
        good, bad = _one_by_one(raw, kind)
    names = {field.name for field in fields_of(kind)}
    unknown = Counter(name for line in good for name in line.record if name not in names)
    odd = {name for name, number in unknown.items() if number == 1 < len(raw)}
    if odd:
        strange = [line for line in good if odd & line.record.keys()]
        good = [line for line in good if not odd & line.record.keys()]
        bad += [
            BadLine(line.number, f"it has a field {sorted(odd & line.record.keys())[0]!r}")
            for line in strange
        ]
    reformatted = sum(
        json_line(line.record).encode("utf-8", "replace") != raw[line.number - 1] + b"\n"
        for line in good
    )
    return Lines(
        good,
        sorted(bad, key=lambda line: line.number),
        torn,
        sorted((name, number) for name, number in unknown.items() if name not in odd),
        reformatted,
    )


def _all_at_once(path: Path, kind: Any) -> tuple[list[RunLine], list[BadLine]]:
    """Return the lines of a file in which nothing is wrong; none where something is."""
    try:
        records = read_jsonl(path)
    except DataError:
        return [], []
    if first_fault(records, kind):
        return [], []
    return [RunLine(number, record) for number, record in enumerate(records, 1)], []


def _one_by_one(raw: Sequence[bytes], kind: Any) -> tuple[list[RunLine], list[BadLine]]:
    good, bad = [], []
    for number, text in enumerate(raw, 1):
        try:
            record = parse_json(text)
        except ValueError:
            bad.append(BadLine(number, "it is not JSON"))
            continue
        try:
            check_json(record, kind)
        except ValueError as error:
            bad.append(BadLine(number, str(error)))
        else:
            good.append(RunLine(number, record))
    return good, bad


def drop_lines(path: Path, numbers: Iterable[int], *, scratch: Path) -> bytes:
    """Take lines out of a file, atomically, and return them.

    Raises:
        StorageError: it could not be written; the file is as it was.
    """
    dropped, lines = set(numbers), _split(path)
    kept = [line for number, line in enumerate(lines, 1) if number not in dropped]
    write_atomic(path, b"".join(kept), scratch=scratch)
    return b"".join(line for number, line in enumerate(lines, 1) if number in dropped)


def read_lines(path: Path, numbers: Iterable[int]) -> bytes:
    """Return lines of a file as they are."""
    wanted = set(numbers)
    return b"".join(line for number, line in enumerate(_split(path), 1) if number in wanted)


def _split(path: Path) -> list[bytes]:
    """Return the lines of a file with their ends; what follows the last end is one, too."""
    parts = path.read_bytes().split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
