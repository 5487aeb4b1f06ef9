"""Images: opened in the one way there is, made of tiles and split into them, written atomically.

Every reader sees the same RGB of the same file: formats, depth, orientation, transparency and size
limits are decided here and nowhere else. Which files an item's image is in: `image_files`.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dpgbench.domain.spec import LAYOUTS, GridSpec, Layout, default_layout
from dpgbench.errors import DataError, UsageError, counted, reason_of, shortened
from dpgbench.store.files import write_atomic
from dpgbench.store.image_files import EncodedFile, SeenImage

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

FORMATS = ("PNG", "JPEG", "WEBP")  # no other decoder is started, whatever a file is called
KINDS = "PNG, JPEG or WebP"
MAX_PIXELS = 2**26  # 8192x8192: four tiles of 4096x4096

MAX_ASPECT = 1.9
"""Tiles longer than this are not assumed: two squares cut as one are 2, and 16:9 is 1.78."""

ImageSource = Path | bytes | BinaryIO | EncodedFile
"""A file's path, its bytes, a file open for reading, or a file's bytes with its name."""

_ORIENTATION = 0x0112  # the EXIF tag
_MAGIC = {
    b"%!PS": "EPS", b"\xc5\xd0\xd3\xc6": "EPS", b"GIF8": "GIF", b"BM": "BMP", b"8BPS": "PSD",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF", b"\0\0\x01\0": "ICO",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"<svg": "SVG", b"<?xml": "XML", b"<!DO": "HTML", b"<htm": "HTML", b"PK\x03\x04": "ZIP",
    b"version https://git-lfs": "Git LFS pointer (run 'git lfs pull')",
}  # fmt: skip
_HEAD_BYTES = max(map(len, _MAGIC))
# Greyscale of 2 or 4 bits is spread over 8, colours of 16 bits are cut to 8; Pillow leaves the
# transparent value as the file has it.
_SPREAD = {"L;2": 85, "L;4": 17}
_PNG_COMPRESSION = 1  # noise hardly compresses; a higher level costs seconds a grid


def open_picture(source: ImageSource) -> Image:
    """Return a picture, decoded, in RGB of 8 bits: turned as EXIF says, transparency over white.

    16 bits are cut to 8, palettes, greyscale, 1 bit and CMYK become RGB.

    Args:
        source: a file's path, its bytes, with its name or without, or a file open for reading.

    Raises:
        DataError: the file is missing, cut off, animated, no PNG, JPEG or WebP whatever its name
            says, or has more than `MAX_PIXELS`.
    """
    name = _name(source)
    try:
        with _opened(source, name) as image:
            _mend_transparent_value(image)
            image.load()
            return to_rgb(image)
    except DataError as error:
        text = str(error)
        raise error if text.startswith("image") else DataError(f"image {name}: {text}") from None
    except Exception as error:  # noqa: BLE001 - a damaged file can break any decoder in any way
        raise DataError(f"image {name} cannot be read: {reason_of(error)}") from None


def open_plain_picture(source: ImageSource) -> Image:
    """Return a picture as `convert("RGB")` of Pillow gives it, for metrics that are made so.

    Alpha is dropped, not laid over white, and EXIF turns nothing. What is opened at all, and 16
    bits, are as with `open_picture`.

    Raises:
        DataError: as `open_picture`.
    """
    name = _name(source)
    try:
        with _opened(source, name) as image:
            deep = image.mode.startswith("I")
            rgb: Image = (_eight_bits(image) if deep else image).convert("RGB")
            rgb.info = {}
            return rgb
    except DataError as error:
        text = str(error)
        raise error if text.startswith("image") else DataError(f"image {name}: {text}") from None
    except Exception as error:  # noqa: BLE001 - as in open_picture
        raise DataError(f"image {name} cannot be read: {reason_of(error)}") from None


def to_rgb(image: Image) -> Image:
    """Return a picture in memory as RGB of 8 bits, as `open_picture` does for a file.

    What is turned is not turned again: the result has no EXIF.

    Raises:
        DataError: its mode has no range of values that is known (F; I beyond 16 bits).
    """
    turned = _turned(image)
    if turned.mode == "F" or turned.mode.startswith("I"):
        turned = _eight_bits(turned)
    if turned.mode in ("La", "RGBa"):
        turned = turned.convert("LA" if turned.mode == "La" else "RGBA")
    rgb = _over_white(turned) if turned.has_transparency_data else turned.convert("RGB")
    if rgb is image:  # convert gives the same object back for some subclasses
        rgb = image.copy()
    rgb.info = {}
    return rgb


def read_picture_size(source: ImageSource) -> tuple[int, int]:
    """Return (width, height) as `open_picture` would give it, from the header where that is enough.

    Raises:
        DataError: as `open_picture`, as far as a header tells.
    """
    name = _name(source)
    try:
        with _opened(source, name) as image:
            if image.format == "PNG" and _has_late_exif(image):
                image.load()
            width, height = image.size
            return (height, width) if _orientation(image) in (5, 6, 7, 8) else (width, height)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - as in open_picture
        raise DataError(f"image {name} cannot be read: {reason_of(error)}") from None


def _opened(source: ImageSource, name: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    data = source.data if isinstance(source, EncodedFile) else source
    file: Any = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        image = Image.open(file, formats=FORMATS)
    except FileNotFoundError:
        raise DataError(f"image {name} is missing") from None
    except UnidentifiedImageError:
        raise DataError(f"image {name} cannot be read: {_kind(source)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"image {name} cannot be read: {_TOO_LARGE}") from None
    width, height = image.size
    reason = None
    if width * height > MAX_PIXELS:
        reason = f"{width}x{height} px; {_TOO_LARGE}"
    elif getattr(image, "is_animated", False) and image.format != "MPO":  # a camera's preview
        reason = f"it is animated ({getattr(image, 'n_frames', 0)} frames); give one still picture"
    if reason:
        image.close()
        raise DataError(f"image {name} cannot be read: {reason}")
    return image


_TOO_LARGE = f"pictures of more than {MAX_PIXELS:,} pixels are not opened"


def _name(source: ImageSource) -> str:
    if isinstance(source, os.PathLike):
        return Path(source).name
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else "in memory"


def _kind(source: ImageSource) -> str:
    """Return what a file is that is no picture of the kinds that are read."""
    if isinstance(source, EncodedFile):
        head = source.data[:_HEAD_BYTES]
    elif isinstance(source, bytes):
        head = source[:_HEAD_BYTES]
    elif isinstance(source, os.PathLike):
        with Path(source).open("rb") as file:
            head = file.read(_HEAD_BYTES)
    else:
        source.seek(0)
        head = source.read(_HEAD_BYTES)
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp":
        kind: str | None = "AVIF" if head[8:12].startswith(b"avi") else "HEIC or a video"
    else:
        kind = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    return f"it is not {KINDS}" + (f" but {kind}" if kind else "")


def _orientation(image: Image) -> int | None:
    """Return the EXIF orientation, 1 to 8; None where there is none that can be read."""
    import PIL.Image

    try:  # the base class's method: a PNG's own would decode the picture first
        return int(PIL.Image.Image.getexif(image)[_ORIENTATION])
    except Exception:  # noqa: BLE001 - damaged EXIF turns nothing
        return None


def _turned(image: Image) -> Image:
    from PIL.Image import Transpose

    methods: dict[int | None, Transpose] = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    method = methods.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _has_late_exif(image: Any) -> bool:
    """Return whether a PNG has EXIF or text after its pixels, where its header does not show it."""
    file, pixels_seen = image.fp, False
    file.seek(8)  # Pillow seeks itself before it decodes
    while len(head := file.read(8)) == 8:
        pixels_seen |= head[4:] == b"IDAT"
        if pixels_seen and head[4:] in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
            return True
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _mend_transparent_value(image: Any) -> None:
    """Bring the one transparent value of a PNG to the depth that Pillow decodes its pixels to."""
    value = image.info.get("transparency")
    if not image.tile:  # as of WebP, before it is decoded
        return
    rawmode = image.tile[0][3]
    if isinstance(value, int) and rawmode in _SPREAD:
        image.info["transparency"] = value * _SPREAD[rawmode]
    elif isinstance(value, tuple) and rawmode == "RGB;16B":
        image.info["transparency"] = tuple(part >> 8 for part in value)


def _eight_bits(image: Image) -> Image:
    """Return a picture of 16-bit greyscale as 8-bit: the high byte, as Pillow cuts 16-bit RGB."""
    import numpy as np  # noqa: PLC0415 - for this kind of picture only
    import PIL.Image

    if image.mode == "F":
        raise DataError("a picture of floating-point values has no known range; give 8 bits")
    values = np.asarray(image).astype(np.int64)
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise DataError(f"a picture of mode {image.mode} with values beyond 16 bits; give 8 bits")
    # Mode I is any whole number: nothing beyond 255 means that they are bytes already.
    shift = 0 if image.mode == "I" and values.size and values.max() <= 0xFF else 8
    grey = PIL.Image.fromarray((values >> shift).astype(np.uint8))
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey.putalpha(PIL.Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    return grey


def _over_white(image: Image) -> Image:
    import PIL.Image

    layered = image.convert("RGBA")
    least, _ = layered.getchannel("A").getextrema()
    if least == 255:
        return layered.convert("RGB")
    white = PIL.Image.new("RGBA", layered.size, "white")
    return PIL.Image.alpha_composite(white, layered).convert("RGB")


def as_image(picture: Image | Tensor) -> Image:
    """Return `picture` as an RGB Pillow image.

    Args:
        picture: an image, or a tensor [3, H, W]: integers from 0 to 255, or floating point from 0
            to 1; up to half beyond, as resizing gives, is clipped.

    Raises:
        UsageError: a tensor of another shape, or with values on another scale.
    """
    import PIL.Image

    if isinstance(picture, PIL.Image.Image):
        return to_rgb(picture)
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise UsageError(f"an image tensor is [3, H, W], not {list(picture.shape)}")
    pixels = picture.detach().cpu()
    _check_scale(pixels)
    if pixels.is_floating_point():
        pixels = (pixels.float().clamp(0, 1) * 255).round()
    return PIL.Image.fromarray(pixels.byte().permute(1, 2, 0).numpy())


def _check_scale(pixels: Tensor) -> None:
    """Raise where values are on another scale: clipped or wrapped they would be another picture.

    Raises:
        UsageError: what the values are, and what is taken.
    """
    if not pixels.numel():
        raise UsageError(f"an image tensor is [3, H, W], not {list(pixels.shape)}")
    kind = str(pixels.dtype).removeprefix("torch.")
    low, high = (0, 255) if kind.startswith(("int", "uint")) else (-0.5, 1.5)
    values = pixels.double()
    least, most = values.min().item(), values.max().item()
    if kind == "bool" or not (low <= least and most <= high):  # nor where one is no number
        raise UsageError(
            f"an image tensor of {kind} has values from {least:g} to {most:g}; integers from 0 to "
            "255 or floating point from 0 to 1 are taken"
        )


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


def open_tiles(image: SeenImage, grid: GridSpec | None, *, plain_rgb: bool = False) -> list[Image]:
    """Return the tiles of an item, decoded, in RGB; without a grid each file is one tile.

    Args:
        image: file, or a file a tile.
        grid: how tiles lie in it.
        plain_rgb: open as `open_plain_picture` does.

    Raises:
        DataError: a file is missing, cut off, no image, or of another size than `grid`.
    """
    if isinstance(image, tuple):
        return [tile for path in image for tile in open_tiles(path, grid, plain_rgb=plain_rgb)]
    whole = open_plain_picture(image) if plain_rgb else open_picture(image)
    if grid is None:
        return [whole]
    check_grid_size(image, whole.size, grid)
    return [whole.crop(box) for box in grid.boxes()]


def check_grid_size(path: Path | EncodedFile, size: tuple[int, int], grid: GridSpec) -> None:
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
    seen: list[tuple[int, int]] = []
    faults: list[DataError] = []
    for path in paths:
        try:
            seen.append(read_picture_size(path))
        except DataError as fault:
            faults.append(fault)
    sizes = Counter(seen)
    for size, _ in sizes.most_common():
        grid = GridSpec.of_image(num_images, size, assumed)
        if grid is not None:
            if refuse_wide and grid.aspect > MAX_ASPECT:
                raise DataError(_wide(grid))
            return grid
    if not sizes:
        first = f", first: {faults[0]}" if faults else ""
        raise DataError(f"none of {counted(len(paths), 'image')} can be read{first}")
    common = ", ".join(f"{width}x{height}" for (width, height), _ in sizes.most_common(3))
    fits = shortened([str(other) for size in list(sizes)[:1] for other in fitting_layouts(size)])
    raise DataError(
        f"no image splits into {num_images} equal tiles (sizes: {common}) "
        f"as {assumed}"
        + (f"; --layout {fits} would fit" if fits else "")
        + "; see --layout and --num-images"
    )


def fitting_layouts(size: tuple[int, int]) -> list[Layout]:
    """Return the layouts that split an image of `size` into tiles near square, squarest first."""
    grids = [GridSpec.of_image(layout.num_images, size, layout) for layout in LAYOUTS]
    near = [grid for grid in grids if grid is not None and grid.aspect <= MAX_ASPECT]
    return [grid.layout for grid in sorted(near, key=lambda grid: grid.aspect)]


def _wide(grid: GridSpec) -> str:
    width, height = grid.size
    fits = [str(layout) for layout in fitting_layouts(grid.size)]
    hint = f"{' or '.join(fits)} would give tiles near square; " if fits else ""
    return (
        f"images of {width}x{height} px would be {grid}, and tiles that long tell of another "
        f"layout: {hint}say --layout ROWSxCOLUMNS (--layout {grid.layout} if it is right)"
    )
