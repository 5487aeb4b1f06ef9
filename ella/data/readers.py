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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ella.data.captions import COLUMNS, Texts
from ella.data.layouts import Piece, sidecars_of
from ella.data.pictures import SUFFIXES, size_of
from ella.errors import TrainingDataError, first_names, one_line

FILE_COLUMNS = (
    "file", "file_name", "image_file", "image_path", "filename", "image", "path", "img_path",
)  # fmt: skip
BYTES_COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "img")
_NO_CAPTIONS = frozenset(
    (*FILE_COLUMNS, "url", "key", "status", "error_message", "exif", "sha256", "md5", "uid",
     "hash", "id", "license", "__key__", "__url__")
)  # fmt: skip
_BETWEEN = re.compile(r"[\s,]*")
_EMPTY = "the file is empty"
_OTHER_SIGNS = {";": "semicolons", "\t": "tabs", "|": "bars"}
ROW_NAME = "row "  # and its number: a row of a table whose picture has no path
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
            rows = csv.DictReader(file, strict=True, restkey="")
            check_header(path, rows.fieldnames or [])
            for number, row in enumerate(rows, start=2):
                check_cells(path, number, row)
                cells = {name: _cell(name, row[name]) for name in row}
                yield _listed(root, piece.file, f"row {number}", cells)
    except (UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path}: is not csv in UTF-8 ({error})") from error


def check_cells(path: Path, number: int, row: dict[str, Any]) -> None:
    """Take the cells behind the header's columns from a row of `DictReader(restkey="")`.

    Raises:
        TrainingDataError: If one says something: then a caption was cut at its comma.
    """
    if any(row.pop("", ())):
        raise TrainingDataError(
            f"{path}: row {number}: has more cells than the first line has columns; put a caption"
            " with a comma into quotes"
        )


def check_header(path: Path, names: Sequence[str]) -> None:
    """Raise unless a first line names the file's column, and each column once.

    Raises:
        TrainingDataError: With the cause where it can be seen.
    """
    if not any(name in FILE_COLUMNS for name in names):
        first = "".join(names)
        mark = next((word for sign, word in _OTHER_SIGNS.items() if sign in first), "")
        hint = f"; its cells are parted by {mark}, and must be by commas" if mark else ""
        raise TrainingDataError(f"{path}: has no column file and text in its first line{hint}")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise TrainingDataError(f"{path}: has two columns {twice[0]!r}; leave one of them")


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
            if text[at + 1 :].strip() or file.read(at_once).strip():
                raise ValueError("something stands behind its list")
            return
        try:
            if at == len(text):
                raise ValueError("it ends within the list")
            item, end = decoder.raw_decode(text, at)
            if end == len(text):  # a number could go on
                raise ValueError("it ends within the list")
        except ValueError as error:
            more = "" if _is_wrong(error, text) else file.read(at_once)
            if not more:
                raise
            text, at = text[at:] + more, 0
            continue
        yield item
        at = end


def _is_wrong(error: ValueError, text: str, margin: int = 64) -> bool:
    """Whether more of a file cannot mend it: only what ends at the end of `text` may go on."""
    if not isinstance(error, json.JSONDecodeError) or error.msg.startswith("Unterminated string"):
        return False
    return error.pos < len(text) - margin


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
        hint = "; parts of a path stand between /, not \\" if "\\" in name else ""
        return NoRow(where, f"{root / name!s}: {missing}{hint}")
    if not num_bytes:
        return NoRow(where, f"{root / name!s}: {_EMPTY}")
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
        elif isinstance(value, str):
            texts[name] = value
        elif isinstance(value, list) and (several := _several(value)):
            texts[name] = several
    return texts, numbers


def _several(values: list[Any]) -> list[str]:
    """The texts of a list of texts, in which some may be missing; none of another list."""
    there = [one for one in values if one is not None]
    return there if all(isinstance(one, str) for one in there) else []


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
                row["text"] = _text(text.read_bytes())
        except (ValueError, RecursionError) as error:
            yield NoRow(str(path), f"the text beside it cannot be read ({one_line(error)})")
            continue
        if not row:
            yield NoRow(str(path), "there is no .txt and no .json of its name")
            continue
        yield _of_path(root, name, str(path), row)


def _text(content: bytes) -> str:
    """The caption in a text file.

    Raises:
        ValueError: If it is not in UTF-8: other letters than were meant would be learnt.
    """
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not in UTF-8: {error}") from error


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
    if not path.stat().st_size:  # what a download that was cut off leaves
        yield NoRow(str(path), _EMPTY)
        return
    try:
        with tarfile.open(path, "r:") as tar:
            sample = _Sample()
            for member in _members(tar, path):
                if isinstance(member, NoRow):
                    yield member
                    break
                name = PurePosixPath(member.name)
                key = f"{name.parent}/{name.name.partition('.')[0]}"
                if key != sample.key or member.name in sample.names:
                    yield from sample.rows(path)
                    sample = _Sample(key)
                sample.take(tar, member)
            yield from sample.rows(path)
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


