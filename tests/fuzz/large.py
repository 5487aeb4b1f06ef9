"""Large files: of one thing alone, and sound ones of which one part is huge."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any


def large_inputs(kind: str, sample: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    """Yield files of some `size` bytes, by what is large in them.

    Args:
        kind: of `damage.KINDS`.
        sample: a sound file.
        size: in bytes.
    """
    for name, part in _PARTS.items():
        yield name, part * (size // len(part))
    if kind == "table":
        yield from _large_tables(sample, size)
    if kind == "lines":
        first = sample.splitlines()[0]
        yield "one line many times", (first + b"\n") * (size // (len(first) + 1))
        for name, line in _large_records(json.loads(first), size):
            yield f"a line's {name}", line.encode() + b"\n"
    if kind == "json":
        for name, text in _large_records(json.loads(sample), size):
            yield name, text.encode()


_PARTS = {
    "letters": b"a", "line ends": b"\n", "carriage returns": b"\r", "commas": b",", "quotes": b'"',
    "spaces": b" ", "brackets": b"[", "braces": b'{"a":', "digits": b"9", "empty objects": b"{}\n",
    "empty lists": b"[],", "cells": b"a,b\n", "zeros": b"\x00", "dashes": b"-", "tags": b"<think>",
    "backslashes": b"\\", "anchors": b"- &a [*a]\n", "keys": b"a: 1\n", "stars": b"*", "dots": b".",
    "accents": "é".encode(), "tabs": b"\t", "half pairs": b'{"a": "\\ud800"}\n',
    "boxes": b"\\boxed{", "numbers": b"1: ", "channels": b"<|channel|>final",
}  # fmt: skip


def _large_tables(sample: bytes, size: int) -> Iterator[tuple[str, bytes]]:
    rows = list(csv.reader(io.StringIO(sample.decode(), newline="")))
    columns = range(size // 16)
    yield "columns", _csv([[*rows[0], *map(str, columns)], [*rows[1], *("" for _ in columns)]])
    yield "a column many times", _csv([[*rows[0], *("twice" for _ in columns)], rows[1]])
    width = len(",".join(rows[1])) + 1
    yield "a row many times", _csv([rows[0], *[rows[1]] * (size // width)])
    for place, name in enumerate(rows[0]):
        numbered = [[*rows[1][:place], f"{n}", *rows[1][place + 1 :]] for n in range(size // width)]
        yield f"rows of another {name}", _csv([rows[0], *numbered])
        huge = [*rows[1][:place], "1," * (size // 2), *rows[1][place + 1 :]]
        yield f"a huge {name}", _csv([rows[0], huge])


def _csv(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode()


def _large_records(record: Any, size: int) -> Iterator[tuple[str, str]]:
    """Yield a record as JSON, with each of its own fields huge in turn."""
    fields = record if isinstance(record, dict) else {}
    for name, value in fields.items():
        huge: Any = "x" * size
        if isinstance(value, list):
            huge = [(value or ["x"])[0]] * (size // 8)
        elif isinstance(value, dict):
            huge = {f"k{n}": next(iter(value.values()), 0) for n in range(size // 100)}
        yield name, json.dumps({**fields, name: huge})
