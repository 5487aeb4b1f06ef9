"""Pictures at the edges: the largest, the deepest, the damaged, those behind an open file.

Each test here is a table that takes milliseconds.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dpgbench.domain.spec import GridSpec, Layout
from dpgbench.errors import DataError, UsageError
from dpgbench.store.image_files import EncodedFile
from dpgbench.store.images import (
    as_image,
    fitting_layouts,
    infer_grid,
    is_whole,
    join_tiles,
    open_picture,
    open_plain_picture,
    open_tiles,
    png_bytes,
    read_picture_size,
    read_size,
    single_colour_tiles,
    to_rgb,
    write_image,
)

WHITE = (255, 255, 255)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    size: tuple[int, int], depth: int, colour: int, row: bytes, *before: bytes, after: bytes = b""
) -> bytes:
    """A PNG of one row, with whole chunks before and after its pixels."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(before)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return start + pixels + after + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colours(image: Image.Image) -> list[object]:
    assert (image.mode, image.info) == ("RGB", {})
    return [image.getpixel((x, 0)) for x in range(image.width)]


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return chunk(b"eXIf", block.tobytes().removeprefix(b"Exif\0\0"))


def test_the_largest_picture_that_is_opened_has_67_108_864_pixels() -> None:
    assert read_picture_size(png((8192, 8192), 8, 0, b"")) == (8192, 8192)
    assert read_picture_size(png((2**26, 1), 8, 0, b"")) == (2**26, 1)
    for size in ((8192, 8193), (2**26 + 1, 1)):
        with pytest.raises(DataError, match=f"{size[0]}x{size[1]} px; .* 67,108,864 pixels"):
            read_picture_size(png(size, 8, 0, b""))


def test_one_see_through_value_of_any_depth() -> None:
    def see_through(*values: int) -> bytes:
        return chunk(b"tRNS", b"".join(struct.pack(">H", value) for value in values))

    cases = [
        # bits, kind of colour, pixels, the see-through value, what is seen
        (2, 0, b"\xe4", [1], [(255,) * 3, (170,) * 3, WHITE, (0,) * 3]),
        (4, 0, b"\x35", [5], [(51,) * 3, WHITE]),
        (8, 0, b"\x4d\x4e", [0x4D], [WHITE, (0x4E,) * 3]),
        (16, 0, struct.pack(">HH", 0x1234, 0x9A00), [0x1234], [WHITE, (0x9A,) * 3]),
        (16, 0, struct.pack(">HH", 0x1234, 0x0034), [0x1234], [WHITE, (0,) * 3]),
        (8, 2, bytes([1, 2, 3, 1, 2, 4]), [1, 2, 3], [WHITE, (1, 2, 4)]),
        (16, 2, struct.pack(">6H", *[0x0180] * 3, *[0x0300] * 3), [0x0180] * 3, [WHITE, (3,) * 3]),
        (16, 2, struct.pack(">6H", *[0x0180] * 3, *[0x0300] * 3), [0x0300] * 3, [(1,) * 3, WHITE]),
    ]
    for depth, colour, row, values, seen in cases:
        picture = open_picture(png((len(seen), 1), depth, colour, row, see_through(*values)))
        assert colours(picture) == seen, (depth, colour, values)
    plain = png((2, 1), 8, 0, b"\x4d\x4e")
    assert colours(open_picture(plain)) == [(0x4D,) * 3, (0x4E,) * 3]
    assert open_picture(saved(Image.new("RGB", (2, 2), WHITE), "WEBP")).size == (2, 2)


def test_deep_greys_are_cut_to_their_high_byte() -> None:
    def grey(values: list[int], mode: str) -> list[object]:
        kind = np.uint16 if mode == "I;16" else np.int32
        image = Image.fromarray(np.array([values], kind))
        assert image.mode == mode
        return [to_rgb(image).getpixel((x, 0))[0] for x in range(len(values))]

    assert grey([0, 255, 256, 65535], "I;16") == [0, 0, 1, 255]
    assert grey([0, 254], "I;16") == [0, 0]  # 16 bits, however dark
    assert grey([0, 100, 255], "I") == [0, 100, 255]  # bytes already
    assert grey([0, 100, 256], "I") == [0, 0, 1]
    assert grey([0, 65535], "I") == [0, 255]
    for wrong in ([-1, 5], [0, 65536]):
        with pytest.raises(DataError, match="mode I with values beyond 16 bits"):
            grey(wrong, "I")
    assert to_rgb(Image.new("I", (0, 0))).size == (0, 0)
    assert to_rgb(Image.new("I;16", (0, 0))).size == (0, 0)
    assert grey([0] * 2, "I") == [0, 0]


