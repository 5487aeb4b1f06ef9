"""The rows of a piece of data: where each picture is, its captions, its numbers.

Only what names and describes a picture is read, not the picture; but for its size, which its
first bytes say.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ella.data.captions import COLUMNS, Texts
from ella.data.layouts import Piece, sidecars_of
from ella.data.pictures import SUFFIXES, size_of
from ella.errors import TrainingDataError, one_line

FILE_COLUMNS = (
    "file", "file_name", "image_file", "image_path", "filename", "image", "path", "img_path",
)  # fmt: skip
BYTES_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "img")
_NO_CAPTIONS = frozenset(
    (*FILE_COLUMNS, "url", "key", "status", "error_message", "exif", "sha256", "md5", "uid",
     "hash", "id", "license", "__key__", "__url__")
)  # fmt: skip
_BETWEEN = re.compile(r"[\s,]*")
_LARGEST_TEXT = 2**20  # bytes of a .txt or .json within a shard


@dataclass(frozen=True)
class Row:
    """A picture and what is said of it.

    Attributes:
        name: The picture's path within the data folder (or absolute), or its name in a shard.
        texts: Captions by column: one, or a list.
        numbers: Other columns, such as a score.
        at: Its first byte in a shard; its place in a table's row group.
        num_bytes: Of the picture's file; 0 in a table.
        group: Of a table: the row group.
        size: Width and height; (0, 0) where it says none.
    """

    name: str
    texts: Texts
    numbers: Mapping[str, float] = field(default_factory=dict)
    at: int = 0
    num_bytes: int = 0
    group: int = 0
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class NoRow:
    """Something that stands where a row should be, and why it is none."""

    where: str
    reason: str


Rows = Iterator[Row | NoRow]


def read_piece(root: Path, piece: Piece) -> Rows:
    """The rows of `piece`, in order.

    Raises:
        TrainingDataError: If the whole of it cannot be read as what it is.
        OSError: If the disk refuses.
    """
    return _READERS[piece.kind](root, piece)


# --- lists -------------------------------------------------------------------------------------


def _jsonl(root: Path, piece: Piece) -> Rows:
    path = root / piece.file
    with path.open("rb") as file:
        file.seek(piece.start)
        if piece.start:
            file.seek(piece.start - 1)
            file.readline()  # a line belongs to the piece that it begins in
        number = 0
        while not piece.stop or file.tell() < piece.stop:
            line = file.readline()
            if not line:
                return
            number += 1
            where = f"row {number}" if not piece.start else f"line {number} after {piece.start}"
            if line.strip():
                yield _listed(root, piece.file, where, _json_object(path, where, line))


def _json_object(path: Path, where: str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise TrainingDataError(f"{path}: is not jsonl in UTF-8 ({where}: {error})") from error
    except (ValueError, RecursionError) as error:
        raise TrainingDataError(f"{path}: {where}: is no JSON object ({error})") from error
    if not isinstance(row, dict):
        raise TrainingDataError(f"{path}: {where}: is no JSON object")
    return row


def _csv(root: Path, piece: Piece) -> Rows:
    path = root / piece.file
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not any(name in FILE_COLUMNS for name in rows.fieldnames or []):
                raise TrainingDataError(f"{path}: has no column file and text in its first line")
            for number, row in enumerate(rows, start=2):
                cells = {name: _cell(name, row[name]) for name in row if name}
                yield _listed(root, piece.file, f"row {number}", cells)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path}: is not csv in UTF-8 ({error})") from error


def _json(root: Path, piece: Piece) -> Rows:
    path = root / piece.file
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, row in enumerate(_items(file)):
                where = f"entry {number}"
                if not isinstance(row, dict):
                    raise TrainingDataError(f"{path}: {where}: is no JSON object")
                yield _listed(root, piece.file, where, row)
    except (ValueError, RecursionError) as error:
        if isinstance(error, TrainingDataError):
            raise
        raise TrainingDataError(f"{path}: is not JSON in UTF-8 ({one_line(error)})") from error


def _items(file: IO[str], at_once: int = 2**20) -> Iterator[Any]:
    """The entries of a JSON list, without the whole of it in memory."""
    decoder = json.JSONDecoder()
    text, at = file.read(at_once).lstrip(), 1
    if not text.startswith("["):
        raise ValueError("it is no list")
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        if text.startswith("]", at):
            return
        try:
            if at == len(text):
                raise ValueError("it ends within the list")
            item, end = decoder.raw_decode(text, at)
            if end == len(text):  # a number could go on
                raise ValueError("it ends within the list")
        except ValueError:
            more = file.read(at_once)
            if not more:
                raise
            text, at = text[at:] + more, 0
            continue
        yield item
        at = end


def _listed(root: Path, file: str, where: str, row: Mapping[str, Any]) -> Row | NoRow:
    """A row of a list; its picture is looked at on the disk."""
    # Texts, not `Path`s: there may be millions of rows.
    where = f"{os.path.join(root, file)}: {where}"  # noqa: PTH118
    name = next((row[key] for key in FILE_COLUMNS if isinstance(row.get(key), str)), None)
    if not name:
        return NoRow(where, "needs a file and a text that is not empty")
    return _of_path(root, os.path.join(os.path.dirname(file), name), where, row)  # noqa: PTH118, PTH120


def _of_path(root: Path, name: str, where: str, row: Mapping[str, Any]) -> Row | NoRow:
    if ".." in name and ".." in PurePosixPath(name).parts:
        raise TrainingDataError(f"{where}: {name!r} is not within {root}; give an absolute path")
    try:
        num_bytes, size = _looked_at(os.path.join(root, name))  # noqa: PTH118
    except (OSError, ValueError) as error:  # a NUL or half a surrogate pair names no file
        missing = getattr(error, "strerror", None) or one_line(error)
        return NoRow(where, f"{root / name!s}: {missing}")
    texts, numbers = split_columns(row)
    return Row(name, texts, numbers, num_bytes=num_bytes, size=size)


@lru_cache(maxsize=1_024)
def _looked_at(path: str) -> tuple[int, tuple[int, int]]:
    with open(path, "rb") as file:  # noqa: PTH123
        return os.fstat(file.fileno()).st_size, size_of(file)


def split_columns(row: Mapping[str, Any]) -> tuple[dict[str, str | list[str]], dict[str, float]]:
    """Texts and numbers of a row; what is neither, or speaks of the file, is left."""
    texts: dict[str, str | list[str]] = {}
    numbers: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int | float):
            numbers[name] = float(value) if abs(value) < 1e300 else float("inf")
        elif name in _NO_CAPTIONS:
            continue
        elif isinstance(value, str) or _is_texts(value):
            texts[name] = value
    return texts, numbers


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) for one in value)


def _cell(name: str, value: str | None) -> str | float | None:
    """A cell of CSV, as a number where it is one and no caption."""
    if value is None or name in COLUMNS or name in FILE_COLUMNS:
        return value
    try:
        return float(value)
    except ValueError:
        return value


# --- a picture beside its text -------------------------------------------------------------------


def _pictures(root: Path, piece: Piece) -> Rows:
    for name in piece.names:
        path = root / name
        try:
            row: dict[str, Any] = {}
            text, facts = sidecars_of(path)
            if facts.is_file():
                row |= _facts(facts.read_bytes())
            if text.is_file():
                row["text"] = text.read_text(encoding="utf-8-sig", errors="replace").strip()
        except (ValueError, RecursionError) as error:
            yield NoRow(str(path), f"the text beside it cannot be read ({one_line(error)})")
            continue
        if not row:
            yield NoRow(str(path), "there is no .txt and no .json of its name")
            continue
        yield _of_path(root, name, str(path), row)


def _facts(content: bytes) -> dict[str, Any]:
    """A JSON object beside a picture."""
    row = json.loads(content.decode("utf-8-sig"))
    if not isinstance(row, dict):
        raise ValueError("its .json is no object")
    return row


# --- tar ---------------------------------------------------------------------------------------


def _tar(root: Path, piece: Piece) -> Rows:
    """Members with one name before the first point belong together; the picture may stand anywhere.

    A shard that is cut off gives the pictures before the end.
    """
    path = root / piece.file
    try:
        with tarfile.open(path, "r:") as tar:
            sample: dict[str, Any] = {}
            key = None
            for member in _members(tar, path):
                if isinstance(member, NoRow):
                    yield member
                    break
                stem, _, suffix = PurePosixPath(member.name).name.partition(".")
                new = f"{PurePosixPath(member.name).parent}/{stem}"
                if new != key:
                    yield from _of_sample(path, sample)
                    sample, key = {}, new
                _take(tar, member, suffix.lower(), sample)
            yield from _of_sample(path, sample)
    except tarfile.TarError as error:
        raise TrainingDataError(
            f"{path}: is no tar file ({one_line(error)}); compressed shards (.tar.gz) cannot be"
            " read from the middle: unpack them first"
        ) from error


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo | NoRow]:
    end = path.stat().st_size
    while True:
        try:
            member = tar.next()
        except tarfile.TarError as error:
            yield NoRow(str(path), f"cut off or damaged from here on ({one_line(error)})")
            return
        if member is None:
            if not _ends_there(path, tar.offset):  # tarfile says nothing of it
                yield NoRow(str(path), "cut off or damaged from here on")
            return
        tar.members = []  # type: ignore[attr-defined]  # or it remembers every one
        if member.isreg():
            if member.offset_data + member.size > end:
                yield NoRow(f"{path}: {member.name}", "the shard is cut off within it")
                return
            yield member


def _ends_there(path: Path, at: int) -> bool:
    """Whether a shard says at byte `at` that it ends: with zeros."""
    with path.open("rb") as file:
        file.seek(at)
        block = file.read(tarfile.BLOCKSIZE)
    return len(block) == tarfile.BLOCKSIZE and not any(block)


def _take(
    tar: tarfile.TarFile, member: tarfile.TarInfo, suffix: str, sample: dict[str, Any]
) -> None:
    last = f".{suffix.rpartition('.')[2]}"
    if last in SUFFIXES:
        sample["picture"] = member
        file = tar.extractfile(member)
        sample["size"] = size_of(file) if file else (0, 0)
        return
    if last not in (".txt", ".json", ".caption") or member.size > _LARGEST_TEXT:
        return
    file = tar.extractfile(member)
    content = file.read() if file else b""
    sample["json" if last == ".json" else "text"] = content


def _of_sample(path: Path, sample: Mapping[str, Any]) -> Rows:
    picture: tarfile.TarInfo | None = sample.get("picture")
    if picture is None:
        if sample:
            yield NoRow(str(path), "texts without a picture")
        return
    row: dict[str, Any] = {}
    where = f"{path}: {picture.name}"
    try:
        if "json" in sample:
            row |= _facts(sample["json"])
    except (ValueError, RecursionError) as error:
        yield NoRow(where, f"its .json cannot be read ({one_line(error)})")
        return
    if "text" in sample:
        row["text"] = sample["text"].decode("utf-8-sig", "replace").strip()
    texts, numbers = split_columns(row)
    yield Row(
        picture.name,
        texts,
        numbers,
        at=picture.offset_data,
        num_bytes=picture.size,
        size=sample["size"],
    )


# --- parquet -----------------------------------------------------------------------------------


def pyarrow_parquet() -> Any:
    """The module that reads tables.

    Raises:
        TrainingDataError: If it is not installed; with the command that does.
    """
    try:
        from pyarrow import parquet  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise TrainingDataError(
            "parquet tables are read with pyarrow, which is not installed; run"
            " pip install 'dpgbench[data]'"
        ) from error
    return parquet


@dataclass(frozen=True)
class TableColumns:
    """Which columns of a table speak of the picture.

    Attributes:
        pictures: Column of its bytes, alone or as Hugging Face's {"bytes", "path"}; or None.
        paths: Column of its path; or None.
    """

    pictures: str | None
    paths: str | None

    @classmethod
    def of(cls, schema: Any, path: Path) -> TableColumns:
        """From a table's Arrow schema.

        Raises:
            TrainingDataError: If there is neither.
        """
        import pyarrow as pa  # noqa: PLC0415 - an extra

        def is_binary(kind: Any) -> bool:
            if pa.types.is_struct(kind):
                return any(one.name == "bytes" and is_binary(one.type) for one in kind)
            return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

        def is_text(kind: Any) -> bool:
            return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

        binary = [one.name for one in schema if is_binary(one.type)]
        named = [name for name in BYTES_COLUMNS if name in binary] + binary
        paths = [name for name in FILE_COLUMNS if name in schema.names]
        paths = [name for name in paths if is_text(schema.field(name).type)]
        if not named and not paths:
            raise TrainingDataError(
                f"{path}: has neither pictures nor their paths: none of its columns"
                f" ({', '.join(schema.names)}) holds bytes or is called"
                f" {', '.join(FILE_COLUMNS)}"
            )
        return cls(named[0] if named else None, None if named else paths[0])


def picture_bytes(cell: Any, root: Path) -> bytes | None:
    """The bytes in a cell of a table: alone, or beside a path to read them from."""
    if isinstance(cell, dict):
        content, path = cell.get("bytes"), cell.get("path")
        if content is None and isinstance(path, str) and path:
            return (root / path).read_bytes()
        cell = content
    return cell if isinstance(cell, bytes) else None


def _parquet(root: Path, piece: Piece) -> Rows:
    parquet = pyarrow_parquet()
    path = root / piece.file
    try:
        with parquet.ParquetFile(path, memory_map=True) as table:
            yield from _of_table(root, path, piece, table)
    except TrainingDataError:
        raise
    except (ValueError, OSError) as error:  # pyarrow's own errors are of these classes
        if isinstance(error, OSError) and error.errno:
            raise
        raise TrainingDataError(f"{path}: is no parquet table ({one_line(error)})") from error


def _of_table(root: Path, path: Path, piece: Piece, table: Any) -> Rows:
    columns = TableColumns.of(table.schema_arrow, path)
    names = list(table.schema_arrow.names)
    sized = {"width", "height"} <= set(names)
    if columns.pictures and sized:
        names.remove(columns.pictures)  # the whole of it need not be read
    folder = PurePosixPath(piece.file).parent
    number = 0
    for group in range(table.num_row_groups):
        at = 0
        for batch in table.iter_batches(row_groups=[group], columns=names, batch_size=256):
            for row in batch.to_pylist():
                where = f"{path}: row {number}"
                yield _of_cells(root, folder, columns, row, where, (group, at))
                number, at = number + 1, at + 1


def _of_cells(
    root: Path,
    folder: PurePosixPath,
    columns: TableColumns,
    row: dict[str, Any],
    where: str,
    place: tuple[int, int],
) -> Row | NoRow:
    if columns.paths:
        name = row.get(columns.paths)
        if not name:
            return NoRow(where, "it has no path")
        return _of_path(root, str(folder / name), where, row)
    texts, numbers = split_columns(
        {n: v for n, v in row.items() if not isinstance(v, bytes | dict)}
    )
    size = int(numbers.get("width", 0)), int(numbers.get("height", 0))
    if columns.pictures in row:
        try:
            content = picture_bytes(row[columns.pictures], root / folder)
        except OSError as error:
            return NoRow(where, one_line(error))
        if content is None:
            return NoRow(where, "it has no picture")
        size = size_of(io.BytesIO(content))
    name = where.rpartition(": ")[2]
    return Row(name, texts, numbers, at=place[1], group=place[0], size=size)


_READERS: dict[str, Callable[[Path, Piece], Rows]] = {
    "jsonl": _jsonl,
    "csv": _csv,
    "json": _json,
    "pictures": _pictures,
    "tar": _tar,
    "parquet": _parquet,
}


def num_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
