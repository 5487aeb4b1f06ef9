"""Which files an item's image is in: named after the item, or where a pattern says.

Generators write a picture a file: ``{item_id}_{tile}.png``, ``{item_id}/samples/{tile:04d}.png``,
``{index:05d}/samples/{tile:04d}.png``, ``{index}.png``; or after prompts (`prompt_files`).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path, PurePosixPath

from dpgbench.domain.spec import TILE_COUNTS
from dpgbench.errors import DataError, UsageError, counted
from dpgbench.store.prompt_files import (
    CATEGORY,
    NUMBER,
    PROMPT,
    SUFFIXES,
    PromptFiles,
    check_prompt_pattern,
    prompt_pattern_of,
)

ImageFiles = Path | tuple[Path, ...]
"""The image of an item: one file, a grid or a single picture; or a file a tile, in order."""


@dataclass(frozen=True)
class EncodedFile:
    """A file's content, for a process that does not see the file."""

    name: str
    data: bytes


SeenImage = Path | EncodedFile | tuple[Path | EncodedFile, ...]
"""The image of an item, as `ImageFiles`, by its files or by their content."""

_TILES = ("tile", "tile0", "tile1")
_INDICES = ("index", "index0", "index1")
_FIELDS = ("item_id", *_INDICES, *_TILES)
_MOST_TILES = 64  # pictures of an item that are looked for
_HELP = (
    "a pattern is a path below the folder with {item_id} or {index}, and {tile} where each tile "
    "is a file of its own, such as '{item_id}/samples/{tile:04d}.png'"
)


def files_of(image: ImageFiles) -> tuple[Path, ...]:
    """Return the files of an item's image."""
    return image if isinstance(image, tuple) else (image,)


def encoded_image(image: SeenImage) -> SeenImage:
    """Return an item's image by its content.

    Raises:
        OSError: a file cannot be read.
    """
    return tuple(map(_encoded, image)) if isinstance(image, tuple) else _encoded(image)


def _encoded(file: Path | EncodedFile) -> EncodedFile:
    return file if isinstance(file, EncodedFile) else EncodedFile(file.name, file.read_bytes())


def with_full_paths(image: SeenImage) -> SeenImage:
    """Return an item's image by paths that do not depend on the process's folder."""
    return tuple(map(_full, image)) if isinstance(image, tuple) else _full(image)


def _full(file: Path | EncodedFile) -> Path | EncodedFile:
    return file if isinstance(file, EncodedFile) else file.absolute()


def find_images(folder: Path, item_ids: Iterable[str]) -> dict[str, Path]:
    """Return the image file of each item that has one: `<item_id>.png` (or jpg, jpeg, webp).

    Suffixes count in any case: `.PNG` and `.JpEg` are found.

    Raises:
        DataError: an item has two.
    """
    present = ImageListing(folder)
    paths = {item_id: present.find(item_id) for item_id in item_ids}
    return {item_id: path for item_id, path in paths.items() if path is not None}


