"""Grids: joined, split, and refused when their size does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError
from dpgbench.store.images import (
    find_images,
    infer_grid,
    is_whole,
    join_tiles,
    open_tiles,
    png_bytes,
    read_size,
)

COLORS = ["red", "green", "blue", "white"]


@pytest.mark.parametrize("num_images", [1, 2, 4])
def test_tiles_come_back_in_their_order(tmp_path: Path, num_images: int) -> None:
    grid = GridSpec(num_images, 6, 4)
    tiles = [Image.new("RGB", (6, 4), color) for color in COLORS[:num_images]]
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(join_tiles(tiles, grid)))
    found = open_tiles(path, grid)
    assert [tile.tobytes() for tile in found] == [tile.tobytes() for tile in tiles]
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
    with pytest.raises(DataError, match="gave 1 images instead of 4"):
        join_tiles([Image.new("RGB", (8, 8))], GridSpec(4, 8, 8))
    with pytest.raises(DataError, match="of 9x8 px instead of 8x8"):
        join_tiles([Image.new("RGB", (9, 8))], GridSpec(1, 8, 8))


def test_grid_from_images(tmp_path: Path) -> None:
    for name, size in {"a.png": (8, 8), "b.jpg": (8, 8), "c.png": (9, 9)}.items():
        Image.new("RGB", size).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("x")
    found = find_images(tmp_path, ["a", "b", "c", "d"])
    assert {item: path.name for item, path in found.items()} == {
        "a": "a.png", "b": "b.jpg", "c": "c.png",
    }  # fmt: skip
    assert infer_grid(list(found.values()), 4, None) == GridSpec(4, 4, 4)
    assert infer_grid([found["a"]], 1, 512) == GridSpec(1, 512, 512)
    with pytest.raises(DataError, match=r"splits into 4 equal tiles \(sizes: 9x9\)"):
        infer_grid([found["c"]], 4, None)
