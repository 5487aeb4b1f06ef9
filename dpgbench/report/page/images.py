"""Where a report finds its pictures: by relative address, or as small copies inside the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from dpgbench.report.page.thumbs import ThumbCache
from dpgbench.store.image_files import ImageFiles, files_of
from dpgbench.store.images import read_size
from dpgbench.store.run.images import item_pictures
from dpgbench.store.run.scores import RunRecord

Embed = Literal["none", "thumbs"]
END = ".png"


@dataclass(frozen=True)
class Picture:
    """A grid by its address relative to the report, and its size in pixels."""

    address: str
    width: int
    height: int


class PictureAddresses(NamedTuple):
    """The addresses of a run's grids, by place of the item; few words for many.

    Attributes:
        size: of the first grid, in pixels.
        base: with an item's id and `END` the address of each item but those in the next two.
        other: addresses of another form; of each tile where tiles are files of their own.
        none: places of items without a picture.
    """

    size: tuple[int, int]
    base: str
    other: Mapping[int, str | list[str]]
    none: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as the page's scripts read it."""
        other = {str(place): address for place, address in self.other.items()}
        return {
            "size": self.size,
            "base": self.base,
            "end": END,
            "other": other,
            "none": self.none,
        }


@dataclass(frozen=True)
class Pictures:
    """The pictures of runs as a page in `folder` shows them.

    Attributes:
        thumbs: small copies as data addresses by file, where they are embedded (`embedded`).
    """

    folder: Path
    embed: Embed = "none"
    thumbs: Mapping[Path, str] = field(default_factory=dict, repr=False)

    @classmethod
    def embedded(
        cls,
        folder: Path,
        runs: Iterable[tuple[RunRecord, Sequence[str]]],
        cache: ThumbCache | None = None,
    ) -> Pictures:
        """Return the pictures of some items of each run, copied small into the page.

        Args:
            folder: that the page will lie in.
            runs: each with the items whose pictures are shown.
            cache: where copies are kept; None for the user's.
        """
        files = [
            path
            for record, items in runs
            for image in item_pictures(record, items).values()
            for path in files_of(image)
        ]
        return cls(folder, "thumbs", (cache or ThumbCache()).thumbs(files))

    def of(self, record: RunRecord, items: Sequence[str]) -> PictureAddresses:
        """Return the addresses of a run's grids, by place of the item."""
        files = item_pictures(record, items)
        first = next((files_of(image)[0] for image in files.values()), None)
        size = (read_size(first) if first else None) or (1, 1)
        none = tuple(place for place, item in enumerate(items) if item not in files)
        there = [(place, item, files[item]) for place, item in enumerate(items) if item in files]
        if self.embed == "thumbs":
            thumbs = {n: _each(image, self._thumb) for n, _, image in there}
            return PictureAddresses(size, "", thumbs, none)
        if first is None:
            return PictureAddresses(size, "", {}, none)
        other = {
            place: _each(image, self._address)
            for place, item, image in there
            if image != first.with_name(f"{item}{END}")
        }
        return PictureAddresses(size, self._address(first.parent) + "/", other, none)

    def some(self, record: RunRecord, items: Sequence[str]) -> dict[str, Picture]:
        """Return the pictures of a few items, with their sizes; of single tiles the first."""
        pictures: dict[str, Picture] = {}
        for item, image in item_pictures(record, items).items():
            path = files_of(image)[0]
            size = read_size(path)
            if size is not None:
                inside = self.embed == "thumbs"
                address = self._thumb(path) if inside else self._address(path)
                pictures[item] = Picture(address, *size)
        return pictures

    def _thumb(self, path: Path) -> str:
        return self.thumbs.get(path, "")

    def _address(self, path: Path) -> str:
        """Return a path as a page in the folder names it, safe in an address."""
        folder = os.fspath(self.folder.resolve())
        return quote(Path(os.path.relpath(path.resolve(), folder)).as_posix())


def _each(image: ImageFiles, address: Callable[[Path], str]) -> str | list[str]:
    """Return the address of an item's grid, or of each of its tiles."""
    return address(image) if isinstance(image, Path) else list(map(address, image))
