"""PNG files that are inflated beforehand: the same picture, or the same trouble."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from dpgbench.errors import DataError
from dpgbench.report.page.quick_png import inflated_png
from dpgbench.store.image_files import EncodedFile
from dpgbench.store.images import open_picture


def png(mode: str = "RGB", size: tuple[int, int] = (61, 43), **options: Any) -> bytes:
    noise = Image.frombytes("RGB", size, random.Random(3).randbytes(3 * size[0] * size[1]))
    buffer = io.BytesIO()
    wide = Image.new("I;16", size, 700) if mode == "I;16" else noise.convert(mode)
    wide.save(buffer, "PNG", **options)
    return buffer.getvalue()


def outcome(content: bytes) -> object:
    """What opening gives: the picture, or what is wrong."""
    try:
        picture = open_picture(EncodedFile("x.png", content))
    except DataError as error:
        return str(error)
    return picture.size, picture.tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA"])
def test_a_picture_is_the_same_and_no_longer_compressed(mode: str) -> None:
    content = png(mode)
    inflated = inflated_png(content)
    assert inflated != content
    assert len(inflated) >= 61 * 43 * len(mode)
    assert outcome(inflated) == outcome(content)


def test_several_blocks_and_chunks_are_put_together_and_others_stay() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "a cube")
    exif = Image.Exif()
    exif[0x0112] = 6
    content = png(size=(400, 300), pnginfo=info, exif=exif, compress_level=1)
    assert content.count(b"IDAT") > 1
    inflated = inflated_png(content)
    assert inflated.count(b"IDAT") == 1
    assert outcome(inflated) == outcome(content)
    with Image.open(io.BytesIO(inflated)) as image:
        image.load()
        assert image.info["prompt"] == "a cube"
        assert image.size == (400, 300)
    assert open_picture(inflated).size == (300, 400)


@pytest.mark.parametrize("mode", ["P", "1", "I;16"])
def test_unusual_kinds_are_left_alone(mode: str) -> None:
    content = png(mode)
    assert inflated_png(content) == content


@pytest.mark.parametrize("content", [b"", b"no picture", png()[:-1], png()[:40], b"\xff\xd8\xff"])
def test_what_is_no_whole_png_is_left_alone(content: bytes) -> None:
    assert inflated_png(content) == content


@pytest.mark.parametrize("seed", range(30))
def test_damage_is_noticed_as_without(seed: int) -> None:
    rng = random.Random(seed)
    content = bytearray(png(rng.choice(["RGB", "RGBA", "L"])))
    for _ in range(rng.randrange(1, 4)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    assert outcome(inflated_png(bytes(content))) == outcome(bytes(content))
