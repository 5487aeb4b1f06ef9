"""Grids: joined, split, and refused when their size does not fit."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from dpgbench.domain.spec import GridSpec, Layout
from dpgbench.errors import DataError
from dpgbench.store.image_files import count_images, files_of, find_images
from dpgbench.store.images import (
    fitting_layouts,
    infer_grid,
    is_whole,
    join_tiles,
    open_picture,
    open_tiles,
    png_bytes,
    read_size,
    single_colour_tiles,
    write_image,
)

COLORS = ["red", "green", "blue", "white"]


@pytest.mark.parametrize("num_images", [1, 2, 4])
def test_tiles_come_back_in_their_order(tmp_path: Path, num_images: int) -> None:
    grid = GridSpec(num_images, 6, 4)
    tiles = [Image.new("RGB", (6, 4), color) for color in COLORS[:num_images]]
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(join_tiles(tiles, grid)))
    opened = open_tiles(path, grid)
    assert [tile.tobytes() for tile in opened] == [tile.tobytes() for tile in tiles]
    assert is_whole(path, grid)
    assert not is_whole(path, GridSpec(num_images, 4, 4))


def test_a_cut_image_is_not_whole(tmp_path: Path) -> None:
    grid = GridSpec(1, 64, 64)
    path = tmp_path / "a.png"
    data = png_bytes(Image.effect_noise((64, 64), 50).convert("RGB"))
    path.write_bytes(data[: len(data) // 2])
    assert not is_whole(path, grid)
    with pytest.raises(DataError, match=r"image a\.png cannot be read"):
        open_tiles(path, grid)
    path.write_bytes(b"not an image")
    assert read_size(path) is None


def test_wrong_sizes_say_what_was_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (10, 10)).save(path)
    with pytest.raises(DataError, match=r"10x10 px; expected 16x16 \(4 tiles of 8x8, 2x2\)"):
        open_tiles(path, GridSpec(4, 8, 8))
    with pytest.raises(DataError, match="gave 1 image instead of 4"):
        join_tiles([Image.new("RGB", (8, 8))], GridSpec(4, 8, 8))
    with pytest.raises(DataError, match="of 9x8 px instead of 8x8"):
        join_tiles([Image.new("RGB", (9, 8))], GridSpec(1, 8, 8))


def test_grid_from_images(tmp_path: Path) -> None:
    for name, size in {"a.png": (8, 8), "b.jpg": (8, 8), "c.png": (9, 9)}.items():
        Image.new("RGB", size).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    paths = find_images(tmp_path, ["a", "b", "c", "d"])
    assert {item: path.name for item, path in paths.items()} == {
        "a": "a.png", "b": "b.jpg", "c": "c.png",
    }  # fmt: skip
    assert infer_grid(list(paths.values()), 4, None) == GridSpec(4, 4, 4)
    assert infer_grid([paths["a"]], 1, 512) == GridSpec(1, 512, 512)
    with pytest.raises(DataError, match=r"splits into 4 equal tiles \(sizes: 9x9\)"):
        infer_grid([paths["c"]], 4, None)
    sides = [saved(tmp_path, f"side{n}.png", (n, 4)) for n in (3, 5, 7, 9)]
    with pytest.raises(DataError, match=r"\(sizes: 3x4, 5x4, 7x4\)"):
        infer_grid(sides, 4, None)
    bad = [tmp_path / "notes.txt", tmp_path / "gone.png"]
    with pytest.raises(DataError, match=r"none of 2 images can be read, first: .*notes\.txt"):
        infer_grid(bad, 4, None)
    with pytest.raises(DataError, match=r"none of 0 images can be read$"):
        infer_grid([], 4, None)


def saved(folder: Path, name: str, size: tuple[int, int]) -> Path:
    path = folder / name
    Image.new("RGB", size).save(path)
    return path


def test_the_most_common_size_that_splits_is_the_grids(tmp_path: Path) -> None:
    odd = [saved(tmp_path, f"odd{n}.png", (9, 8)) for n in range(4)]
    even = [saved(tmp_path, f"even{n}.png", (16, 8)) for n in range(3)]
    few = [saved(tmp_path, f"few{n}.png", (8, 8)) for n in range(2)]
    assert infer_grid([*odd, *few, *even], 4, None) == GridSpec(4, 8, 4)
    assert infer_grid([*odd, *few], 4, None) == GridSpec(4, 4, 4)
    assert infer_grid(few, 1, None) is None
    assert infer_grid([*few, *even], 2, None) == GridSpec(2, 8, 8)
    assert infer_grid(few, 4, None, Layout(1, 4)) == GridSpec(4, 2, 8, Layout(1, 4))
    assert infer_grid(few, 4, 16, Layout(1, 4)) == GridSpec(4, 16, 16, Layout(1, 4))
    assert infer_grid(few, 4, 16) == GridSpec(4, 16, 16)
    (tmp_path / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"none of 1 image can be read, first: .*bad\.png"):
        infer_grid([tmp_path / "bad.png"], 4, None)
    with pytest.raises(DataError, match="none of 0 images can be read"):
        infer_grid([], 4, None)


def test_tiles_far_from_square_are_refused_where_nothing_was_said(tmp_path: Path) -> None:
    strip = saved(tmp_path, "strip.png", (32, 8))
    assert infer_grid([strip], 4, None) == GridSpec(4, 16, 4)
    with pytest.raises(DataError, match=r"32x8 px would be .* 1x4 would give tiles near square"):
        infer_grid([strip], 4, None, refuse_wide=True)
    near = saved(tmp_path, "near.png", (38, 20))
    assert infer_grid([near], 4, None, refuse_wide=True) == GridSpec(4, 19, 10)
    wide = saved(tmp_path, "wide.png", (40, 20))
    with pytest.raises(DataError, match="say --layout ROWSxCOLUMNS"):
        infer_grid([wide], 4, None, refuse_wide=True)


def test_layouts_that_fit_a_size_squarest_first() -> None:
    assert fitting_layouts((32, 8)) == [Layout(1, 4)]
    assert fitting_layouts((8, 32)) == [Layout(4, 1)]
    assert fitting_layouts((16, 8)) == [Layout(1, 2)]
    assert fitting_layouts((8, 8)) == [Layout(2, 2), Layout(1, 1)]
    assert fitting_layouts((12, 8)) == [Layout(1, 2), Layout(2, 2), Layout(1, 1)]
    assert fitting_layouts((7, 7)) == [Layout(1, 1)]


def test_a_file_a_tile(tmp_path: Path) -> None:
    paths = tuple(tmp_path / f"{color}.png" for color in COLORS)
    for color, path in zip(COLORS, paths, strict=True):
        Image.new("RGB", (6, 4), color).save(path)
    tiles = open_tiles(paths, GridSpec(1, 6, 4))
    assert [tile.getpixel((0, 0)) for tile in tiles] == [
        (255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 255),
    ]  # fmt: skip
    assert [tile.size for tile in open_tiles(paths[:2], None)] == [(6, 4), (6, 4)]
    with pytest.raises(DataError, match="6x4 px; expected 4x4"):
        open_tiles(paths, GridSpec(1, 4, 4))
    assert files_of(paths) == paths
    assert files_of(paths[0]) == (paths[0],)


def test_two_images_of_one_item_are_refused(tmp_path: Path) -> None:
    saved(tmp_path, "a.png", (8, 8))
    saved(tmp_path, "b.JPG", (8, 8))
    (tmp_path / "c.png").mkdir()
    assert {i: p.name for i, p in find_images(tmp_path, "abc").items()} == {
        "a": "a.png", "b": "b.JPG",
    }  # fmt: skip
    assert count_images(tmp_path) == 3
    saved(tmp_path, "a.jpeg", (8, 8))
    assert find_images(tmp_path, "b").keys() == {"b"}
    with pytest.raises(DataError, match=r"has a\.png and a\.jpeg; keep one image of a"):
        find_images(tmp_path, "a")
    assert find_images(tmp_path / "nowhere", "a") == {}


def test_tiles_of_one_colour() -> None:
    plain, dotted = Image.new("RGB", (4, 4), (9, 8, 7)), Image.new("RGB", (4, 4), (9, 8, 7))
    tiles = [plain]
    for channel in range(3):
        dot = [9, 8, 7]
        dot[channel] += 1
        other = dotted.copy()
        other.putpixel((3, 3), tuple(dot))
        tiles.append(other)
    assert single_colour_tiles([*tiles, plain]) == [0, 4]


def test_png_is_the_same_bytes_and_lies_alone_in_its_folder(tmp_path: Path) -> None:
    image = Image.effect_noise((16, 16), 50).convert("RGB")
    assert png_bytes(image) == png_bytes(image.copy())
    (tmp_path / "r").mkdir()
    write_image(tmp_path / "r" / "images" / "a.png", png_bytes(image))
    assert [p.name for p in (tmp_path / "r" / "images").iterdir()] == ["a.png"]
    with Image.open(tmp_path / "r" / "images" / "a.png") as read:
        assert read.format == "PNG"
        assert read.tobytes() == image.tobytes()


def test_an_image_with_a_damaged_end_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = bytearray(png_bytes(Image.effect_noise((16, 16), 50).convert("RGB")))
    path.write_bytes(data)
    assert is_whole(path, GridSpec(1, 16, 16))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert not is_whole(path, GridSpec(1, 16, 16))
    assert not is_whole(tmp_path / "none.png", GridSpec(1, 16, 16))


@pytest.mark.parametrize(
    ("bits", "byte", "seen_through", "other"), [(2, 0b01100000, 1, 170), (4, 0x35, 3, 85)]
)
def test_the_see_through_grey_of_few_bits_is_white(
    bits: int, byte: int, seen_through: int, other: int
) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)
    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"tRNS", struct.pack(">H", seen_through))
        + chunk(b"IDAT", zlib.compress(bytes([0, byte])))
        + chunk(b"IEND", b"")
    )
    picture = open_picture(png)
    assert [picture.getpixel((x, 0)) for x in (0, 1)] == [(255,) * 3, (other,) * 3]