@dataclass
class _Sample:
    """Members that stand in a row and whose names are one before the first point.

    Attributes:
        key: That name, with its folder.
        names: Of the members so far.
        pictures: Each with its width and height.
        texts: By the member's name without its suffix.
        facts: Likewise, of `.json` members.
    """

    key: str = ""
    names: set[str] = field(default_factory=set)
    pictures: list[tuple[tarfile.TarInfo, tuple[int, int]]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    facts: dict[str, bytes] = field(default_factory=dict)

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Add a member; only the first bytes of pictures are read."""
        self.names.add(member.name)
        stem, _, suffix = member.name.rpartition(".")
        suffix = f".{suffix.lower()}"
        if suffix in SUFFIXES:
            file = tar.extractfile(member)
            self.pictures.append((member, size_of(file) if file else (0, 0)))
        elif suffix in (".txt", ".json", ".caption") and member.size <= _LARGEST_TEXT:
            file = tar.extractfile(member)
            into = self.facts if suffix == ".json" else self.texts
            into[stem] = file.read() if file else b""

    def rows(self, path: Path) -> Rows:
        """A row a picture.

        The texts of a sample are its only picture's. Of several pictures each has those of its
        own name: `1.5_dog.jpg` and `1.6_cat.jpg` are two, each with its `.txt`.
        """
        if not self.pictures and (self.texts or self.facts):
            yield NoRow(str(path), "texts without a picture")
        for picture, size in self.pictures:
            where = f"{path}: {picture.name}"
            own = picture.name.rpartition(".")[0]
            if len(self.pictures) > 1 and not (own in self.texts or own in self.facts):
                others = [one.name for one, _ in self.pictures if one is not picture]
                yield NoRow(where, f"the texts beside it may be those of {first_names(others)}")
                continue
            yield self._row(picture, size, where, own)

    def _row(
        self, picture: tarfile.TarInfo, size: tuple[int, int], where: str, own: str
    ) -> Row | NoRow:
        row: dict[str, Any] = {}
        alone = len(self.pictures) == 1
        text, facts = (
            by_name.get(own, next(iter(by_name.values()), None) if alone else None)
            for by_name in (self.texts, self.facts)
        )
        kind = ".json"
        try:
            if facts is not None:
                row |= _facts(facts)
            kind = "text"
            if text is not None:
                row["text"] = _text(text)
        except (ValueError, RecursionError) as error:
            return NoRow(where, f"its {kind} cannot be read ({one_line(error)})")
        if not picture.size:
            return NoRow(where, _EMPTY)
        texts, numbers = split_columns(row)
        at, num_bytes = picture.offset_data, picture.size
        return Row(picture.name, texts, numbers, at=at, num_bytes=num_bytes, size=size)


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
            if pa.types.is_dictionary(kind):  # as pandas writes categories
                return is_text(kind.value_type)
            views = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
            return any(view(kind) for view in views)

        binary = [one.name for one in schema if is_binary(one.type) and one.name not in COLUMNS]
        paths = [name for name in FILE_COLUMNS if name in schema.names]
        paths = [name for name in paths if is_text(schema.field(name).type)]
        named = [name for name in BYTES_COLUMNS if name in binary]
        named = named or ([] if paths else binary)  # else an embedding, a hash
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
            for cells in batch.to_pylist():
                row = {name: _decoded(name, cell) for name, cell in cells.items()}
                where = f"{path}: {ROW_NAME}{number}"
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
        within = str(folder / name)
        if within.startswith(ROW_NAME):  # as rows without a path are called
            within = f"./{within}"
        return _of_path(root, within, where, row)
    texts, numbers = split_columns(row)
    size = _side(numbers.get("width")), _side(numbers.get("height"))
    if columns.pictures in row:
        try:
            content = picture_bytes(row[columns.pictures], root / folder)
        except OSError as error:
            return NoRow(where, one_line(error))
        if content is None:
            return NoRow(where, "it has no picture")
        if not content:
            return NoRow(where, _EMPTY)
        size = size_of(io.BytesIO(content))
    name = where.rpartition(": ")[2]
    return Row(name, texts, numbers, at=place[1], group=place[0], size=size)


def _decoded(name: str, cell: Any) -> Any:
    """A cell; a caption that is there as bytes, as text, or missing where it is none."""
    if name not in COLUMNS or not isinstance(cell, bytes):
        return cell
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return None


def _side(pixels: float | None) -> int:
    """A side as a column says it; 0 where it says none that can be."""
    return int(pixels) if pixels is not None and 0 < pixels < 2**31 else 0


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
