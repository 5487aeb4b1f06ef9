"""Encoded pictures of clients to tiles, within limits; opened as the command line opens files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpgbench.domain.spec import GridSpec, find_layout
from dpgbench.errors import DataError, one_line
from dpgbench.server.limits import MEGAPIXEL, Limits, RefusedRequestError
from dpgbench.store.images import open_picture, read_picture_size

if TYPE_CHECKING:
    from PIL.Image import Image


def check_size(data: bytes, layout: str | None, where: str, limits: Limits) -> int:
    """Return how many megapixels a picture has begun, by its header alone.

    Args:
        data: the encoded picture.
        layout: rows and columns of tiles in it; None where it is one.
        where: what messages call it.
        limits: that it must keep.

    Raises:
        RefusedRequestError: it is no picture, is too large, or does not split into its tiles.
    """
    try:
        width, height = read_picture_size(data)
    except DataError as error:
        raise _unreadable(where, error) from None
    side, pixels = max(width, height), width * height
    if side > limits.picture_side_px or pixels > limits.picture_pixels:
        raise RefusedRequestError(
            413,
            f"{where} has {width}x{height} px; at most {limits.picture_side_px} a side and "
            f"{limits.picture_pixels} in all are taken",
        )
    if layout is not None and _grid(layout, (width, height)) is None:
        raise RefusedRequestError(
            422, f"{where} has {width}x{height} px, which do not split into {layout} tiles"
        )
    return -(-pixels // MEGAPIXEL)


def open_tiles(data: bytes, layout: str | None, where: str) -> list[Image]:
    """Return the tiles of a picture, decoded, in RGB, row by row. It may run in any thread.

    Raises:
        RefusedRequestError: it cannot be read.
    """
    try:
        whole = open_picture(data)
    except DataError as error:
        raise _unreadable(where, error) from None
    grid = None if layout is None else _grid(layout, whole.size)
    return [whole] if grid is None else [whole.crop(box) for box in grid.boxes()]


def _grid(layout: str, size: tuple[int, int]) -> GridSpec | None:
    tiles = find_layout(layout)
    return GridSpec.of_image(tiles.num_images, size, tiles)


def _unreadable(where: str, error: DataError) -> RefusedRequestError:
    reason = one_line(str(error)).removeprefix("image in memory ")
    return RefusedRequestError(422, f"{where} {reason}")
