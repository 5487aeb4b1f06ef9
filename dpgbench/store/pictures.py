"""The one way in which pictures are opened: every reader sees the same RGB of the same file.

Formats, depth, orientation, transparency and size limits are decided here and nowhere else.
Grids of tiles are in `images`.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dpgbench.errors import DataError, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP")  # no other decoder is started, whatever a file is called
KINDS = "PNG, JPEG or WebP"
MAX_PIXELS = 2**26  # 8192x8192: four tiles of 4096x4096

Source = Path | bytes | BinaryIO

_ORIENTATION = 0x0112  # the EXIF tag
_MAGIC = {
    b"%!PS": "EPS", b"\xc5\xd0\xd3\xc6": "EPS", b"GIF8": "GIF", b"BM": "BMP", b"8BPS": "PSD",
    b"II*\0": "TIFF", b"MM\0*": "TIFF", b"%PDF": "PDF", b"\0\0\x01\0": "ICO",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"<svg": "SVG", b"<?xml": "XML", b"<!DO": "HTML", b"<htm": "HTML", b"PK\x03\x04": "ZIP",
    b"version https://git-lfs": "Git LFS pointer (run 'git lfs pull')",
}  # fmt: skip
# Greyscale of 2 or 4 bits is spread over 8, colours of 16 bits are cut to 8; Pillow leaves the
# transparent value as the file has it.
_SPREAD = {"L;2": (85, 0), "L;4": (17, 0), "RGB;16B": (1, 8)}


def open_picture(source: Source) -> Image:
    """Return a picture, decoded, in RGB of 8 bits: turned as EXIF says, transparency over white.

    16 bits are cut to 8, palettes, greyscale, 1 bit and CMYK become RGB.

    Args:
        source: a file's path, its bytes, or a file open for reading.

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


def read_picture_size(source: Source) -> tuple[int, int]:
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


def _opened(source: Source, name: str) -> Any:
    from PIL import Image, UnidentifiedImageError

    file: Any = io.BytesIO(source) if isinstance(source, bytes) else source
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


def _name(source: Source) -> str:
    if isinstance(source, os.PathLike):
        return Path(source).name
    given = getattr(source, "name", None)
    return Path(given).name if isinstance(given, str) else "in memory"


def _kind(source: Source) -> str:
    """Return what a file is that is no picture of the kinds that are read."""
    if isinstance(source, bytes):
        head = source[:32]
    elif isinstance(source, os.PathLike):
        with Path(source).open("rb") as file:
            head = file.read(32)
    else:
        source.seek(0)
        head = source.read(32)
    if not head:
        return "the file is empty"
    if head[4:8] == b"ftyp":
        found: str | None = "AVIF" if head[8:12].startswith(b"avi") else "HEIC or a video"
    else:
        found = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)
    return f"it is not {KINDS}" + (f" but {found}" if found else "")


def _orientation(image: Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none that can be read."""
    import PIL.Image

    try:  # the base class's method: a PNG's own would decode the picture first
        return int(PIL.Image.Image.getexif(image).get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF turns nothing
        return 1


def _turned(image: Image) -> Image:
    from PIL.Image import Transpose

    method = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _has_late_exif(image: Any) -> bool:
    """Return whether a PNG has EXIF or text after its pixels, where its header does not show it."""
    file, pixels_seen = image.fp, False
    place = file.tell()
    try:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            pixels_seen |= head[4:] == b"IDAT"
            if pixels_seen and head[4:] in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
        return False
    finally:
        file.seek(place)


def _mend_transparent_value(image: Any) -> None:
    """Bring the one transparent value of a PNG to the depth that Pillow decodes its pixels to."""
    value = image.info.get("transparency")
    rawmode = image.tile[0][3] if image.format == "PNG" and image.tile else None
    if value is None or not isinstance(rawmode, str) or rawmode not in _SPREAD:
        return
    factor, shift = _SPREAD[rawmode]
    if isinstance(value, int):
        image.info["transparency"] = value * factor >> shift
    elif isinstance(value, tuple):
        image.info["transparency"] = tuple(part * factor >> shift for part in value)


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
    if layered.getchannel("A").getextrema() == (255, 255):
        return layered.convert("RGB")
    white = PIL.Image.new("RGBA", layered.size, (255, 255, 255, 255))
    return PIL.Image.alpha_composite(white, layered).convert("RGB")
