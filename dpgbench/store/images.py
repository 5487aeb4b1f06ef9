"""Image grids: made from tiles, split into tiles, checked for size, written atomically."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpgbench.domain.spec import LAYOUTS, GridSpec, Layout, default_layout
from dpgbench.errors import DataError, counted, shortened
from dpgbench.store.files import write_atomic
from dpgbench.store.pictures import FORMATS, read_picture_size
from dpgbench.store.pictures import open_picture as open_picture  # noqa: PLC0414 - readers find it here too
from dpgbench.store.pictures import to_rgb as to_rgb  # noqa: PLC0414 - readers find it here too

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFiles = Path | tuple[Path, ...]
"""The image of an item: one file, a grid or a single picture; or a file a tile, in order."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
MAX_ASPECT = 1.9
"""Tiles longer than this are not assumed: two squares cut as one are 2, and 16:9 is 1.78."""
_PNG_COMPRESSION = 1  # noise hardly compresses; a higher level costs seconds a grid


def files_of(image: ImageFiles) -> tuple[Path, ...]:
    """Return the files of an item's image."""
    return image if isinstance(image, tuple) else (image,)


def join_tiles(tiles: Sequence[Image], grid: GridSpec) -> Image:
    """Return the grid image of `tiles`, in row-major order.

    Raises:
        DataError: the number of tiles or the size of one does not fit the grid.
    """
    from PIL import Image

    if len(tiles) != grid.num_images:
        raise DataError(
            f"the model gave {counted(len(tiles), 'image')} instead of {grid.num_images}"
        )
    joined = Image.new("RGB", grid.size)
    for tile, box in zip(tiles, grid.boxes(), strict=True):
        if tile.size != (grid.tile_width_px, grid.tile_height_px):
            raise DataError(
                f"the model gave an image of {tile.size[0]}x{tile.size[1]} px instead of "
                f"{grid.tile_width_px}x{grid.tile_height_px}"
            )
        joined.paste(to_rgb(tile), box[:2])
    return joined


def single_colour_tiles(tiles: Sequence[Image]) -> list[int]:
    """Return the positions, from 0, of tiles whose pixels are all alike: black ones, mostly."""
    return [position for position, tile in enumerate(tiles) if _is_one_colour(tile)]


def _is_one_colour(tile: Image) -> bool:
    red, green, blue = tile.convert("RGB").split()
    return all(len(set(band.getextrema())) == 1 for band in (red, green, blue))


def png_bytes(image: Image) -> bytes:
    """Return `image` as PNG; the same bytes for the same input."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_PNG_COMPRESSION)
    return buffer.getvalue()


def write_image(path: Path, data: bytes) -> None:
    """Put an encoded image at `path`, atomically; its folder never holds anything but images."""
    write_atomic(path, data, scratch=path.parent.parent)


def open_tiles(image: ImageFiles, grid: GridSpec | None) -> list[Image]:
    """Return the tiles of an item, decoded, in RGB; without a grid each file is one tile.

    Raises:
        DataError: a file is missing, cut off, no image, or of another size than `grid`.
    """
    if isinstance(image, tuple):
        return [tile for path in image for tile in open_tiles(path, grid)]
    whole = open_picture(image)
    if grid is None:
        return [whole]
    check_size(image, whole.size, grid)
    return [whole.crop(box) for box in grid.boxes()]


def check_size(path: Path, size: tuple[int, int], grid: GridSpec) -> None:
    """Raise where an image of `size` is not the grid that was expected.

    Raises:
        DataError: says which size was expected.
    """
    if size != grid.size:
        raise DataError(
            f"image {path.name} is {size[0]}x{size[1]} px; expected {grid.size[0]}x{grid.size[1]} "
            f"({grid}); see --layout, --num-images and --tile-px"
        )


def is_whole(path: Path, grid: GridSpec) -> bool:
    """Return whether `path` is an intact image of the grid's size."""
    if read_size(path) != grid.size:
        return False
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            image.verify()
    except Exception:  # noqa: BLE001 - a damaged file can break a decoder in any way
        return False
    return True


