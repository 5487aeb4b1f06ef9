"""An index of data: where each picture is and what its captions are, made once.

In a folder of its own: a file for each piece of the data, and `index.json`, written last. A file
holds a record of fixed size for each row, the other columns' numbers, and names and captions as
JSON. Rows are read from it by their place, so that a process holds none of them: the system's
page cache does, once for all processes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ella.data.captions import CaptionColumns, has_usual
from ella.data.layouts import INDEX_FOLDER, DataLayout, Piece, find_layout, fingerprint
from ella.data.readers import NoRow, Row, read_piece
from ella.errors import TrainingDataError, first_names
from ella.whole_files import locked, replacing, sweep

VERSION = 1
RECORD = np.dtype(
    [
        ("key", "<u8"),  # of its caption
        ("text_at", "<u8"),  # in the texts of the file
        ("at", "<u8"),
        ("text_bytes", "<u4"),
        ("num_bytes", "<u4"),
        ("group", "<u4"),
        ("width", "<u4"),
        ("height", "<u4"),
    ]
)
_MAGIC = b"ELLAIDX1"
_LARGEST = 2**32 - 1
_NUM_NAMED = 20  # of what is left out, in a file
_ANY = CaptionColumns({})


@dataclass(frozen=True)
class Part:
    """A piece that has been indexed.

    Attributes:
        name: Of its file.
        kind: Of the piece.
        source: The piece's file within the data folder.
        rows: In it.
        rows_at: First byte of the records.
        texts_at: First byte of the texts.
        columns: Names of the numbers, which stand in this order behind the records.
        text_columns: Names of the columns that captions can come from.
        num_left_out: Of what stands in the place of a row.
        left_out: The first of them, and why.
        num_bytes: Of all pictures.
        digest: Of all captions.
        source_mark: The source's size and time of change; empty for `pictures`.
    """

    name: str
    kind: str
    source: str
    rows: int
    rows_at: int
    texts_at: int
    columns: tuple[str, ...]
    text_columns: tuple[str, ...]
    num_left_out: int
    left_out: tuple[str, ...]
    num_bytes: int
    digest: str
    source_mark: str


Progress = Callable[[int, int, int], None]
"""Called with pieces done, pieces in all, and rows so far."""


def default_folder(data: Path) -> Path:
    """Where the index of a folder, or of one list, shard or table, is."""
    if data.is_file():
        return data.parent / f"{INDEX_FOLDER}-{data.name}"
    return data / INDEX_FOLDER


def is_index(folder: Path) -> bool:
    """Whether a folder is an index, not data."""
    return (folder / "index.json").is_file() and any(folder.glob("*.part-index"))


def build_index(
    data: Path, folder: Path, *, processes: int = 1, progress: Progress | None = None
) -> Index:
    """Index what is not indexed yet; a call that was cut off goes on where it was.

    Several processes may call this at once for one folder: one works, the others wait.

    Args:
        data: A folder, list, shard or table.
        folder: Where the index is put.
        processes: That read pieces at the same time.
        progress: Told after each piece.

    Raises:
        TrainingDataError: If the data cannot be used; what was indexed stays.
        OSError: If the disk refuses.
    """
    layout = find_layout(data)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "index.lock", wait=True):
        sweep(folder)
        there = {path.name for path in folder.glob("*.part-index")}
        missing = [piece for piece in layout.pieces if _part_name(piece) not in there]
        parts = _read_all(layout, folder, missing, processes, progress)
        parts |= {
            piece.name: _read_part(folder / _part_name(piece))
            for piece in layout.pieces
            if piece.name not in parts
        }
        _write_summary(layout, data, folder, [parts[piece.name] for piece in layout.pieces])
        for stale in there - {_part_name(piece) for piece in layout.pieces}:
            (folder / stale).unlink(missing_ok=True)
    return Index(folder, layout.root)


def _read_all(
    layout: DataLayout,
    folder: Path,
    pieces: Sequence[Piece],
    processes: int,
    progress: Progress | None,
) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    rows = 0
    for piece, part in zip(pieces, _parts(layout, folder, pieces, processes), strict=True):
        parts[piece.name] = part
        rows += part.rows
        if progress:
            progress(len(parts), len(pieces), rows)
    return parts


def _parts(
    layout: DataLayout, folder: Path, pieces: Sequence[Piece], processes: int
) -> Iterator[Part]:
    write = partial(_write_part, layout.root, folder)
    if min(processes, len(pieces)) <= 1:
        yield from map(write, pieces)
        return
    with ProcessPoolExecutor(min(processes, len(pieces))) as pool:
        try:
            yield from pool.map(write, pieces)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _part_name(piece: Piece) -> str:
    return f"{piece.name}.part-index"


def _write_part(root: Path, folder: Path, piece: Piece) -> Part:
    """Index one piece into one file, which is whole or not there."""
    path, where = folder / _part_name(piece), f"{root / piece.file}"
    records, texts, numbers, left_out = _Records(), bytearray(), _Numbers(), _LeftOut()
    text_columns: set[str] = set()
    usual = bytearray()  # for each row whether its caption is where one is sought
    for read in read_piece(root, piece):
        row = _usable(read, where)
        if isinstance(row, NoRow):
            left_out.add(row)
            continue
        content = _packed([row.name, row.texts])
        records.add(row, len(texts), len(content))
        numbers.add(row)
        texts += content
        text_columns.update(row.texts)
        usual.append(has_usual(row.texts))
    table, values = records.table(), numbers.table(len(usual))
    if any(usual) and not all(usual):  # else the only other text would stand for the caption
        kept = np.frombuffer(usual, dtype=np.bool_)
        for at, num_bytes in table[~kept][["text_at", "text_bytes"]].tolist():
            name = json.loads(texts[at : at + num_bytes])[0]
            left_out.add(NoRow(f"{where}: {name}", "it has no caption"))
        table, values = table[kept], values[:, kept]
    about = {
        "kind": piece.kind,
        "source": piece.file,
        "rows": len(table),
        "columns": numbers.names,
        "text_columns": sorted(text_columns),
        "num_left_out": left_out.number,
        "left_out": left_out.first,
        "num_bytes": int(table["num_bytes"].sum(dtype=np.int64)),
        "digest": hashlib.sha256(table["key"].tobytes()).hexdigest(),
        "source_mark": "" if piece.kind == "pictures" else piece.fingerprint,
    }
    with replacing(path) as part, part.open("wb") as file:
        header = json.dumps(about).encode()
        file.write(_MAGIC + len(header).to_bytes(8, "little") + header)
        file.write(table.tobytes() + values.tobytes())
        file.write(texts)
    return _read_part(path)


class _LeftOut:
    """What stands in the place of a row: how many, and the first of them with the reason."""

    def __init__(self, most: int = _NUM_NAMED) -> None:
        self._most = most
        self.number = 0
        self.first: list[str] = []

    def add(self, row: NoRow) -> None:
        self.number += 1
        if len(self.first) < self._most:
            self.first.append(f"{row.where}: {row.reason}")


def _packed(name_and_texts: list[Any]) -> bytes:
    """As JSON in UTF-8, or in ASCII where a name has bytes that UTF-8 has not."""
    try:
        return json.dumps(name_and_texts, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(name_and_texts).encode()


def _usable(row: Row | NoRow, where: str) -> Row | NoRow:
    if isinstance(row, NoRow):
        return row
    if not any(_ANY.first({name: texts}) for name, texts in row.texts.items()):
        return NoRow(f"{where}: {row.name}", "it has no caption")
    if row.num_bytes > _LARGEST:
        return NoRow(f"{where}: {row.name}", "it is larger than 4 GiB")
    return row


def caption_key(texts: Any) -> int:
    """What tells a caption from others, wherever it lies: 64 bits of a hash."""
    caption = _ANY.first(texts) or next(
        (one for name in sorted(texts) if (one := _ANY.first({name: texts[name]}))), ""
    )
    digest = hashlib.blake2b(caption.strip().encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


class _Records:
    """The records of a file, while it is made."""

    def __init__(self, at_once: int = 4_096) -> None:
        self._at_once = at_once
        self._tables: list[NDArray[Any]] = []
        self._rows: list[tuple[int, ...]] = []

    def add(self, row: Row, text_at: int, text_bytes: int) -> None:
        width, height = (min(side, _LARGEST) for side in row.size)
        self._rows.append(
            (caption_key(row.texts), text_at, row.at, text_bytes, row.num_bytes, row.group,
             width, height)
        )  # fmt: skip
        if len(self._rows) == self._at_once:
            self._pack()

    def _pack(self) -> None:
        self._tables.append(np.array(self._rows, dtype=RECORD))
        self._rows = []

    def table(self) -> NDArray[Any]:
        self._pack()
        return np.concatenate(self._tables)


class _Numbers:
    """The other columns' numbers, while they are read."""

    def __init__(self) -> None:
        self._of: dict[str, list[float]] = {}
        self._num_rows = 0

    def add(self, row: Row) -> None:
        for name, number in row.numbers.items():
            values = self._of.setdefault(name, [])
            values += [float("nan")] * (self._num_rows - len(values))
            values.append(number)
        self._num_rows += 1

    @property
    def names(self) -> list[str]:
        return sorted(self._of)

    def table(self, num_rows: int) -> NDArray[np.float64]:
        """`[columns, rows]`; NaN where a row has none."""
        table = np.full((len(self._of), num_rows), np.nan)
        for i, name in enumerate(self.names):
            table[i, : len(self._of[name])] = self._of[name]
        return table


