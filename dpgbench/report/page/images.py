"""Where a report finds its pictures: by relative address, or as small copies inside the page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from dpgbench.errors import DataError, ResumeMismatchError, counted, shortened
from dpgbench.store.images import ImageFiles, files_of, find_images, open_picture, read_size
from dpgbench.store.run.scores import RunRecord
from dpgbench.store.verify import mismatched_images

Embed = Literal["none", "thumbs"]
THUMB_PX = 384
UNVERIFIED = "its pictures were not checked against their hashes (--no-verify)"
_QUALITY = 60


@dataclass(frozen=True)
class Picture:
    """A grid by its address relative to the report, and its size in pixels."""

    address: str
    width: int
    height: int


@dataclass(frozen=True)
class Pictures:
    """The pictures of runs as a page in `folder` shows them."""

    folder: Path
    embed: Embed = "none"

    def of(self, record: RunRecord, items: Sequence[str]) -> dict[str, Any]:
        """Return the addresses of a run's grids, by place of the item; few words for many.

        ``base`` + id + ``end`` is the address of each item but those in ``other`` and ``none``.
        """
        found = picture_files(record, items)
        first = next(iter(found.values()), None)
        size = (read_size(first) if first else None) or (1, 1)
        told: dict[str, Any] = {"size": size, "base": "", "end": ".png", "other": {}}
        told["none"] = [place for place, item in enumerate(items) if item not in found]
        if self.embed == "thumbs":
            told["other"] = {str(n): thumb(found[i]) for n, i in enumerate(items) if i in found}
            return told
        if first is not None:
            told["base"] = self._address(first.parent) + "/"
        for place, item in enumerate(items):
            if item in found and first and found[item] != first.with_name(f"{item}.png"):
                told["other"][str(place)] = self._address(found[item])
        return told

    def some(self, record: RunRecord, items: Sequence[str]) -> dict[str, Picture]:
        """Return the pictures of a few items, with their sizes."""
        told: dict[str, Picture] = {}
        for item, path in picture_files(record, items).items():
            size = read_size(path)
            if size is not None:
                inside = self.embed == "thumbs"
                told[item] = Picture(thumb(path) if inside else self._address(path), *size)
        return told

    def _address(self, path: Path) -> str:
        """Return a path as a page in the folder names it, safe in an address."""
        folder = os.fspath(self.folder.resolve())
        return quote(Path(os.path.relpath(path.resolve(), folder)).as_posix())


def picture_files(record: RunRecord, items: Sequence[str]) -> Mapping[str, Path]:
    """Return the grid of each item that has one."""
    images = _folder(record)
    if not images.is_dir():
        return {}
    if not record.manifest.identity.get("pattern"):
        return find_images(images, items)
    logged = record.run.image_records()
    files = {item: list(logged.get(item, {}).get("files") or ()) for item in items}
    return {item: images / names[0] for item, names in files.items() if len(names) == 1}


def _folder(record: RunRecord) -> Path:
    """Return where a run's pictures lie: in itself, or where other people's were found."""
    images = record.run.images
    elsewhere = record.manifest.generation.get("folder")
    if not images.is_dir() and record.manifest.kind == "images" and isinstance(elsewhere, str):
        images = Path(elsewhere)
    return images


def verified(record: RunRecord, *, verify: bool) -> RunRecord:
    """Return a run whose pictures are those of its log, or with a note that nobody looked.

    Raises:
        ResumeMismatchError: names pictures whose hashes are others than the log's.
    """
    files = _logged_images(record)
    if not files:
        return record
    if not verify:
        return replace(record, notes=(*record.notes, UNVERIFIED))
    changed = mismatched_images(record.run, files)
    if changed:
        raise ResumeMismatchError(
            f"{record.run.path}: {counted(len(changed), 'picture')} changed since drawing or "
            f"judging (other hashes than in {record.run.images_log.name}): {shortened(changed)}; "
            "bring them back, or leave the check out with --no-verify"
        )
    return record


def _logged_images(record: RunRecord) -> dict[str, ImageFiles]:
    """Return the files of each item whose hash the run's log has, where they are there."""
    records = record.run.image_records()
    logged = {item: entry for item, entry in records.items() if entry.get("sha256")}
    found: dict[str, ImageFiles] = dict(picture_files(record, list(logged))) if logged else {}
    folder = _folder(record)
    for item, entry in logged.items():
        names = entry.get("files")  # of an item whose pictures are files of their own
        if isinstance(names, Mapping) and names:
            found[item] = tuple(folder / str(name) for name in names)
    return {item: files for item, files in found.items() if files_of(files)[0].exists()}


def thumb(path: Path) -> str:
    """Return a small WebP copy of an image as a data address; nothing where it is no image."""
    try:
        small = open_picture(path)
    except DataError:
        return ""
    small.thumbnail((THUMB_PX, THUMB_PX))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