class ImageListing:
    """The image files of a folder and those below it, each folder read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str, suffixes: Sequence[str] = SUFFIXES) -> Path | None:
        """Return the image called `name`, a path below the folder without its suffix, if any.

        Raises:
            DataError: there are two, in other kinds or letter cases.
        """
        target = self.folder / name
        if target.parent not in self._read:
            self._read[target.parent] = _by_stem(target.parent)
        there = self._read[target.parent].get(target.name, ())
        fitting = [path for path in there if path.suffix.lower() in suffixes]
        fitting.sort(key=lambda path: SUFFIXES.index(path.suffix.lower()))
        if len(fitting) > 1:
            names = " and ".join(path.name for path in fitting)
            raise DataError(f"{target.parent} has {names}; keep one image of {target.name}")
        return fitting[0] if fitting else None


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    paths: dict[str, list[Path]] = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                paths.setdefault(path.name[: -len(path.suffix)], []).append(path)
    return paths


def count_images(folder: Path) -> int:
    """Return how many image files a folder has, whatever their names."""
    return sum(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


@dataclass(frozen=True)
class ImagePattern:
    """A pattern of paths below a folder.

    ``{item_id}`` is the item's id, ``{index}`` its place in the benchmark from 0 (``{index1}``:
    from 1), ``{tile}`` the tile from 0 (``{tile1}``: from 1), with a width as in ``{tile:04d}``.
    ``{index0}`` and ``{tile0}`` are ``{index}`` and ``{tile}`` without a look whether the files
    count from 1. The suffix may be left out, and counts in any letter case. ``{prompt}`` goes with
    ``{number}``, as `prompt_files` has it.

    Raises:
        UsageError: it is no such pattern.
    """

    text: str

    def __post_init__(self) -> None:
        if self.of_prompts:
            check_prompt_pattern(self.text)
            return
        used = self._used
        unknown = [name for name in used if name not in _FIELDS]
        if unknown:
            shown = ", ".join(f"{{{name}}}" for name in unknown)
            raise UsageError(f"--pattern {self.text}: unknown {shown}; {_HELP}")
        if not {"item_id", *_INDICES} & set(used):
            lacks = "neither {item_id} nor {index}"
            raise UsageError(f"--pattern {self.text} has {lacks}; {_HELP}")
        path = PurePosixPath(self.text)
        if path.is_absolute() or ".." in path.parts or "\\" in self.text:
            raise UsageError(f"--pattern {self.text} leaves the folder; {_HELP}")
        self.path("item", 0, 0)

    @cached_property
    def _used(self) -> list[str]:
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            raise UsageError(f"--pattern {self.text}: {error}; {_HELP}") from None
        if any(conversion for *_, conversion in parts):
            raise UsageError(f"--pattern {self.text}: no '!' is understood; {_HELP}")
        for _, name, width, _ in parts:
            if name is not None and not re.fullmatch(r"0?\d{0,2}d?", width or ""):
                raise UsageError(f"--pattern {self.text}: ':{width}' is no width; {_HELP}")
        return [name for _, name, _, _ in parts if name is not None]

    @property
    def of_prompts(self) -> bool:
        """Whether files are named after prompts."""
        return "{" + PROMPT + "}" in self.text

    @property
    def has_tiles(self) -> bool:
        """Whether each tile is a file of its own."""
        return self.of_prompts or any(name in _TILES for name in self._used)

    def uses(self, name: str) -> bool:
        """Return whether ``{name}`` stands in the pattern."""
        return name in self._used

    def path(self, item_id: str, index: int, tile: int) -> str:
        """Return the path of an item's tile below the folder; index and tile count from 0."""
        numbers = {"index": index, "index0": index, "index1": index + 1}
        numbers |= {"tile": tile, "tile0": tile, "tile1": tile + 1, NUMBER: tile}
        try:
            names = {"item_id": item_id, PROMPT: f"<prompt of {item_id}>", CATEGORY: "<category>"}
            return self.text.format(**names, **numbers)
        except (ValueError, LookupError, AttributeError) as error:
            raise UsageError(f"--pattern {self.text}: {error}; {_HELP}") from None

    def find(self, listing: ImageListing, item_id: str, index: int, tile: int) -> Path | None:
        """Return the file of an item's tile, if it is there.

        Raises:
            DataError: there are two, in other kinds or letter cases.
        """
        path = PurePosixPath(self.path(item_id, index, tile))
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            return listing.find(str(path))
        kinds = (".jpg", ".jpeg") if suffix in (".jpg", ".jpeg") else (suffix,)
        return listing.find(str(path)[: -len(suffix)], kinds)


@dataclass(frozen=True)
class Patterned:
    """What a pattern finds.

    Attributes:
        images: by item id, of the items that have all their files.
        reasons: why the others have no image.
    """

    images: Mapping[str, ImageFiles]
    reasons: Mapping[str, str] = field(default_factory=dict)


def find_patterned(
    folder: Path,
    pattern: ImagePattern,
    items: Sequence[str],
    prompts: Mapping[str, str],
    num_images: int,
) -> Patterned:
    """Return the images of `items` by a pattern.

    Args:
        folder: that the pattern's paths are below.
        pattern: where the files of an item are.
        items: ids to find images of.
        prompts: of all items of the benchmark by id, in its order, for ``{index}``.
        num_images: files that an item must have where the pattern has ``{tile}``.

    Raises:
        DataError: a tile is there twice, or the files count from another number than the
            pattern does.
    """
    if pattern.of_prompts:
        return _find_by_prompts(folder, pattern, items, prompts, num_images)
    listing, order = ImageListing(folder), list(prompts)
    _check_counting(listing, pattern, order)
    places = {item_id: place for place, item_id in enumerate(order)}
    images: dict[str, ImageFiles] = {}
    reasons = {}
    for item_id in items:
        index = places[item_id]
        tiles = range(num_images if pattern.has_tiles else 1)
        tile_files = [pattern.find(listing, item_id, index, tile) for tile in tiles]
        files = tuple(path for path in tile_files if path is not None)
        if len(files) == len(tile_files):
            images[item_id] = files if pattern.has_tiles else files[0]
        else:
            missing = pattern.path(item_id, index, tile_files.index(None))
            reasons[item_id] = f"image {missing} is missing"
    return Patterned(images, reasons)


def _find_by_prompts(
    folder: Path,
    pattern: ImagePattern,
    items: Sequence[str],
    prompts: Mapping[str, str],
    num_images: int,
) -> Patterned:
    files = PromptFiles(folder, pattern.text)
    images: dict[str, ImageFiles] = {}
    reasons = {}
    for item_id in items:
        present = files.of_item(item_id, prompts[item_id])
        if len(present) >= num_images:
            images[item_id] = tuple(present[:num_images])
        else:
            reasons[item_id] = f"{len(present)} of {counted(num_images, 'image')} named after it"
    return Patterned(images, reasons)


def count_tiles(folder: Path, pattern: ImagePattern, prompts: Mapping[str, str]) -> int:
    """Return how many pictures the items have, where each is a file of its own.

    Raises:
        DataError: that number is not 1 to 10.
    """
    most, whose = _most_tiles(folder, pattern, prompts)
    if most in (0, *TILE_COUNTS):
        return most
    raise DataError(
        f"{folder} has {counted(most, 'picture')} of {whose} by --pattern {pattern.text}; "
        "say how many to take of each item: --num-images 1 to 10"
    )


