"""Seeds, grids, identities and intervals."""

from __future__ import annotations

import numpy as np
import pytest

from dpgbench.domain.spec import (
    GenerationSpec,
    GridSpec,
    differences,
    find_layout,
    identity_hash,
    seed_for,
)
from dpgbench.domain.statistics import bootstrap as stats
from dpgbench.errors import UsageError


def test_seeds() -> None:
    assert [seed_for("per-tile", 5, "any", tile) for tile in range(4)] == [5, 6, 7, 8]
    per_item = {seed_for("per-item", 0, item, tile) for item in "abc" for tile in range(4)}
    assert len(per_item) == 12
    assert all(0 <= seed < 2**63 for seed in per_item)
    assert seed_for("per-item", 0, "a", 0) == 6152854164166434909


@pytest.mark.parametrize(
    ("num_images", "size", "boxes"),
    [
        (1, (8, 6), [(0, 0, 8, 6)]),
        (2, (16, 6), [(0, 0, 8, 6), (8, 0, 16, 6)]),
        (4, (16, 12), [(0, 0, 8, 6), (8, 0, 16, 6), (0, 6, 8, 12), (8, 6, 16, 12)]),
    ],
)
def test_grid(num_images: int, size: tuple[int, int], boxes: list[tuple[int, ...]]) -> None:
    grid = GridSpec(num_images, 8, 6)
    assert grid.size == size
    assert grid.boxes() == boxes
    assert GridSpec.of_image(num_images, size) == grid


@pytest.mark.parametrize("num_images", [0, 11])
def test_grids_hold_1_to_10(num_images: int) -> None:
    with pytest.raises(UsageError, match="1 to 10"):
        GridSpec(num_images, 8, 8)


def test_identity_tells_what_differs() -> None:
    old = GenerationSpec("m", 64, 64, "float32", steps=20).to_json()
    new = GenerationSpec("m", 64, 64, "float32", steps=30).to_json()
    assert identity_hash(old) != identity_hash(new)
    assert identity_hash(old) == identity_hash(dict(reversed(old.items())))
    assert differences({"generation": old}, {"generation": new}) == ["generation.steps: 20 -> 30"]


def test_intervals_are_seeded_and_hold_the_mean() -> None:
    values = np.random.default_rng(0).random((200, 2))
    ones = np.ones_like(values)
    first, second = stats.intervals(values, ones), stats.intervals(values, ones)
    assert first == second
    for mean, interval in zip(values.mean(axis=0), first, strict=True):
        assert interval is not None
        low, high = interval
        assert low < mean < high
        # the normal approximation, which holds for 200 uniform numbers
        assert high - low == pytest.approx(2 * 1.96 * (1 / 12) ** 0.5 / 200**0.5, rel=0.05)


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        values = generator.binomial(10, 0.7, size=(100, 1)) / 10
        interval = stats.intervals(values, np.ones_like(values), num_draws=400)[0]
        assert interval is not None
        covered += interval[0] <= 0.7 <= interval[1]
    assert 180 <= covered <= 199


def test_several_tables_in_one_pass_have_the_intervals_of_each_alone() -> None:
    generator = np.random.default_rng(3)
    ratio_tables = [
        stats.RatioTable(generator.random((60, columns)), np.ones((60, columns)))
        for columns in (1, 5, 2)
    ]
    together = stats.intervals_of(ratio_tables)
    assert together == [stats.intervals(*table) for table in ratio_tables]
    assert [len(intervals) for intervals in together] == [1, 5, 2]
    few = stats.RatioTable(np.ones((0, 2)), np.ones((0, 2)))
    assert stats.intervals_of([few, few]) == [[None, None], [None, None]]


def test_draws_are_the_same_each_time_whatever_was_done_to_them() -> None:
    first = [weights.copy() for weights in stats.bootstrap_weights(20, num_draws=600)]
    for weights in stats.bootstrap_weights(20, num_draws=600):
        weights[:] = 0
    again = list(stats.bootstrap_weights(20, num_draws=600))
    assert [len(weights) for weights in again] == [500, 100]
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert all((weights.sum(axis=1) == 20).all() for weights in again)


def test_so_many_draws_that_they_would_take_much_memory_are_not_kept() -> None:
    stats._kept_counts.cache_clear()
    assert len(next(stats.bootstrap_weights(100, num_draws=200_000))) == 500
    assert stats._kept_counts.cache_info().currsize == 0
    list(stats.bootstrap_weights(10, num_draws=100))
    assert stats._kept_counts.cache_info().currsize == 1


def test_ratios_of_nothing_are_not_a_number() -> None:
    values = stats.ratios(np.array([[1.0, 0], [2, 0]]), np.array([[2.0, 0], [4, 0]]))
    assert values[0] == 0.5
    assert np.isnan(values[1])
    one = stats.ratios(np.array([[1.0], [0]]), np.array([[1.0], [0]]))
    assert one.tolist() == [1.0]


def test_nothing_to_average() -> None:
    assert stats.intervals(np.zeros((0, 2)), np.zeros((0, 2))) == [None, None]
    assert stats.intervals(np.zeros((3, 1)), np.zeros((3, 1))) == [None]


@pytest.mark.parametrize(
    ("layout", "size", "last"),
    [
        ("2x2", (16, 12), (8, 6, 16, 12)),
        ("1x4", (32, 6), (24, 0, 32, 6)),
        ("4x1", (8, 24), (0, 18, 8, 24)),
        ("1x2", (16, 6), (8, 0, 16, 6)),
        ("2x1", (8, 12), (0, 6, 8, 12)),
        ("1x1", (8, 6), (0, 0, 8, 6)),
    ],
)
def test_layouts(layout: str, size: tuple[int, int], last: tuple[int, ...]) -> None:
    grid_layout = find_layout(layout)
    grid = GridSpec(grid_layout.num_images, 8, 6, grid_layout)
    assert grid.size == size
    assert grid.boxes()[-1] == last
    assert GridSpec.of_image(grid_layout.num_images, size, grid_layout) == grid
    assert str(grid).endswith(f"of 8x6, {layout}")
    assert GridSpec(4, 8, 6) == GridSpec(4, 8, 6, find_layout("2x2"))
    with pytest.raises(UsageError, match="does not have 4 tiles"):
        GridSpec(4, 8, 8, find_layout("1x2"))


@pytest.mark.parametrize(
    ("setting", "least"), [("width_px", 1), ("height_px", 1), ("steps", 1), ("base_seed", 0)]
)
def test_a_setting_is_refused_below_its_least_value(setting, least):
    settings = {"width_px": 8, "height_px": 8, "steps": 2, "base_seed": 3}
    spec = GenerationSpec("m", dtype="float32", **settings | {setting: least})
    assert getattr(spec, setting) == least
    with pytest.raises(UsageError, match=str(least - 1)):
        GenerationSpec("m", dtype="float32", **settings | {setting: least - 1})