def test_a_nearly_opaque_pixel_lets_white_through() -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 254))
    image.putpixel((2, 0), (0, 0, 0, 0))
    assert colours(to_rgb(image)) == [(0,) * 3, (1,) * 3, WHITE]
    for other in (254, 255):
        almost = Image.new("RGBA", (2, 1), (0, 0, 0, 254))
        almost.putpixel((1, 0), (0, 0, 0, other))
        assert colours(to_rgb(almost)) == [(1,) * 3, (255 - other,) * 3]
    assert colours(to_rgb(Image.new("RGBA", (1, 1), (9, 8, 7, 255)))) == [(9, 8, 7)]
    multiplied = Image.new("RGBA", (1, 1), (255, 0, 102, 51)).convert("RGBa")
    assert colours(to_rgb(multiplied)) == [(255, 204, 224)]
    grey = Image.new("LA", (1, 1), (100, 51)).convert("La")
    assert colours(to_rgb(grey)) == [(224,) * 3]


def test_rgb_in_memory_is_a_copy_without_what_the_file_said() -> None:
    image = Image.new("RGB", (1, 1), (1, 2, 3))
    image.info = {"comment": "x"}
    copy = to_rgb(image)
    copy.putpixel((0, 0), WHITE)
    assert image.getpixel((0, 0)) == (1, 2, 3)
    assert (image.info, copy.info) == ({"comment": "x"}, {})


def test_a_plain_picture_is_what_pillow_converts() -> None:
    clear = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    assert colours(open_plain_picture(saved(clear))) == [(10, 20, 30)] * 2
    assert colours(open_picture(saved(clear))) == [WHITE] * 2
    turned = png((2, 1), 8, 2, bytes([1, 2, 3, 4, 5, 6]), exif(6))
    assert colours(open_plain_picture(turned)) == [(1, 2, 3), (4, 5, 6)]
    assert open_picture(turned).size == (1, 2)
    deep = png((2, 1), 16, 0, struct.pack(">HH", 0x12FF, 0xFFFF))
    assert colours(open_plain_picture(deep)) == [(0x12,) * 3, WHITE]
    assert colours(open_plain_picture(png((1, 1), 8, 0, b"\x07"))) == [(7, 7, 7)]
    with pytest.raises(DataError, match=r"^image in memory cannot be read: it is not PNG.* GIF$"):
        open_plain_picture(b"GIF89a")
    cut = saved(Image.effect_noise((64, 64), 50))
    with pytest.raises(DataError, match=r"^image in memory cannot be read: "):
        open_plain_picture(cut[: len(cut) // 2])


def test_the_tiles_of_a_grid_are_opened_as_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(saved(Image.new("RGBA", (2, 2), (10, 20, 30, 0))))
    grid = GridSpec(4, 1, 1)
    for image, number in ((path, 4), ((path, path), 8)):
        for plain, colour in ((False, WHITE), (True, (10, 20, 30))):
            tiles = open_tiles(image, grid, plain_rgb=plain)
            assert [tile.getpixel((0, 0)) for tile in tiles] == [colour] * number
    assert open_tiles(path, grid)[0].getpixel((0, 0)) == WHITE
    assert open_tiles(EncodedFile("a.png", path.read_bytes()), None)[0].size == (2, 2)


def test_a_late_orientation_is_looked_for_and_nothing_else_is_decoded() -> None:
    row = bytes(range(12))
    early = png((4, 1), 8, 2, row, exif(6))
    size = (1, 4)
    assert read_picture_size(early[: early.index(b"IDAT") + 4]) == size  # pixels are not there
    spoilt = early.replace(zlib.compress(b"\0" + row), b"\0" * len(zlib.compress(b"\0" + row)))
    assert read_picture_size(spoilt) == size
    text = chunk(b"tEXt", b"Comment\0x" * 50)
    for after in (exif(6), text + exif(6), exif(6) + text):
        late = png((4, 1), 8, 2, row, after=after)
        assert read_picture_size(late) == size == open_picture(late).size
    whole = png((4, 1), 8, 2, row)
    no_end = whole[: whole.index(b"IEND") - 4]
    assert read_picture_size(no_end.replace(zlib.compress(b"\0" + row), b"\0" * 20)) == (4, 1)


def test_exif_turns_as_it_says_and_damaged_exif_turns_nothing() -> None:
    row = bytes(range(12))
    for block in (b"", b"x", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02"):
        damaged = png((4, 1), 8, 2, row, chunk(b"eXIf", block))
        assert open_picture(damaged).size == read_picture_size(damaged) == (4, 1)
        assert open_picture(damaged).tobytes() == row
    for orientation in range(11):
        odd = png((4, 1), 8, 2, row, exif(orientation))
        seen = (1, 4) if 5 <= orientation <= 8 else (4, 1)
        assert open_picture(odd).size == read_picture_size(odd) == seen
        assert (open_picture(odd).tobytes() == row) is (orientation not in (2, 3, 7, 8))


def test_a_cameras_preview_is_no_animation() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black")]
    camera = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert open_picture(camera).getpixel((0, 0)) == WHITE
    with pytest.raises(DataError, match=r"it is animated \(2 frames\)"):
        open_picture(saved(frames[0], save_all=True, append_images=frames[1:]))
    assert open_picture(saved(frames[0], "JPEG")).getpixel((0, 0)) == WHITE


def test_what_a_file_is_instead_and_what_it_is_called(tmp_path: Path) -> None:
    kinds = {
        b"": "the file is empty",
        b"GIF89a" + b"\0" * 60: "but GIF",
        b"\0\0\0\x18ftypheic\0\0\0\0": "but HEIC or a video",
        b"\0\0\0\x18ftypavif\0\0\0\0": "but AVIF",
        b"\0\0\0\x0cjP  \r\n": "but JPEG 2000",
        b"version https://git-lfs.github.com": "but Git LFS pointer (run 'git lfs pull')",
        b"nothing that is known": "it is not PNG, JPEG or WebP",
    }
    path = tmp_path / "a b.png"
    for data, kind in kinds.items():
        path.write_bytes(data)
        handle = os.open(path, os.O_RDONLY)
        with path.open("rb") as file, os.fdopen(handle, "rb") as unnamed:
            sources = {
                "a b.png": (path, file, EncodedFile("a b.png", data)),
                "in memory": (data, io.BytesIO(data), unnamed),
            }
            for name, same in sources.items():
                for source in same:
                    for read in (open_picture, open_plain_picture, read_picture_size):
                        with pytest.raises(DataError) as raised:
                            read(source)
                        says = str(raised.value)
                        assert says.startswith(f"image {name} cannot be read: ")
                        assert says.endswith(kind)
    with pytest.raises(DataError, match=r"^image gone\.png is missing$"):
        open_picture(tmp_path / "gone.png")


def test_an_open_file_and_content_with_a_name_are_pictures(tmp_path: Path) -> None:
    data = saved(Image.new("RGB", (2, 1), (1, 2, 3)))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        for source in (path, data, io.BytesIO(data), EncodedFile("a.png", data), file):
            assert colours(open_picture(source)) == [(1, 2, 3)] * 2
            assert colours(open_plain_picture(source)) == [(1, 2, 3)] * 2
            assert read_picture_size(source) == (2, 1)


def test_a_picture_that_is_refused_is_closed_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png((8192, 8193), 8, 0, b""))
    with pytest.raises(DataError) as raised:
        open_picture(path)
    held = Path("/proc/self/fd")
    if held.is_dir():
        assert path not in [Path(os.path.realpath(handle)) for handle in held.iterdir()]
    assert "pixels are not opened" in str(raised.value)


def test_a_file_without_pixels_is_no_picture() -> None:
    empty = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0))
    with pytest.raises(DataError, match=r"^image in memory cannot be read: "):
        open_picture(empty + chunk(b"IEND", b""))


