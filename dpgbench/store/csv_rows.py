"""Text and CSV of other people: everything is read as text, every complaint has its row.

And the writing of CSVs: cells that a spreadsheet would run as formulas are made harmless.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dpgbench.errors import DataError, UsageError, counted, shortened

csv.field_size_limit(10_000_000)
TAB = "\t"
TAB_SUFFIXES = (".tsv", ".tab")
_SEPARATORS = {TAB: "tabs", ";": "semicolons", "|": "bars", ",": "commas"}
_FORMULA_STARTS = (*"=+-@＝＋－＠", "\t", "\r", "\n")


def read_table(path: Path, required: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number, cells) of a CSV; the header is row 1 and every cell is text.

    A file called ``.tsv`` is separated by tabs. Lines that hold nothing are skipped, as pandas
    does, but they count as rows, as in a spreadsheet.

    Raises:
        DataError: missing file, not UTF-8, not CSV, other separators than the name says, a column
            of `required` is absent, a column twice, no rows.
    """
    rows = 0
    header: list[str] = []
    for number, cells in _records(path):
        if not cells or (len(cells) == 1 != len(header) and not cells[0].strip()):
            continue
        if not header:
            header = cells
            _check_header(path, header, required)
            continue
        if len(cells) != len(header):
            raise DataError(
                f"{path} row {number} has {counted(len(cells), 'cell')}, the header {len(header)}; "
                "check its quotes and commas"
            )
        if len(cells) > 1 and not any(map(str.strip, cells)):
            raise DataError(
                f"{path} row {number} is an empty row of a spreadsheet, saved as separators alone; "
                "delete such rows"
            )
        rows += 1
        yield number, dict(zip(header, cells, strict=True))
    if not header:
        raise DataError(f"{path} is empty; it needs a header and at least one row")
    if not rows:
        raise DataError(f"{path} has a header but no rows; at least one is needed")


def read_header(path: Path) -> list[str]:
    """Return the columns of a CSV or TSV, checked as `read_table` does.

    Raises:
        DataError: as `read_table`.
    """
    for _, cells in _records(path):
        if cells and (len(cells) > 1 or cells[0].strip()):
            _check_header(path, cells, ())
            return cells
    raise DataError(f"{path} is empty; it needs a header and at least one row")


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (record number from 1, cells), empty lines as no cells."""
    text = read_text(path)
    if "\0" in text:
        raise DataError(f"{path} holds NUL characters; it is not a CSV of text in UTF-8")
    tabs = path.suffix.lower() in TAB_SUFFIXES
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter="\t" if tabs else ",")
    try:
        yield from enumerate(reader, 1)
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num} is not valid CSV: {error}") from None


def _check_header(path: Path, header: Sequence[str], required: Sequence[str]) -> None:
    line = (TAB if path.suffix.lower() in TAB_SUFFIXES else ",").join(header)
    if line.lower().startswith("sep="):
        raise DataError(
            f"{path} begins with Excel's line {line!r}; delete that line, and separate the "
            "cells by commas"
        )
    missing = [column for column in required if column not in header]
    if missing or len(header) == 1:
        _refuse_separator(path, line, required)
    if missing:
        raise DataError(
            f"{path} has no column {shortened(missing, 9)}; "
            f"its columns are {shortened(list(header), 12)}"
        )
    twice = sorted(c for c, number in Counter(header).items() if number > 1 and c.strip())
    if twice:
        raise DataError(
            f"{path} has column {shortened(twice)} twice; leave one, so that it is clear which "
            "counts"
        )


def _refuse_separator(path: Path, line: str, required: Sequence[str]) -> None:
    """Raise where a header makes sense only with another separator than the one that is read."""
    tabs = path.suffix.lower() in TAB_SUFFIXES
    for separator, name in _SEPARATORS.items():
        columns = [column.strip().strip('"') for column in line.split(separator)]
        if separator != (TAB if tabs else ",") and len(columns) > 1:
            if not set(required) <= set(columns):
                continue
            raise DataError(
                f"{path} is separated by {name}, not by {'tabs' if tabs else 'commas'}; save it "
                + (
                    "with tabs, or call it .csv"
                    if tabs
                    else "as CSV with commas"
                    + (" and in UTF-8, or call it .tsv" if separator == TAB else " and in UTF-8")
                )
            )


def read_text(path: Path) -> str:
    """Return a file's text, a byte order mark left out.

    Raises:
        DataError: it is missing, unreadable or not UTF-8.
    """
    try:
        data = path.read_bytes()
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(
                f"{path} is UTF-16 ('Unicode text' of a spreadsheet), not UTF-8; save it as UTF-8 "
                "('CSV UTF-8') and try again"
            )
        if data.startswith(b"PK\x03\x04"):
            raise DataError(
                f"{path} is a workbook of a spreadsheet or an archive, not text; save it as CSV in "
                "UTF-8 and try again"
            )
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8 and try again"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def parse_where(values: Sequence[str]) -> dict[str, str]:
    """Return column values from ``column=value`` words.

    Raises:
        UsageError: a word has another form, or a column shall have two values.
    """
    where: dict[str, str] = {}
    for value in values:
        column, equals, wanted = value.partition("=")
        if not equals:
            raise UsageError(f"--where {value}: write column=value")
        if where.setdefault(column, wanted) != wanted:
            raise UsageError(
                f"--where {value}: {column} shall be {where[column]} already; a row has one value "
                "of a column, so score one after the other"
            )
    return where


def csv_text(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, exact: bool = False
) -> str:
    """Return a CSV; None is an empty cell, numbers are written unrounded, texts as `harmless`.

    Where `exact`, texts are written as they are: for files of prompts, which `read_table` gives
    back as they stand.
    """
    cell = _exact_cell if exact else _cell
    return "".join(",".join(map(cell, row)) + "\n" for row in (header, *rows))


def _cell(value: object) -> str:
    return _exact_cell(harmless(value) if isinstance(value, str) else value)


def _exact_cell(value: object) -> str:
    text = "" if value is None else str(value)
    quoted = any(mark in text for mark in ',"\r\n')  # Python's csv leaves a lone CR unquoted
    return '"' + text.replace('"', '""') + '"' if quoted else text


def harmless(text: str) -> str:
    """Return a text as a spreadsheet takes it for text: what looks like a formula gets a ``'``.

    `as_written` gives the text back, whatever it was.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA_STARTS) else text


def as_written(cell: str) -> str:
    """Return the text of a cell that `csv_text` wrote."""
    rest = cell.removeprefix("'")
    return rest if rest.lstrip("'").startswith(_FORMULA_STARTS) else cell
