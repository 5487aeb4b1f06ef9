"""Image grids: made from tiles, split into tiles, checked for size, written atomically."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError
from dpgbench.store.files import write_atomic
from dpgbench.store.pictures import FORMATS, read_picture_size
from dpgbench.store.pictures import open_picture as open_picture  # readers find it here too
from dpgbench.store.pictures import to_rgb as to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

ImageFiles = Path | tuple[Path, ...]
"""The image of an item: one file, a grid or a single picture; or a file a tile, in order."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
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
        raise DataError(f"the model gave {len(tiles)} images instead of {grid.num_images}")
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


def open_tiles(path: Path, grid: GridSpec | None) -> list[Image]:
    """Return the tiles of a grid, decoded, in RGB; without a grid the whole image is the tile.

    Raises:
        DataError: the file is missing, cut off, no image, or of another size than `grid`.
    """
    whole = open_picture(path)
    if grid is not None:
        check_size(path, whole.size, grid)
    return [whole] if grid is None else [whole.crop(box) for box in grid.boxes()]


def check_size(path: Path, size: tuple[int, int], grid: GridSpec) -> None:
    """Raise where an image of `size` is not the grid that was expected.

    Raises:
        DataError: says which size was expected.
    """
    if size != grid.size:
        raise DataError(
            f"image {path.name} is {size[0]}x{size[1]} px; expected {grid.size[0]}x{grid.size[1]} "
            f"({grid.num_images} of {grid.tile_width_px}x{grid.tile_height_px}); "
            "see --num-images and --tile-px"
        )


def is_whole(path: Path, grid: GridSpec) -> bool:
    """Return whether `path` is an intact image of the grid's size."""
    if read_size(path) != grid.size:
        return False
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            image.verify()
    except Exception:  # a damaged file can break a decoder in any way
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

    Raises:
        DataError: an item has two.
    """
    present = {path.name: path for path in folder.iterdir() if path.is_file()}
    found: dict[str, Path] = {}
    for item_id in item_ids:
        names = [item_id + suffix for suffix in SUFFIXES if item_id + suffix in present]
        if len(names) > 1:
            raise DataError(f"{folder} has {' and '.join(names)}; keep one image of {item_id}")
        if names:
            found[item_id] = present[names[0]]
    return found


def count_images(folder: Path) -> int:
    """Return how many image files a folder has, whatever their names."""
    return sum(path.suffix.lower() in SUFFIXES for path in folder.iterdir())


def infer_grid(paths: Sequence[Path], num_images: int, tile_px: int | None) -> GridSpec | None:
    """Return the grid that images hold: of `tile_px`, or of the most common size that fits.

    None where each image is one tile and nothing was said of its size: any will do.

    Raises:
        DataError: no image has a size that splits into `num_images` tiles.
    """
    if tile_px is not None:
        return GridSpec(num_images, tile_px, tile_px)
    if num_images == 1:
        return None
    sizes = Counter(size for path in paths if (size := read_size(path)))
    for size, _ in sizes.most_common():
        grid = GridSpec.of_image(num_images, size)
        if grid is not None:
            return grid
    seen = ", ".join(f"{width}x{height}" for (width, height), _ in sizes.most_common(3))
    raise DataError(
        f"no image splits into {num_images} equal tiles (sizes: {seen or 'no readable image'}); "
        "expected an even width and height for 4, an even width for 2; see --num-images"
    )
