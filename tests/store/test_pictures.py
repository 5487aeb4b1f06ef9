"""Pictures: each file, of whatever depth, mode and orientation, is seen as it is meant."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dpgbench.errors import DataError
from dpgbench.store.images import as_image, open_picture, read_picture_size, read_size, to_rgb

_BACK = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Transpose that undoes each


def scene() -> Image.Image:
    """A picture that shows how it is turned."""
    image = Image.new("RGB", (12, 8), (250, 240, 10))
    ImageDraw.Draw(image).rectangle((0, 0, 4, 2), (20, 30, 200))
    ImageDraw.Draw(image).point((11, 7), (200, 0, 0))
    return image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, color: int, rows: bytes, *chunks: bytes) -> bytes:
    """A PNG from raw rows (each with its filter byte) and chunks before its pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    parts = [(b"IHDR", header), *((c[:4], c[4:]) for c in chunks), (b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in [*parts, (b"IEND", b"")]
    )


def same(opened_image: Image.Image, expected: Image.Image) -> bool:
    return (opened_image.mode, opened_image.size) == ("RGB", expected.size) and (
        opened_image.tobytes() == expected.tobytes()
    )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_every_orientation_is_turned_once(tmp_path: Path, kind: str, orientation: int) -> None:
    image, back = scene(), _BACK[orientation]
    lying = image if back is None else image.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0}
    path = tmp_path / "a.png"
    path.write_bytes(saved(lying, kind, exif=exif, **({} if kind == "PNG" else options)))
    opened_image = open_picture(path)
    difference = np.abs(np.asarray(opened_image, int) - np.asarray(image, int))
    assert difference.max() <= (40 if kind == "JPEG" else 0)
    assert same(to_rgb(opened_image), opened_image)
    assert read_size(path) == image.size
    with Image.open(path) as opened:  # in memory, as a notebook has it
        assert same(as_image(opened), opened_image)


def test_an_orientation_behind_the_pixels_is_seen() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = saved(scene())
    block = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = struct.pack(">I", len(block)) + b"eXIf" + block
    chunk += struct.pack(">I", zlib.crc32(b"eXIf" + block))
    late = data[:-12] + chunk + data[-12:]
    assert open_picture(late).size == (8, 12)
    assert read_picture_size(late) == (8, 12)


def test_a_size_is_read_from_the_header_without_the_pixels() -> None:
    assert read_picture_size(saved(scene())[:60]) == (12, 8)