def test_tensors_are_pictures_on_either_scale() -> None:
    bytes_ = torch.arange(30, dtype=torch.uint8).reshape(3, 2, 5)
    picture = as_image(bytes_)
    assert (picture.mode, picture.size) == ("RGB", (5, 2))
    assert picture.getpixel((1, 0)) == (1, 11, 21)
    assert picture.getpixel((0, 1)) == (5, 15, 25)
    assert as_image(Image.new("RGBA", (2, 1), (0, 0, 0, 0))).getpixel((1, 0)) == WHITE

    def seen(*values: float, dtype: torch.dtype = torch.float32) -> list[int]:
        row = torch.tensor([values] * 3, dtype=dtype)[:, None]
        return [as_image(row).getpixel((x, 0))[0] for x in range(len(values))]

    assert seen(0, 0.5, 1) == [0, 128, 255]
    assert seen(0.1, 0.25, 0.999) == [26, 64, 255]
    assert seen(-0.5, 1.5, 1.2) == [0, 255, 255]
    assert seen(0, 1, dtype=torch.float64) == [0, 255]
    assert seen(0, 1, 255, dtype=torch.uint8) == [0, 1, 255]
    assert seen(0, 255, dtype=torch.int32) == [0, 255]
    for values, dtype in (
        ((-0.51, 1), torch.float32),
        ((0, 1.51), torch.float32),
        ((0, float("nan")), torch.float32),
        ((-1, 5), torch.int32),
        ((0, 256), torch.int32),
        ((0, 1), torch.bool),
    ):
        with pytest.raises(UsageError, match="integers from 0 to 255 or floating point from 0"):
            seen(*values, dtype=dtype)
    for shape in ((4, 2, 2), (2, 2, 2), (3, 4), (1, 3, 2, 2), (3, 0, 2), (2, 3, 3), (3, 3, 3, 3)):
        with pytest.raises(UsageError, match=r"an image tensor is \[3, H, W\], not \["):
            as_image(torch.zeros(shape))


