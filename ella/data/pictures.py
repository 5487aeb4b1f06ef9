"""Pictures as training sees them: opened, turned, laid over white, cut to a shape.

Nothing here needs torch.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP")  # no other decoder is started, whatever a file is called
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_ORIENTATION = 0x0112  # of EXIF; 5 to 8 lie on their side


class Shape(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


class Cut(NamedTuple):
    """A picture as it is trained on.

    Attributes:
        pixels: `[height, width, 3]`, 0 to 255.
        original: The picture's size before.
        corner: Top and left edge of the part cut out, in pixels of the picture once it is scaled.
    """

    pixels: NDArray[np.uint8]
    original: Shape
    corner: tuple[int, int]


def decode(content: bytes) -> Image.Image:
    """The picture in a file's bytes, as `as_rgb` gives it.

    Raises:
        Exception: Whatever a decoder raises: a damaged file can break any in any way.
    """
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        return as_rgb(image)


def as_rgb(image: Image.Image) -> Image.Image:
    """`image` as it is meant to be seen: turned as EXIF says, 16 bits scaled, laid over white.

    Raises:
        ValueError: If its values have no known range (modes F and I beyond 16 bits), or if it is
            animated.
    """
    if getattr(image, "is_animated", False) and getattr(image, "format", "") in ("PNG", "WEBP"):
        raise ValueError("it is animated; one still picture is needed")
    seen = ImageOps.exif_transpose(image)
    if seen.mode == "F" or seen.mode.startswith("I"):
        values = np.asarray(seen).astype(np.int64)
        if seen.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError(f"a picture of mode {seen.mode} has no known range of values")
        shift = 0 if seen.mode == "I" and values.max() <= 0xFF else 8
        seen = Image.fromarray((values >> shift).astype(np.uint8))
    if not seen.has_transparency_data:
        return seen.convert("RGB")
    layered = seen.convert("RGBA")
    white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layered).convert("RGB")


def size_of(file: IO[bytes]) -> tuple[int, int]:
    """Width and height that a picture says it has, as it is seen; (0, 0) if it says nothing."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            width, height = image.size
            turned = _orientation(image) in range(5, 9)
    except Exception:  # noqa: BLE001 - a damaged file can break any decoder in any way
        return 0, 0
    return (height, width) if turned else (width, height)


def _orientation(image: Image.Image) -> int:
    """As EXIF says, where it stands before the picture: what comes behind it is not read."""
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1  # or `getexif` would decode the whole picture
    return int(image.getexif().get(_ORIENTATION, 1))


def cut(image: Image.Image, shape: Shape) -> Cut:
    """The picture scaled until it covers `shape`, the middle cut out."""
    rgb = as_rgb(image)
    fitted = ImageOps.fit(rgb, (shape.width, shape.height), method=Image.Resampling.LANCZOS)
    original = Shape(rgb.height, rgb.width)
    return Cut(np.array(fitted), original, corner_of(original, shape))


def corner_of(original: Shape, shape: Shape) -> tuple[int, int]:
    """Top and left edge of what `cut` keeps, in pixels of the picture once it is scaled."""
    if not (original.height and original.width):
        return 0, 0
    scale = max(shape.width / original.width, shape.height / original.height)
    top = max(0, round((original.height * scale - shape.height) / 2))
    left = max(0, round((original.width * scale - shape.width) / 2))
    return top, left


@dataclass(frozen=True)
class Buckets:
    """The shapes that pictures are cut to: each picture to the one nearest to its own.

    Attributes:
        image_px: Side of the square; no shape has more pixels.
        largest_aspect: Of the longer side to the shorter one; 1: squares alone.
        step_px: Sides are multiples of it, but for the square's.
    """

    image_px: int
    largest_aspect: float = 1.0
    step_px: int = 64

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """The square first, then the others by width."""
        square = Shape(self.image_px, self.image_px)
        if self.largest_aspect <= 1:
            return (square,)
        others = set()
        limit = int(self.image_px * self.largest_aspect)
        for width in range(self.step_px, limit + 1, self.step_px):
            height = self.image_px**2 // width // self.step_px * self.step_px
            if height and max(width / height, height / width) <= self.largest_aspect:
                others.add(Shape(height, width))
        return (square, *sorted(others - {square}, key=lambda shape: shape.width / shape.height))

    @cached_property
    def _aspects(self) -> NDArray[np.float64]:
        return np.log([shape.width / shape.height for shape in self.shapes])

    def numbers(
        self, widths: Sequence[int] | NDArray[np.int64], heights: Sequence[int] | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """For each picture the number of its shape; 0, the square, where a size is not known."""
        wide, high = np.asarray(widths, np.float64), np.asarray(heights, np.float64)
        sized = (wide > 0) & (high > 0)
        aspects = np.log(np.where(sized, wide, 1) / np.where(sized, high, 1))
        nearest = np.abs(aspects[:, None] - self._aspects[None, :]).argmin(1)
        return np.where(sized, nearest, 0)