def test_transparency_lies_over_white() -> None:
    hidden = scene().convert("RGBA")
    hidden.putalpha(Image.linear_gradient("L").resize(hidden.size))
    white = Image.new("RGB", hidden.size, "white")
    blended = Image.composite(scene(), white, hidden.getchannel("A"))
    for kind in ("PNG", "WEBP"):
        data = saved(hidden, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
        opened_image = np.asarray(open_picture(data), int)
        assert np.abs(opened_image - np.asarray(blended, int)).max() <= 1
    clear = Image.new("RGBA", (3, 3), (10, 20, 30, 0))
    for mode in ("RGBA", "LA", "RGBa", "La"):
        step = {"La": "LA"}.get(mode, "RGBA")
        assert to_rgb(clear.convert(step).convert(mode)).getpixel((1, 1)) == (255, 255, 255), mode
    palette = Image.new("P", (3, 3), 1).convert("PA")
    palette.putalpha(0)
    assert palette.mode == "PA"
    assert to_rgb(palette).getpixel((1, 1)) == (255, 255, 255)


def test_one_transparent_value_lies_over_white() -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([1, 2, 3, 9, 9, 9])
    for image, value in (
        (palette, 1),
        (palette, b"\xff\x00"),
        (Image.new("L", (4, 4), 77), 77),
        (Image.new("RGB", (4, 4), (7, 8, 9)), (7, 8, 9)),
        (Image.new("1", (4, 4), 0), 0),
    ):
        opened_image = open_picture(saved(image, transparency=value))
        assert opened_image.getpixel((0, 0)) == (255, 255, 255), (image.mode, value)
    value = struct.pack(">H", 0x1234)
    grey = png(1, 1, 16, 0, b"\0" + value, b"tRNS" + value)
    color = png(1, 1, 16, 2, b"\0" + value * 3, b"tRNS" + value * 3)
    two_bits = png(2, 1, 2, 0, b"\0\x90", b"tRNS\0\x02")  # values 2 and 1; 2 is clear
    assert open_picture(grey).getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(color).getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(two_bits).getpixel((0, 0)) == (255, 255, 255)
    assert open_picture(two_bits).getpixel((1, 0)) == (85, 85, 85)


@given(st.integers(0, 255), st.sampled_from([256, 257]))
def test_sixteen_bits_are_scaled_to_eight(value: int, factor: int) -> None:
    deep = np.full((2, 2), value * factor, np.uint16)
    want = (value, value, value)
    assert open_picture(saved(Image.fromarray(deep))).getpixel((0, 0)) == want
    row = b"\0" + struct.pack(">HHH", *[value * factor] * 3)
    assert open_picture(png(1, 1, 16, 2, row)).getpixel((0, 0)) == want
    wide = Image.fromarray(np.array([[value * factor, 65280]], np.int32))
    assert to_rgb(wide).getpixel((0, 0)) == want


def test_palette_one_bit_grey_and_cmyk_are_the_colors_that_they_stand_for() -> None:
    image = scene()
    assert same(open_picture(saved(image.quantize(8))), image)
    assert same(open_picture(saved(image.convert("L"))), image.convert("L").convert("RGB"))
    assert same(open_picture(saved(image.convert("1"))), image.convert("1").convert("RGB"))
    printed = open_picture(saved(image.convert("CMYK"), "JPEG", quality=100, subsampling=0))
    assert np.abs(np.asarray(printed, int) - np.asarray(image, int)).max() <= 40


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "TGA", "PDF", "EPS", "AVIF"])
def test_other_formats_are_refused_whatever_they_are_called(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "few_000.png"
    path.write_bytes(saved(scene(), kind))
    with pytest.raises(DataError, match=r"image few_000\.png cannot be read: it is not PNG, JPEG"):
        open_picture(path)
    assert read_size(path) is None


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    def refused(data: bytes, reason: str) -> None:
        path = tmp_path / "few_000.webp"
        path.write_bytes(data)
        with pytest.raises(DataError, match=rf"image few_000\.webp cannot be read: .*{reason}"):
            open_picture(path)

    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    refused(b"", "empty")
    refused(b"\x89PNG\r\n\x1a\n", "")
    refused(saved(frames[0], save_all=True, append_images=frames[1:]), "animated")
    refused(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "animated")
    refused(png(9000, 9000, 8, 0, b"\0"), "more than 67,108,864 pixels")
    refused(png(60000, 60000, 8, 0, b"\0"), "more than 67,108,864 pixels")
    noise = Image.effect_noise((64, 64), 50).convert("RGB")
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = saved(noise, kind)
        refused(whole[: len(whole) // 2], "")
    with pytest.raises(DataError, match="floating-point"):
        to_rgb(Image.new("F", (2, 2)))
    with pytest.raises(DataError, match=r"image gone\.png is missing"):
        open_picture(tmp_path / "gone.png")


@given(st.data(), st.sampled_from(["PNG", "JPEG", "WEBP"]))
def test_a_damaged_file_is_a_picture_or_a_data_error(data: st.DataObject, kind: str) -> None:
    whole = bytearray(saved(scene(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    for read in (open_picture, read_picture_size):
        try:
            read(bytes(whole))
        except DataError as error:
            assert "image in memory" in str(error)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "but HEIC or a video"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "but AVIF"),
        (b"\0\0\0\x18fty_heic\0\0\0\0", "WebP"),
    ],
)
def test_what_phones_and_browsers_write_is_named(head: bytes, name: str) -> None:
    with pytest.raises(DataError) as raised:
        open_picture(head)
    assert str(raised.value).endswith(name)
