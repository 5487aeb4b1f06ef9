"""How data lies in a folder: which files hold pictures and captions, in pieces to be indexed.

    captions   captions.csv or captions.jsonl: file, text
    metadata   metadata.jsonl or metadata.csv of Hugging Face, in any folder: file_name, text
    tar        shards of WebDataset and img2dataset
    parquet    tables with the pictures' bytes, or with their paths
    pictures   each picture beside a .txt or .json of its name
    json       IP-Adapter's list: [{"image_file", "text"}, ...]

The first that fits is taken. A file instead of a folder is what its name ends in.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ella.data.pictures import SUFFIXES
from ella.errors import TrainingDataError

LISTS = ("captions.csv", "captions.jsonl")
METADATA = ("metadata.jsonl", "metadata.csv")
PICTURES_AT_ONCE = 8_192  # in one piece of a folder of pictures
LIST_BYTES = 32 * 2**20  # of a list with a row a line, in one piece
INDEX_FOLDER = ".ella-index"


@dataclass(frozen=True)
class Piece:
    """What is indexed at a time, by one process, into one file.

    Attributes:
        kind: Which reader reads it: `tar`, `parquet`, `jsonl`, `csv`, `json`, `pictures`.
        file: Within the data folder, with slashes; of `pictures` the first one.
        start: First byte, of a list that several pieces share.
        stop: The byte after the last; 0: to the end.
        names: The pictures within the data folder, of `pictures`.
        fingerprint: Changes whenever the piece's files do.
    """

    kind: str
    file: str
    fingerprint: str
    start: int = 0
    stop: int = 0
    names: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """What its part of the index is called."""
        words = f"{self.kind} {self.file} {self.start} {self.fingerprint}"
        return hashlib.sha256(words.encode("utf-8", "surrogateescape")).hexdigest()[:24]


@dataclass(frozen=True)
class DataLayout:
    """Data as it lies.

    Attributes:
        name: As in the list above.
        root: The data folder, which all paths are within unless they are absolute.
        pieces: All there is, in order.
    """

    name: str
    root: Path
    pieces: tuple[Piece, ...]


def find_layout(data: Path) -> DataLayout:
    """What lies in a folder, or in the list, shard or table that `data` is.

    Raises:
        TrainingDataError: If nothing that can be read.
    """
    if data.is_file():
        return _of_file(data)
    if not data.is_dir():
        raise TrainingDataError(f"{data}: no such folder")
    lists = [name for name in LISTS if (data / name).is_file()]
    if len(lists) > 1:
        raise TrainingDataError(f"{data}: has both {' and '.join(lists)}; give one of them")
    if lists:
        return DataLayout("captions", data, tuple(_lists(data, lists)))
    files = sorted(_files(data))
    for name, choose in _LAYOUTS.items():
        pieces = choose(data, files)
        if pieces:
            return DataLayout(name, data, tuple(pieces))
    raise TrainingDataError(
        f"{data}: needs one of {' and '.join(LISTS)}, or metadata.jsonl, tar shards, parquet"
        " tables, pictures each beside a .txt or .json of its name, or a .json list of image_file"
        " and text; and has none of them"
    )


def _of_file(data: Path) -> DataLayout:
    root, name = data.parent, data.name
    suffix = data.suffix.lower()
    if suffix in (".jsonl", ".csv"):
        return DataLayout("captions", root, tuple(_lists(root, [name])))
    kinds = {".tar": "tar", ".parquet": "parquet", ".json": "json"}
    if suffix not in kinds:
        raise TrainingDataError(
            f"{data}: is neither a folder nor a .jsonl, .csv, .json, .tar or .parquet file"
        )
    kind = kinds[suffix]
    return DataLayout(kind, root, (Piece(kind, name, fingerprint(data)),))


def fingerprint(path: Path) -> str:
    """A file's size and time of change."""
    status = path.stat()
    return f"{status.st_size}:{status.st_mtime_ns}"


def _files(folder: Path) -> Iterator[str]:
    """Every file below a folder, but those of hidden folders, as paths within it.

    Links to folders are followed, each folder once.

    Raises:
        OSError: If a folder cannot be read: what is in it would be missing without a word.
    """

    def fail(error: OSError) -> None:
        raise error

    entered: set[tuple[int, int]] = set()
    for where, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        status = os.stat(where)  # noqa: PTH116 - a text, as `os.walk` gives it
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        within = Path(where).relative_to(folder).as_posix()
        start = "" if within == "." else f"{within}/"
        yield from (start + name for name in names if not name.startswith("."))


def _lists(folder: Path, names: list[str]) -> Iterator[Piece]:
    for name in names:
        path = folder / name
        mark = fingerprint(path)
        if path.suffix.lower() == ".csv":  # a quoted cell may hold line ends: not to be cut
            yield Piece("csv", name, mark)
            continue
        size = path.stat().st_size
        for start in range(0, max(size, 1), LIST_BYTES):
            stop = start + LIST_BYTES
            yield Piece("jsonl", name, mark, start=start, stop=stop if stop < size else 0)


def _metadata(folder: Path, files: list[str]) -> list[Piece]:
    return list(_lists(folder, [name for name in files if Path(name).name in METADATA]))


def _tars(folder: Path, files: list[str]) -> list[Piece]:
    return [Piece("tar", name, fingerprint(folder / name)) for name in files if _is(name, ".tar")]


def _tables(folder: Path, files: list[str]) -> list[Piece]:
    tables = [name for name in files if _is(name, ".parquet")]
    # img2dataset writes a table without pictures beside each folder of pictures.
    tables = [name for name in tables if not (folder / name).with_suffix("").is_dir()]
    return [Piece("parquet", name, fingerprint(folder / name)) for name in tables]


def _pictures(folder: Path, files: list[str]) -> list[Piece]:
    sidecars = {name.rpartition(".")[0] for name in files if _is(name, ".txt", ".json")}
    pictures = [name for name in files if _is(name, *SUFFIXES)]
    if not any(name.rpartition(".")[0] in sidecars for name in pictures):
        return []
    pieces = []
    for start in range(0, len(pictures), PICTURES_AT_ONCE):
        names = tuple(pictures[start : start + PICTURES_AT_ONCE])
        digest = hashlib.sha256()
        for name in names:
            for path in (folder / name, *sidecars_of(folder / name)):
                if path.is_file():
                    words = f"{path.name}:{fingerprint(path)}\n"
                    digest.update(words.encode("utf-8", "surrogateescape"))
        pieces.append(Piece("pictures", names[0], digest.hexdigest(), names=names))
    return pieces


def sidecars_of(picture: Path) -> tuple[Path, Path]:
    """The text and the JSON file that may stand beside a picture."""
    return picture.with_suffix(".txt"), picture.with_suffix(".json")


def _json_lists(folder: Path, files: list[str]) -> list[Piece]:
    return [
        Piece("json", name, fingerprint(folder / name))
        for name in files
        if _is(name, ".json") and _begins_a_list(folder / name)
    ]


def _begins_a_list(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["


def _is(name: str, *suffixes: str) -> bool:
    return name.lower().endswith(suffixes)


_LAYOUTS: dict[str, Callable[[Path, list[str]], list[Piece]]] = {
    "metadata": _metadata,
    "tar": _tars,
    "parquet": _tables,
    "pictures": _pictures,
    "json": _json_lists,
}