def _most_tiles(folder: Path, pattern: ImagePattern, prompts: Mapping[str, str]) -> tuple[int, str]:
    """Return the most pictures that an item has, and which item that is."""
    most, whose = 0, ""
    if pattern.of_prompts:
        files = PromptFiles(folder, pattern.text)
        for item_id, prompt in prompts.items():
            if len(files.of_item(item_id, prompt)) > most:
                most, whose = len(files.of_item(item_id, prompt)), item_id
        return most, whose
    listing, order = ImageListing(folder), list(prompts)
    _check_counting(listing, pattern, order)
    for index, item_id in enumerate(order):
        # Up to the last one there: a gap is a missing picture, never a smaller number of them.
        there = [t for t in range(_MOST_TILES) if pattern.find(listing, item_id, index, t)]
        tiles = there[-1] + 1 if there else 0
        if tiles > most:
            most, whose = tiles, item_id
    return most, whose


def _check_counting(listing: ImageListing, pattern: ImagePattern, order: Sequence[str]) -> None:
    """Raise where files count from 1 and the pattern from 0, or the other way round."""
    last = len(order) - 1

    def there(text: str, *, index: int, tile: int) -> bool:
        """Whether a file of that number, whosever it is, is there."""
        other = ImagePattern(text)
        if pattern.uses("item_id"):
            return any(other.find(listing, item_id, index, tile) for item_id in order)
        return any(other.find(listing, "", place, tile) for place in _places(index, last))

    def refuse(name: str, other: str, start: int) -> DataError:
        return DataError(
            f"{listing.folder}: the files count from {start}; give --pattern "
            f"'{_renamed(pattern.text, name, other)}' ({{{name}0}} if they do not)"
        )

    for name in ("tile", "tile1"):
        if not pattern.uses(name):
            continue
        zero = _renamed(pattern.text, name, "tile0")
        has_zero = there(zero, index=-1, tile=0)
        if name == "tile1" and has_zero:
            raise refuse("tile1", "tile", 0)
        if name == "tile" and not has_zero and there(zero, index=-1, tile=1):
            raise refuse("tile", "tile1", 1)
    for name in ("index", "index1"):
        if not pattern.uses(name):
            continue
        zero = _renamed(pattern.text, name, "index0")
        tile = 1 if pattern.uses("tile1") else 0
        zero = _renamed(zero, "tile1", "tile0")
        has_zero = there(zero, index=0, tile=tile)
        if name == "index1" and has_zero:
            raise refuse("index1", "index", 0)
        if name == "index" and not has_zero and there(zero, index=1, tile=tile):
            raise refuse("index", "index1", 1)


def _places(index: int, last: int) -> Sequence[int]:
    return range(last + 2) if index < 0 else (index,)


def _renamed(text: str, name: str, other: str) -> str:
    for end in "}:":
        text = text.replace(f"{{{name}{end}", f"{{{other}{end}")
    return text


def suggest_pattern(folder: Path, prompts: Mapping[str, str]) -> str | None:
    """Return the pattern of the known ones by which most items of a folder are found.

    Args:
        folder: of images, in folders of their own or not.
        prompts: of all items of the benchmark by id, in its order.
    """
    if by_prompts := prompt_pattern_of(folder, prompts):
        return by_prompts
    order = list(prompts)
    present = {
        path.relative_to(folder).with_suffix("").as_posix(): path.suffix.lower()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
    }
    if not present:
        return None
    best: tuple[int, str] | None = None
    for text in _known_patterns():
        pattern = ImagePattern(text)
        first = [pattern.path(item_id, index, 0) for index, item_id in enumerate(order)]
        fitting = [name for name in first if name in present]
        if fitting and (best is None or len(fitting) > best[0]):
            best = (len(fitting), text + present[fitting[0]])
    return best and best[1]


def _known_patterns() -> list[str]:
    """Return patterns without suffix, those whose numbers count from 0 first."""
    widths = ("", ":02d", ":03d", ":04d", ":05d", ":06d")
    texts = []
    for index, tile in product(("index", "index1"), ("tile", "tile1")):
        items = ["{item_id}", *(f"{{{index}{width}}}" for width in widths)]
        numbers = [f"{{{tile}{width}}}" for width in widths]
        joints = ("_", "-", "/", "/samples/", "/images/")
        for item in items:
            texts += [f"{item}{joint}{number}" for joint in joints for number in numbers]
        texts += [f"{folder}{item}" for folder in ("", "images/", "samples/") for item in items]
    return list(dict.fromkeys(texts))


def count_strays(folder: Path, pattern: ImagePattern | None, used: int) -> int:
    """Return how many images of a folder are not among `used` ones that belong to items."""
    if pattern is None:
        return count_images(folder) - used
    return sum(p.suffix.lower() in SUFFIXES for p in folder.rglob("*") if p.is_file()) - used
