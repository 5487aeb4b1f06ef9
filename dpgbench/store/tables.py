"""Text and CSV of other people: everything is read as text, every complaint has its row.

And the writing of CSVs: cells that a spreadsheet would run as formulas are made harmless.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dpgbench.errors import DataError, shortened

csv.field_size_limit(10_000_000)
_FORMULA_STARTS = (*"=+-@＝＋－＠", "\t", "\r", "\n")


def read_table(path: Path, required: Sequence[str] = ()) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number, cells) of a CSV; the header is row 1 and every cell is text.

    Raises:
        DataError: missing file, not UTF-8, not CSV, a column of `required` is absent, no rows.
    """
    text = read_text(path)
    if "\0" in text:
        raise DataError(f"{path} holds NUL characters; it is not a CSV of text")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = 0
    header: list[str] = []
    try:
        for number, cells in enumerate(reader, 1):
            if not cells or (len(cells) == 1 != len(header) and not cells[0].strip()):
                continue  # as pandas: a line that holds nothing is no row
            if not header:
                header = cells
                _check_header(path, header, required)
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path} row {number} has {len(cells)} cells, the header {len(header)}; "
                    "check its quotes and commas"
                )
            rows += 1
            yield number, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{path} line {reader.line_num} is not valid CSV: {error}") from None
    if not header:
        raise DataError(f"{path} is empty; it needs a header and at least one row")
    if not rows:
        raise DataError(f"{path} has a header but no rows; at least one is needed")


def _check_header(path: Path, header: Sequence[str], required: Sequence[str]) -> None:
    missing = [column for column in required if column not in header]
    if missing:
        raise DataError(
            f"{path} has no column {shortened(missing, 9)}; "
            f"its columns are {shortened(list(header), 12)}"
        )


def read_text(path: Path) -> str:
    """Return a file's text, a byte order mark left out.

    Raises:
        DataError: it is missing, unreadable or not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8 and try again"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a CSV; None is an empty cell, numbers are written unrounded, texts as `harmless`."""
    return "".join(",".join(map(_cell, row)) + "\n" for row in (header, *rows))


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = harmless(value) if isinstance(value, str) else str(value)
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
