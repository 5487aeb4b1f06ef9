"""Pictures and captions: from a folder, or from anything that fulfils `ImagePairs`."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor

from ella.data.pictures import FORMATS, Shape, as_rgb, cut
from ella.data.readers import check_cells, check_header
from ella.errors import TrainingDataError, one_line
from ella.whole_files import bytes_hash

LISTS = ("captions.csv", "captions.jsonl")


@runtime_checkable
class ImagePairs(Protocol):
    """What training asks of a data set: implement these four for any source of pairs.

    Pairs are asked for by index, in a shuffled order, so that a run can resume anywhere; a stream
    that can only be read in order needs an index first. With `workers` the object is copied to
    other processes.
    """

    def __len__(self) -> int:
        """Number of pairs."""
        ...

    def text(self, index: int) -> str:
        """The caption."""
        ...

    def image(self, index: int) -> Image.Image:
        """The picture, of any size and mode; the same one whenever it is asked for."""
        ...

    def image_key(self, index: int) -> str:
        """What tells this picture from others, under which its latents are kept."""
        ...


class FolderPairs:
    """A folder of pictures with `captions.csv` or `captions.jsonl`: a `file` and a `text` a row.

    Args:
        folder: Where the list is; `file` is a path within it, with slashes.

    Raises:
        TrainingDataError: If there is no list, or a row that cannot be used; the row is named.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        lists = [self.folder / name for name in LISTS if (self.folder / name).is_file()]
        if len(lists) != 1:
            raise TrainingDataError(
                f"{self.folder}: needs one of {' and '.join(LISTS)}, and has"
                f" {'both' if lists else 'neither'}; it lists each picture's file and text"
            )
        self._rows: list[tuple[str, str]] = []
        for number, file, text in _read_list(lists[0]):
            self._add(f"{lists[0]}: row {number}", file, text)
        if not self._rows:
            raise TrainingDataError(f"{lists[0]}: lists no picture")

    def _add(self, where: str, file: object, text: object) -> None:
        if not (isinstance(file, str) and file and isinstance(text, str) and text.strip()):
            raise TrainingDataError(f"{where}: needs a file and a text that is not empty")
        parts = PurePosixPath(file)
        if parts.is_absolute() or ".." in parts.parts:
            raise TrainingDataError(f"{where}: {file!r} is not within {self.folder}")
        try:
            (self.folder / file).stat()
        except (OSError, ValueError) as error:  # a NUL or half a surrogate pair names no file
            reason = getattr(error, "strerror", None) or error
            raise TrainingDataError(f"{where}: {self.folder / file}: {reason}") from error
        # Half of a surrogate pair, which JSON can hold and no tokenizer takes, is a question mark.
        self._rows.append((file, text.encode("utf-8", "replace").decode()))

    def __len__(self) -> int:
        return len(self._rows)

    def text(self, index: int) -> str:
        """The caption."""
        return self._rows[index][1]

    def image(self, index: int) -> Image.Image:
        """The picture.

        Raises:
            TrainingDataError: If the file holds none that can be read.
        """
        path = self.folder / self._rows[index][0]
        try:
            with Image.open(path, formats=FORMATS) as image:
                return as_rgb(image)
        except Exception as error:  # a damaged file can break any decoder in any way
            raise TrainingDataError(
                f"{path}: no picture that can be read ({one_line(error)}); put a good one in its"
                " place and start the same command again, it resumes"
            ) from error

    def name(self, index: int) -> str:
        """Where the picture is."""
        return str(self.folder / self._rows[index][0])

    def image_key(self, index: int) -> str:
        """The file's name, and a hash of what is in it.

        Raises:
            TrainingDataError: If it cannot be read.
        """
        name = self._rows[index][0]
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise TrainingDataError(f"{self.folder / name}: {error.strerror}") from error
        return f"{name}:{bytes_hash(content)}"


def _read_list(path: Path) -> Iterator[tuple[int, object, object]]:
    """Row number, file and text of each row; rows are counted as the file's reader sees them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix == ".csv":
                rows = csv.DictReader(file, strict=True, restkey="")
                missing = {"file", "text"} - set(rows.fieldnames or [])
                if missing:
                    names = " and ".join(sorted(missing))
                    raise TrainingDataError(f"{path}: has no column {names} in its first line")
                check_header(path, rows.fieldnames or [])
                for number, row in enumerate(rows, start=2):
                    check_cells(path, number, row)
                    yield number, row["file"], row["text"]
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, *_json_row(path, number, line)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{path}: is not {path.suffix[1:]} in UTF-8 ({error})") from error


def _json_row(path: Path, number: int, line: str) -> tuple[object, object]:
    try:
        row = json.loads(line)
        return row.get("file"), row.get("text")
    except (ValueError, AttributeError, RecursionError) as error:
        raise TrainingDataError(f"{path}: row {number}: is no JSON object ({error})") from error


def to_pixels(image: Image.Image, image_px: int) -> Tensor:
    """`[3, image_px, image_px]` from -1 to 1: the shorter side fitted, the middle cut out."""
    pixels = torch.from_numpy(cut(image, Shape(image_px, image_px)).pixels).permute(2, 0, 1)
    return pixels.float() / 127.5 - 1.0


def texts_digest(pairs: ImagePairs) -> str:
    """A hash of all captions in order: the same data set, the same value."""
    digest = hashlib.sha256()
    for index in range(len(pairs)):
        digest.update(pairs.text(index).encode() + b"\0")
    return digest.hexdigest()[:16]