def read_size(path: Path) -> tuple[int, int] | None:
    """Return (width, height) of an image as it is seen, or None where it is not an image."""
    try:
        return read_picture_size(path)
    except DataError:
        return None


def find_images(folder: Path, item_ids: Iterable[str]) -> dict[str, Path]:
    """Return the image file of each item that has one: `<item_id>.png` (or jpg, jpeg, webp).

    Suffixes count in any case: `.PNG` and `.JpEg` are found.

    Raises:
        DataError: an item has two.
    """
    present = ImageListing(folder)
    found = {item_id: present.find(item_id) for item_id in item_ids}
    return {item_id: path for item_id, path in found.items() if path is not None}


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
    found: dict[str, list[Path]] = {}
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                found.setdefault(path.name[: -len(path.suffix)], []).append(path)
    return found


def count_images(folder: Path) -> int:
    """Return how many image files a folder has, whatever their names."""
    return sum(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def infer_grid(
    paths: Sequence[Path],
    num_images: int,
    tile_px: int | None,
    layout: Layout | None = None,
    *,
    refuse_wide: bool = False,
) -> GridSpec | None:
    """Return the grid that images hold: of `tile_px`, or of the most common size that fits.

    None where each image is one tile and nothing was said of its size: any will do.

    Args:
        paths: image files.
        num_images: tiles in each.
        tile_px: side of a square tile, where it is known.
        layout: rows and columns; None assumes the usual ones.
        refuse_wide: refuse tiles far from square, which tell of another layout.

    Raises:
        DataError: no image has a size that splits into `num_images` tiles, or tiles are far from
            square.
    """
    if tile_px is not None:
        return GridSpec(num_images, tile_px, tile_px, layout or default_layout(num_images))
    if num_images == 1:
        return None
    assumed = layout or default_layout(num_images)
    sizes = Counter(size for path in paths if (size := read_size(path)))
    for size, _ in sizes.most_common():
        grid = GridSpec.of_image(num_images, size, assumed)
        if grid is not None:
            if refuse_wide and grid.aspect > MAX_ASPECT:
                raise DataError(_wide(grid))
            return grid
    if not sizes:
        raise DataError(f"none of {counted(len(paths), 'image')} can be read{_first_fault(paths)}")
    seen = ", ".join(f"{width}x{height}" for (width, height), _ in sizes.most_common(3))
    fits = shortened([str(other) for size in list(sizes)[:1] for other in fitting_layouts(size)])
    raise DataError(
        f"no image splits into {num_images} equal tiles (sizes: {seen}) "
        f"as {assumed}"
        + (f"; --layout {fits} would fit" if fits else "")
        + "; see --layout and --num-images"
    )


def _first_fault(paths: Sequence[Path]) -> str:
    """Return why the first of images that cannot be read cannot, as words to add."""
    try:
        read_picture_size(paths[0])
    except (DataError, IndexError) as error:
        return f", first: {error}" if paths else ""
    return ""


def fitting_layouts(size: tuple[int, int]) -> list[Layout]:
    """Return the layouts that split an image of `size` into tiles near square, squarest first."""
    grids = [GridSpec.of_image(layout.num_images, size, layout) for layout in LAYOUTS]
    near = [grid for grid in grids if grid is not None and grid.aspect <= MAX_ASPECT]
    return [grid.layout for grid in sorted(near, key=lambda grid: grid.aspect)]


def _wide(grid: GridSpec) -> str:
    width, height = grid.size
    fits = [str(layout) for layout in fitting_layouts(grid.size)]
    told = f"{' or '.join(fits)} would give tiles near square; " if fits else ""
    return (
        f"images of {width}x{height} px would be {grid}, and tiles that long tell of another "
        f"layout: {told}say --layout ROWSxCOLUMNS (--layout {grid.layout} if it is right)"
    )
