"""Patterns of file names: what they find, what they suggest, and what they refuse."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.errors import DataError, UsageError
from dpgbench.store.image_files import (
    ImageListing,
    ImagePattern,
    count_strays,
    count_tiles,
    find_patterned,
    suggest_pattern,
)
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import changed_images, image_hashes

ORDER = ["b", "a", "c"]  # the benchmark's order, not the alphabet's
PROMPTS = dict.fromkeys(ORDER, "")


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


@given(
    st.sampled_from(["item_id", "index", "index0", "index1"]),
    st.sampled_from(["_", "/", "/samples/", "-x-"]),
    st.sampled_from(["tile", "tile0", "tile1"]),
    st.integers(1, 6),
    st.integers(0, 99),
    st.integers(0, 9),
)
def test_a_pattern_writes_ids_and_numbers(
    item: str, joint: str, tile: str, width: int, index: int, number: int
) -> None:
    pattern = ImagePattern(f"{{{item}}}{joint}{{{tile}:0{width}d}}.png")
    first = "some-id" if item == "item_id" else str(index + item.endswith("1"))
    second = str(number + tile.endswith("1")).zfill(width)
    assert pattern.has_tiles
    assert pattern.path("some-id", index, number) == f"{first}{joint}{second}.png"


def test_the_index_is_the_place_in_the_benchmark(tmp_path: Path) -> None:
    touch(tmp_path, "0.png", "1.PNG", "2.png")
    patterned = find_patterned(tmp_path, ImagePattern("{index}.png"), ["a", "b"], PROMPTS, 4)
    assert {item: path.name for item, path in patterned.images.items()} == {  # type: ignore[union-attr]
        "a": "1.PNG", "b": "0.png",
    }  # fmt: skip


def test_a_suffix_may_be_left_out_and_jpg_is_jpeg(tmp_path: Path) -> None:
    touch(tmp_path, "a.JPEG", "b.webp")
    listing = ImageListing(tmp_path)
    assert ImagePattern("{item_id}").find(listing, "a", 0, 0) == tmp_path / "a.JPEG"
    assert ImagePattern("{item_id}.jpg").find(listing, "a", 0, 0) == tmp_path / "a.JPEG"
    assert ImagePattern("{item_id}.png").find(listing, "a", 0, 0) is None
    touch(tmp_path, "b.PNG")
    with pytest.raises(DataError, match=r"b\.PNG and b\.webp; keep one image of b"):
        ImagePattern("{item_id}").find(ImageListing(tmp_path), "b", 0, 0)


def test_the_number_of_tiles_is_that_of_most(tmp_path: Path) -> None:
    pattern = ImagePattern("{item_id}_{tile}.png")
    assert count_tiles(tmp_path, pattern, PROMPTS) == 0
    touch(tmp_path, "a_0.png", "b_0.png", "b_1.png")
    assert count_tiles(tmp_path, pattern, PROMPTS) == 2
    touch(tmp_path, "b_2.png")
    assert count_tiles(tmp_path, pattern, PROMPTS) == 3
    touch(tmp_path, "b_10.png")
    with pytest.raises(DataError, match="11 pictures of b by"):
        count_tiles(tmp_path, pattern, PROMPTS)
    patterned = find_patterned(tmp_path, pattern, ORDER, PROMPTS, 2)
    assert list(patterned.images) == ["b"]
    assert patterned.reasons == {
        "a": "image a_1.png is missing", "c": "image c_0.png is missing",
    }  # fmt: skip
    assert count_strays(tmp_path, pattern, 2) == 3


def test_files_from_one_are_told_unless_the_pattern_is_sure(tmp_path: Path) -> None:
    touch(tmp_path, "1.png", "2.png")
    for text in ("{index}.png", "{index:d}.png"):
        with pytest.raises(DataError, match="count from 1"):
            find_patterned(tmp_path, ImagePattern(text), ORDER, PROMPTS, 4)
    sure = find_patterned(tmp_path, ImagePattern("{index0}.png"), ORDER, PROMPTS, 4)
    assert list(sure.images) == ["a", "c"]
    shifted = find_patterned(tmp_path, ImagePattern("{index1}.png"), ORDER, PROMPTS, 4)
    assert list(shifted.images) == ["b", "a"]


@pytest.mark.parametrize(
    "text",
    ["{item_id.__class__}.png", "{item_id!r}.png", "{}.png", "{0}.png", "/{item_id}.png",
     "{item_id:04d}.png", "x/../{item_id}.png", "{index:s}.png", "{tile}.png",
     "{index:0999999999d}.png", "{index:{tile}}.png"],
)  # fmt: skip
def test_other_patterns_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError, match="--pattern"):
        ImagePattern(text)


def test_a_folder_of_strangers_suggests_nothing(tmp_path: Path) -> None:
    assert suggest_pattern(tmp_path, PROMPTS) is None
    touch(tmp_path, "x.png", "sub/y.jpg", "a.txt")
    assert suggest_pattern(tmp_path, PROMPTS) is None
    touch(tmp_path, "b/003.jpg", "a/003.jpg")
    assert suggest_pattern(tmp_path, PROMPTS) is None
    touch(tmp_path, "b/000.jpg", "a/000.jpg")
    assert suggest_pattern(tmp_path, PROMPTS) == "{item_id}/{tile:03d}.jpg"


def test_images_that_changed_are_found_by_their_hashes(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    touch(tmp_path, "a.png", "b0.png", "b1.png", "c.png")
    images = {
        "a": tmp_path / "a.png",
        "b": (tmp_path / "b0.png", tmp_path / "b1.png"),
        "c": tmp_path / "c.png",
        "gone": tmp_path / "gone.png",
    }
    hashes = image_hashes(images)
    assert list(hashes) == ["a", "b", "c"]
    assert hashes["a"] == hashlib.sha256(b"a.png").hexdigest()
    parts = [hashlib.sha256(name).hexdigest() for name in (b"b0.png", b"b1.png")]
    assert hashes["b"] == hashlib.sha256(f"{parts[0]}\n{parts[1]}\n".encode()).hexdigest()
    records = [{"item_id": item, "sha256": sha} for item, sha in hashes.items()]
    records[2]["sha256"] = None  # type: ignore[assignment]  # a failure has none
    run.images_log.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert changed_images(run.images_log, image_hashes(images)) == []
    touch(tmp_path, "c.png").joinpath("b1.png").write_bytes(b"other")
    assert changed_images(run.images_log, image_hashes(images)) == ["b"]
    (tmp_path / "a.png").write_bytes(b"other")
    assert changed_images(run.images_log, image_hashes(images)) == ["a", "b"]
