"""A picture missing in the middle of an item is missed, not taken for fewer pictures."""

from pathlib import Path

import pytest
from PIL import Image

from dpgbench.store.image_files import ImagePattern, count_tiles

PATTERN = ImagePattern("{item_id}_{tile}.png")


@pytest.mark.parametrize("there", [(0, 1, 3), (0, 2, 3), (0, 3), (0, 1, 2, 3)])
def test_a_gap_does_not_lower_the_number_of_tiles(tmp_path: Path, there: tuple[int, ...]) -> None:
    for tile in there:
        Image.new("RGB", (8, 8)).save(tmp_path / f"a_{tile}.png")
    assert count_tiles(tmp_path, PATTERN, {"a": ""}) == 4