def _read_part(path: Path) -> Part:
    try:
        with path.open("rb") as file:
            start = file.read(16)
            if start[:8] != _MAGIC:
                raise ValueError("it begins otherwise")
            size = int.from_bytes(start[8:], "little")
            if size > path.stat().st_size:
                raise ValueError("it is cut off")
            about = json.loads(file.read(size))
        rows_at = 16 + size
        numbers_at = rows_at + about["rows"] * RECORD.itemsize
        texts_at = numbers_at + about["rows"] * len(about["columns"]) * 8
        if texts_at > path.stat().st_size:
            raise ValueError("it is cut off")
        for name in ("columns", "text_columns", "left_out"):
            about[name] = tuple(about[name])
        return Part(name=path.name, rows_at=rows_at, texts_at=texts_at, **about)
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingDataError(
            f"{path}: damaged ({error}); delete it and run python -m ella.data index again"
        ) from error


def _write_summary(layout: DataLayout, data: Path, folder: Path, parts: Sequence[Part]) -> None:
    num_rows = sum(part.rows for part in parts)
    if not num_rows:
        left = [one for part in parts for one in part.left_out]
        reason = f" (left out: {first_names(left)})" if left else ""
        raise TrainingDataError(f"{data}: lists no picture{reason}")
    about = {
        "version": VERSION,
        "layout": layout.name,
        "root": os.path.relpath(layout.root.resolve(), folder.resolve()),
        "rows": num_rows,
        "parts": [part.name for part in parts],
    }
    with replacing(folder / "index.json") as part:
        part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


