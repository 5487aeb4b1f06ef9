"""Geometry of bars and whiskers on a scale; the template draws them as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from dpgbench.domain.statistics.bootstrap import Interval

NUM_COLOURS = 8
_STEPS = (1, 2, 5, 10, 20, 25, 50)
_MOST_STEPS = 4


class Axis(NamedTuple):
    """A scale from `low` to `high` with marks at `ticks`."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Return where `value` stands, 0..100, rounded for a short file."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


WHOLE = Axis(0.0, 100.0, (0.0, 25.0, 50.0, 75.0, 100.0))


class ScorePlace(NamedTuple):
    """A score on an axis with the ends of its interval, all 0..100; None where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    raw: float | None = None


def place_score(
    axis: Axis, score: float | None, interval: Interval, raw: float | None = None
) -> ScorePlace:
    """Return where a score and its interval stand on `axis`."""
    if score is None:
        return ScorePlace(None)
    ends = (None, None) if interval is None else tuple(map(axis.place, interval))
    return ScorePlace(axis.place(score), ends[0], ends[1], None if raw is None else axis.place(raw))


def axis_around(scores: Iterable[tuple[float | None, Interval]]) -> Axis:
    """Return a scale with round ends that holds all scores and intervals, at least 10 wide."""
    values = [
        value for score, ends in scores for value in (score, *(ends or ())) if value is not None
    ]
    if not values:
        return WHOLE
    low, high = min(values), max(values)
    if high - low < 10:
        middle = min(95.0, max(5.0, (low + high) / 2))
        low, high = middle - 5, middle + 5
    step = next(s for s in _STEPS if (high - low) / s <= _MOST_STEPS)
    start = max(0, math.floor(low / step) * step)
    end = min(100, math.ceil(high / step) * step)
    return Axis(start, end, tuple(float(tick) for tick in range(start, end + 1, step)))
