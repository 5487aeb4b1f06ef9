"""`images.jsonl`: which images a run drew or judged, by their hashes; the one reader and writer.

A line an image, appended when it was drawn or first judged; of several about one item the last
counts. Whether images are still those of the log is answered here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dpgbench.errors import DataError
from dpgbench.store.files import read_jsonl
from dpgbench.store.hashes import sha256_file
from dpgbench.store.image_files import ImageFiles, files_of
from dpgbench.store.typed_json import first_fault


class ImageLine(TypedDict):
    """An item's image.

    Attributes:
        item_id: whose image.
        sha256: of the file; of its files' hashes where each tile is a file; null where it failed.
        seeds: of each tile; null where it was not drawn here.
        seconds: that drawing took; null where nobody measured.
        error: why there is no image; null where there is one.
        single_colour: numbers, from 0, of tiles whose pixels are all alike.
        images_in_call: how many images the call drew that drew this one's, where other items' were
            among them, or not all of its own.
        files: hash of each of the item's files, by path below the folder of images.
    """

    item_id: str
    sha256: NotRequired[str | None]
    seeds: NotRequired[list[int] | None]
    seconds: NotRequired[float | None]
    error: NotRequired[str | None]
    single_colour: NotRequired[list[int]]
    images_in_call: NotRequired[int]
    files: NotRequired[dict[str, str] | None]


def image_line(
    item_id: str,
    *,
    sha256: str | None = None,
    seeds: list[int] | None = None,
    seconds: float | None = None,
    error: str | None = None,
) -> ImageLine:
    """Return the line of an image, its optional fields left out."""
    return {
        "item_id": item_id,
        "sha256": sha256,
        "seeds": seeds,
        "seconds": seconds,
        "error": error,
    }


def read_image_log(path: Path) -> dict[str, ImageLine]:
    """Return the last line about each item's image; no file has none.

    Raises:
        DataError: a line is not such a record.
    """
    lines: list[Any] = read_jsonl(path)
    fault = first_fault(lines, ImageLine)
    if fault:
        raise DataError(
            f"{path} line {fault[0] + 1} is not a record of an image (item_id, sha256, error): "
            f"{fault[1]}; remove that line to go on"
        )
    return {line["item_id"]: line for line in lines}


def changed_images(path: Path, hashes: Mapping[str, str]) -> list[str]:
    """Return the items, in order, whose image is another one than the log at `path` says.

    An item that the log has no hash for is not among them.

    Args:
        path: of the log.
        hashes: by item id, as `image_hashes` gives them.
    """
    lines = read_image_log(path)
    logged = {item_id: line.get("sha256") for item_id, line in lines.items()}
    return [item_id for item_id, sha in hashes.items() if logged.get(item_id) not in (None, sha)]


def image_hashes(images: Mapping[str, ImageFiles]) -> dict[str, str]:
    """Return the SHA-256 of each item's image; of its files' hashes, in order, if it has several.

    Files that are gone by now are left out.
    """
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        hashes = pool.map(_image_hash, images.values())
        return {item: sha for item, sha in zip(images, hashes, strict=True) if sha is not None}


def _image_hash(image: ImageFiles) -> str | None:
    try:
        hashes = [sha256_file(path) for path in files_of(image)]
    except OSError:
        return None
    if len(hashes) == 1:
        return hashes[0]
    return hashlib.sha256("".join(f"{sha}\n" for sha in hashes).encode()).hexdigest()
