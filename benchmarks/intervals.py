"""How far the intervals and the paired test can be believed: simulated runs with a known truth.

    python -m benchmarks.intervals             # 1,000 runs of 1,065 items: a few minutes on 2 cores

Every run has items of its own difficulty, 4 tiles a prompt and up to 20 questions a tile; answers
of one item hang together, as real ones do. The truth is what the simulation was set to. The
functions measured are those that `dpgbench score` and `dpgbench report` call.
"""

from __future__ import annotations

import argparse
import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpgbench.domain.statistics.bootstrap import Matrix, intervals
from dpgbench.domain.statistics.paired import holm, paired_differences

NUM_ITEMS, NUM_RUNS, NUM_IMAGES = 1065, 1000, 4
CATEGORY_SHARE = 0.3  # of questions that belong to the category that is looked at
_BATCH = 100


class World(NamedTuple):
    """What decides answers; all but `skill` is about as wide as in real runs.

    Attributes:
        skill: mean chance of a yes.
        item: how far items differ, as a standard deviation of that chance.
        model: how far one model may be off an item's chance, either way.
        tile: how far one tile may be off its model's chance.
    """

    skill: float = 0.8
    item: float = 0.2
    model: float = 0.25
    tile: float = 0.15


class Drawn(NamedTuple):
    """Runs side by side: scores [N, R] in points, and yes and questions of one category [N, R]."""

    scores: Matrix
    yes: Matrix
    questions: Matrix


def difficulty(rng: np.random.Generator, items: int, runs: int, world: World) -> Matrix:
    """Return items' chances of a yes, [N, R]: Beta with the world's mean and spread."""
    weight = world.skill * (1 - world.skill) / world.item**2 - 1
    return rng.beta(world.skill * weight, (1 - world.skill) * weight, (items, runs))


def _around(rng: np.random.Generator, chance: Matrix, reach: float, *more: int) -> Matrix:
    """Return chances about `chance`, as far either way as 0 and 1 allow: the mean is kept."""
    room = np.minimum(np.minimum(chance, 1 - chance), reach)
    return chance + room * rng.uniform(-1, 1, (*more, *chance.shape))


def draw(rng: np.random.Generator, hard: Matrix, loss: float, world: World) -> Drawn:
    """Return one run for each column of `hard`; its true score is 100 * skill * (1 - loss)."""
    items, runs = hard.shape
    asked = rng.integers(5, 21, (items, runs))
    chance = _around(rng, _around(rng, hard * (1 - loss), world.model), world.tile, NUM_IMAGES)
    inside = np.round(asked * CATEGORY_SHARE).astype(int)
    yes = rng.binomial(inside, chance)
    others = rng.binomial(asked - inside, chance)
    scores = 100 * ((yes + others) / asked).mean(axis=0)
    return Drawn(scores, yes.sum(axis=0).astype(float), NUM_IMAGES * inside.astype(float))


def coverage(items: int, runs: int, seed: int = 1) -> dict[str, float]:
    """Return in which share of runs the 95% interval holds the truth: overall, and a category."""
    world = World()
    rng = np.random.default_rng(seed)
    held = np.zeros(2)
    for start in range(0, runs, _BATCH):
        size = min(_BATCH, runs - start)
        drawn = draw(rng, difficulty(rng, items, size, world), 0.0, world)
        overall = intervals(drawn.scores, np.ones_like(drawn.scores))
        category = intervals(100 * drawn.yes, drawn.questions)
        truth = 100 * world.skill
        for place, bounds in enumerate((overall, category)):
            held[place] += sum(e is not None and e[0] <= truth <= e[1] for e in bounds)
    return {"overall": float(held[0]) / runs, "category": float(held[1]) / runs}


def paired(items: int, runs: int, points: float, seed: int = 2) -> dict[str, float]:
    """Return in which share of pairs of runs `points` apart a difference is found, and how.

    ``paired``: the paired test at 5%; ``covered``: the interval holds the truth; ``unpaired``: the
    two models' own 95% intervals do not touch.
    """
    world = World()
    rng = np.random.default_rng(seed)
    shares = {"paired": 0, "covered": 0, "unpaired": 0}
    for start in range(0, runs, _BATCH):
        size = min(_BATCH, runs - start)
        hard = difficulty(rng, items, size, world)
        less = points / (100 * world.skill)
        both = [draw(rng, hard, loss, world).scores for loss in (0.0, less)]
        scores = np.hstack(both)
        ones = np.ones_like(scores)
        pairs = [(n, size + n) for n in range(size)]
        tests = paired_differences(scores, ones, pairs)
        own = intervals(scores, ones)
        for (first, second), test in zip(pairs, tests, strict=True):
            one, other = own[first], own[second]
            assert test is not None and test.interval is not None and test.p_value is not None
            assert one is not None
            assert other is not None
            shares["paired"] += test.p_value < 0.05
            shares["covered"] += test.interval[0] <= points <= test.interval[1]
            shares["unpaired"] += one[0] > other[1] or other[0] > one[1]
    return {name: number / runs for name, number in shares.items()}


def families(items: int, runs: int, size: int = 10, seed: int = 3) -> dict[str, float]:
    """Return how often at least one of `size` categories is told apart though none differs."""
    world = World()
    rng = np.random.default_rng(seed)
    plain = corrected = 0
    for _ in range(runs):
        hard: NDArray[np.float64] = difficulty(rng, items, size, world)
        one, other = (draw(rng, hard, 0.0, world) for _ in range(2))
        tests = paired_differences(
            np.hstack([100 * one.yes, 100 * other.yes]),
            np.hstack([one.questions, other.questions]),
            [(n, size + n) for n in range(size)],
        )
        p_values = [test.p_value for test in tests if test and test.p_value is not None]
        plain += min(p_values) < 0.05
        corrected += min(holm(p_values)) < 0.05
    return {"uncorrected": plain / runs, "holm": corrected / runs}


def main() -> None:
    """Print every figure of docs/statistics.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=NUM_ITEMS)
    parser.add_argument("--runs", type=int, default=NUM_RUNS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    items, runs, seed = options.items, options.runs, options.seed

    def show(what: str, shares: dict[str, float]) -> None:
        print(json.dumps({what: shares}), flush=True)

    show("coverage", coverage(items, runs, seed))
    for few in (20, 40, 100):
        show(f"coverage, {few} items", coverage(few, runs, seed))
    for points in (0.0, 0.5, 1.0, 1.5, 2.0):
        show(f"paired, {points} points", paired(items, runs, points, seed + 1))
    show("families of 10", families(items, runs, seed=seed + 2))


if __name__ == "__main__":
    main()
