"""Single images: their names are other people's words and no path; damaged ones are remade."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GridSpec
from dpgbench.jobs.single_images import single_image_path, write_single_images
from dpgbench.store.compbench import load_compbench
from dpgbench.store.run.directory import RunDir


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a red car and a green bowl", "a red car and a green bowl_000001.png"),
        ("../../../escaped", " .. .. escaped_000001.png"),
        ("a red/green car", "a red green car_000001.png"),
        ("a\tb", "a b_000001.png"),
        ("通" * 300, "通" * 66 + "_000001.png"),
    ],
)
def test_a_prompt_is_no_path(tmp_path: Path, prompt: str, name: str) -> None:
    (tmp_path / "color_val.txt").write_text(f"{prompt}\n")
    path = single_image_path(tmp_path, load_compbench(tmp_path), "color_001", 1, 10)
    assert path == tmp_path / "samples/color/samples" / name
    assert len(path.name.encode()) < 255


@pytest.mark.parametrize("damage", [b"", b"cut", b"other"])
def test_a_damaged_single_image_is_written_again(tmp_path: Path, damage: bytes) -> None:
    run, grid = RunDir(tmp_path), GridSpec(4, 8, 8)
    benchmark = Benchmark("mine", tmp_path, {"a": "a cat"}, {}, is_list=True)
    run.image("a").parent.mkdir()
    Image.effect_noise((16, 16), 50).convert("RGB").save(run.image("a"))
    assert write_single_images(run, benchmark, ["a"], grid) == 4
    path = tmp_path / "samples/a_2.png"
    whole = path.read_bytes()
    if damage == b"other":
        Image.new("RGB", (7, 8)).save(path)
    else:
        path.write_bytes(whole[:60] if damage else b"")
    assert write_single_images(run, benchmark, ["a"], grid) == 1
    assert path.read_bytes() == whole
    assert write_single_images(run, benchmark, ["a"], grid) == 0