class Index:
    """An index, open.

    Args:
        folder: Where it is.
        root: The data folder; by default where the index says.
        num_open: Files that stay open.

    Raises:
        TrainingDataError: If there is none, it is damaged, or the data is no longer as it was.
    """

    def __init__(self, folder: Path, root: Path | None = None, num_open: int = 64) -> None:
        self.folder = folder
        about = _read_summary(folder)
        self.layout: str = about["layout"]
        self.root = root if root is not None else Path(os.path.normpath(folder / about["root"]))
        self.parts = [_read_part(folder / name) for name in about["parts"]]
        ends = np.cumsum([part.rows for part in self.parts])
        self._starts: NDArray[np.int64] = np.concatenate([[0], ends[:-1]])
        self.num_rows = int(ends[-1])
        self._num_open = num_open
        self._open: OrderedDict[int, int] = OrderedDict()
        self._check_sources()

    def stale(self) -> list[str]:
        """What may have changed since, a sentence each: for people, as copies change times too."""
        changed = [part.source for part in self.parts if part.source_mark and self._is_newer(part)]
        lines = []
        if changed:
            lines.append(
                f"{self.root}: {len(changed)} of {len(self.parts)} files have another time of"
                f" change than when they were indexed ({first_names(changed)}); if they were not"
                f" only copied, run python -m ella.data index {self.root} again"
            )
        new = self._not_indexed()
        if new:
            lines.append(
                f"{self.root}: {len(new)} files are not in the index and not trained on"
                f" ({first_names(new)}); run python -m ella.data index {self.root} again"
            )
        return lines

    def _is_newer(self, part: Part) -> bool:
        return fingerprint(self.root / part.source) != part.source_mark

    def _not_indexed(self) -> list[str]:
        """Shards and tables that came later; other layouts take too long to walk through."""
        if self.layout not in ("tar", "parquet") or not self.root.is_dir():
            return []
        if default_folder(self.root) != self.folder:  # an index of one file, or put elsewhere
            return []
        indexed = {part.source for part in self.parts}
        return [piece.file for piece in find_layout(self.root).pieces if piece.file not in indexed]

    def _check_sources(self) -> None:
        for part in self.parts:
            if not part.source_mark:
                continue
            path = self.root / part.source
            try:
                size = path.stat().st_size
            except OSError as error:
                raise TrainingDataError(
                    f"{path}: {error.strerror}, but it is in the index {self.folder}"
                ) from error
            if str(size) != part.source_mark.partition(":")[0]:
                raise TrainingDataError(
                    f"{path}: has changed since it was indexed; run python -m ella.data index"
                    f" {self.root} again"
                )

    @property
    def digest(self) -> str:
        """Of all captions in order: the same data, the same value."""
        digest = hashlib.sha256()
        for part in self.parts:
            digest.update(part.digest.encode())
        return digest.hexdigest()[:16]

    @property
    def text_columns(self) -> set[str]:
        """Columns that captions can come from."""
        return {name for part in self.parts for name in part.text_columns}

    @property
    def columns(self) -> set[str]:
        """Columns of numbers."""
        return {name for part in self.parts for name in part.columns}

    @property
    def num_left_out(self) -> int:
        """What stands in the place of a row and is none."""
        return sum(part.num_left_out for part in self.parts)

    @property
    def left_out(self) -> list[str]:
        """The first of it, and why."""
        return [one for part in self.parts for one in part.left_out]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict()}

    def _file(self, number: int) -> int:
        """A part, opened; of several only the last ones used stay so."""
        if number not in self._open:
            self._open[number] = os.open(self.folder / self.parts[number].name, os.O_RDONLY)
            if len(self._open) > self._num_open:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(number)
        return self._open[number]

    def part_of(self, row: int) -> tuple[int, int]:
        """The part that a row is in, and its place there."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        return part, row - int(self._starts[part])

    def record(self, row: int) -> tuple[Part, Any]:
        """A row's part and record."""
        number, place = self.part_of(row)
        part = self.parts[number]
        at = part.rows_at + place * RECORD.itemsize
        content = os.pread(self._file(number), RECORD.itemsize, at)
        return part, np.frombuffer(content, dtype=RECORD)[0]

    def texts(self, row: int) -> tuple[str, dict[str, Any]]:
        """A row's name and its captions by column."""
        number, _ = self.part_of(row)
        part, record = self.record(row)
        at = part.texts_at + int(record["text_at"])
        content = os.pread(self._file(number), int(record["text_bytes"]), at)
        try:
            name, texts = json.loads(content)
        except (ValueError, TypeError) as error:
            raise TrainingDataError(
                f"{self.folder / part.name}: damaged; delete it and run python -m ella.data"
                " index again"
            ) from error
        return name, texts

    def records(self, start: int, stop: int) -> NDArray[Any]:
        """The records of some rows in a row."""
        tables = [
            np.frombuffer(
                os.pread(
                    self._file(number),
                    (last - first) * RECORD.itemsize,
                    self.parts[number].rows_at + first * RECORD.itemsize,
                ),
                dtype=RECORD,
            )
            for number, first, last in self._spans(start, stop)
        ]
        return np.concatenate(tables) if tables else np.empty(0, dtype=RECORD)

    def numbers(self, column: str, start: int, stop: int) -> NDArray[np.float64]:
        """A column of some rows in a row; NaN where a row has no such number."""
        values = []
        for number, first, last in self._spans(start, stop):
            part = self.parts[number]
            if column not in part.columns:
                values.append(np.full(last - first, np.nan))
                continue
            at = part.rows_at + part.rows * RECORD.itemsize
            at += (part.columns.index(column) * part.rows + first) * 8
            content = os.pread(self._file(number), (last - first) * 8, at)
            values.append(np.frombuffer(content, dtype="<f8"))
        return np.concatenate(values) if values else np.empty(0)

    def _spans(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """For each part with rows from `start` to `stop`: its number, first and last place."""
        number, _ = self.part_of(start)
        while number < len(self.parts) and int(self._starts[number]) < stop:
            begin = int(self._starts[number])
            first, last = max(start - begin, 0), min(stop - begin, self.parts[number].rows)
            if last > first:
                yield number, first, last
            number += 1


def _read_summary(folder: Path) -> dict[str, Any]:
    path = folder / "index.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["version"] != VERSION:
            raise ValueError(f"version {about['version']}, this is {VERSION}")
        if not isinstance(about["parts"], list) or not about["parts"]:
            raise ValueError("it names no parts")
        if not all(isinstance(about[name], str) for name in ("layout", "root")):
            raise ValueError("layout or root is no text")
    except FileNotFoundError as error:
        raise TrainingDataError(
            f"{folder}: no whole index; run python -m ella.data index"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise TrainingDataError(
            f"{path}: damaged ({error}); run python -m ella.data index again"
        ) from error
    return dict(about)
