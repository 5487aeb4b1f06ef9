"""Where a report finds its pictures: by relative address, or as small copies inside the page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from dpgbench.errors import DataError
from dpgbench.store.images import open_picture, read_size
from dpgbench.store.run.images import picture_files
from dpgbench.store.run.scores import RunRecord

Embed = Literal["none", "thumbs"]
THUMB_PX = 384
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
