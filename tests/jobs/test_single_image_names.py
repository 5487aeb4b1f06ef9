"""Names of single images: prompts are other people's words, and no path."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgbench.jobs.single_images import single_image_path
from dpgbench.store.compbench import load_compbench


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