def test_grids_are_made_and_taken_apart(tmp_path: Path) -> None:
    tiles = [Image.new("RGB", (2, 1), (n, n, n)) for n in range(4)]
    tiles[3].putpixel((1, 0), WHITE)
    grid = GridSpec(4, 2, 1)
    joined = join_tiles(tiles, grid)
    assert joined.size == (4, 2)
    assert single_colour_tiles(tiles) == [0, 1, 2]
    (tmp_path / "r").mkdir()
    write_image(tmp_path / "r/images/a.png", png_bytes(joined))
    path = tmp_path / "r/images/a.png"
    assert [p.tobytes() for p in open_tiles(path, grid)] == [t.tobytes() for t in tiles]
    assert is_whole(path, grid)
    assert not is_whole(path, GridSpec(4, 1, 2))
    spoilt = bytearray(path.read_bytes())
    spoilt[-20] ^= 1
    path.write_bytes(spoilt)
    assert not is_whole(path, grid)
    assert read_size(path) == (4, 2)


def test_the_bytes_of_a_grid_stay_those_of_earlier_runs() -> None:
    values = np.arange(64 * 64 * 3) ** 2 // 7 % 251
    image = Image.fromarray(values.astype(np.uint8).reshape(64, 64, 3))
    assert len({saved(image, compress_level=level) for level in (0, 1, 2, 6)}) == 4
    assert png_bytes(image) == saved(image, compress_level=1)


def test_which_grid_images_hold(tmp_path: Path) -> None:
    def image(name: str, size: tuple[int, int]) -> Path:
        path = tmp_path / f"{name}.png"
        path.write_bytes(png(size, 8, 0, b""))
        return path

    wide, square = image("wide", (8, 4)), image("square", (4, 4))
    assert infer_grid([wide], 4, None) == GridSpec(4, 4, 2)
    assert infer_grid([wide], 4, None, Layout(1, 4)) == GridSpec(4, 2, 4, Layout(1, 4))
    assert infer_grid([wide], 4, 3) == GridSpec(4, 3, 3)
    assert infer_grid([wide], 4, 3, Layout(4, 1)) == GridSpec(4, 3, 3, Layout(4, 1))
    assert infer_grid([wide], 1, None) is None
    assert infer_grid([wide], 2, None) == GridSpec(2, 4, 4)
    assert infer_grid([wide, square, square], 4, None) == GridSpec(4, 2, 2)
    assert infer_grid([wide, square], 4, None) == GridSpec(4, 4, 2)  # the first of equally many
    assert infer_grid([tmp_path / "gone.png", square], 4, None) == GridSpec(4, 2, 2)
    odd = [image(f"odd{n}", (n, 4)) for n in (3, 5, 7, 9)]
    gone = [tmp_path / "gone.png", tmp_path / "away.png"]
    for paths, says in (
        (odd, r"splits into 4 equal tiles \(sizes: 3x4, 5x4, 7x4\) as 2x2"),
        (gone, r"none of 2 images can be read, first: image gone\.png is missing$"),
        ([], r"none of 0 images can be read$"),
    ):
        with pytest.raises(DataError, match=says):
            infer_grid(paths, 4, None)
    whole = tmp_path / "whole.png"
    whole.write_bytes(saved(Image.new("RGB", (4, 2))))
    with pytest.raises(DataError, match=r"image whole\.png is 4x2 px; expected 2x4 \(4 tiles of"):
        open_tiles(whole, GridSpec(4, 1, 2))
    # 1.9 times as long as wide is still near square
    assert fitting_layouts((19, 10)) == [Layout(1, 1)]
    assert fitting_layouts((21, 11)) == []
    assert infer_grid([image("19", (38, 20))], 4, None, refuse_wide=True) == GridSpec(4, 19, 10)
    longer = image("long", (392, 200))
    assert infer_grid([longer], 4, None) == GridSpec(4, 196, 100)
    with pytest.raises(DataError, match=r"another layout: 1x2 would give tiles near square; say"):
        infer_grid([longer], 4, None, refuse_wide=True)
    longest = image("longest", (4004, 2))
    with pytest.raises(DataError, match=r"of another layout: say --layout .* \(--layout 1x4 if it"):
        infer_grid([longest], 4, None, Layout(1, 4), refuse_wide=True)
