"""Score against the length of the prompt, by source, and what became of prompts that were cut.

Item scores are those of the tables of items; means and intervals are bootstrap ratios as elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dpgbench.analysis.answers import ItemSet
from dpgbench.analysis.leaderboard import LeaderboardRow, overall_table
from dpgbench.analysis.ranking import Group
from dpgbench.domain.rows import item_source
from dpgbench.domain.rules import ALL_RULES
from dpgbench.domain.statistics.bootstrap import (
    LEAST_ITEMS,
    Interval,
    Matrix,
    intervals,
    ratio_draws,
    ratios,
)
from dpgbench.domain.statistics.paired import PairedDifference, difference_of
from dpgbench.store.run import manifest_summary
from dpgbench.store.run.scores import RunRecord

BIN_WORDS = 20
ALL_PROMPTS = "all prompts"


class Point(NamedTuple):
    """A mean over `items` items; without an interval where these are too few."""

    score: float
    interval: Interval
    items: int = 0


class Curve(NamedTuple):
    """One result's points, bin by bin; None where it has no item there."""

    row: LeaderboardRow
    points: tuple[Point | None, ...]


class Chart(NamedTuple):
    """Curves over bins of prompt length: ``words`` as (least, most), ``items`` in each.

    A curve's point is over those of the bin's items that its result has a score for.
    """

    name: str
    words: tuple[tuple[int, int], ...]
    items: tuple[int, ...]
    curves: tuple[Curve, ...]


class CutResult(NamedTuple):
    """One result on the prompts that some model's text encoder cut, and on those it did not.

    Attributes:
        cut: mean on cut prompts; None where no item of them has a score.
        whole: the same on the others.
        gap: cut less whole; None where one of the two is.
        reads_all: whether this result's own model was shown whole prompts; None: not known.
        items: how many items of each have a score.
    """

    row: LeaderboardRow
    cut: float | None
    whole: float | None
    gap: PairedDifference | None
    reads_all: bool | None
    items: tuple[int, int]


class CutView(NamedTuple):
    """What one limit of tokens did.

    Attributes:
        rows: the results whose models have the limit.
        limit: tokens.
        num_cut: prompts that were longer.
        results: of every model; empty where the items are not recorded.
    """

    rows: tuple[LeaderboardRow, ...]
    limit: int
    num_cut: int
    num_items: int
    results: tuple[CutResult, ...]


@dataclass(frozen=True)
class LengthView:
    """One group's scores against the length of prompts.

    Attributes:
        sources: a chart for each source of prompts, where there are several.
        cuts: for each limit of tokens.
    """

    group: Group
    whole: Chart
    sources: tuple[Chart, ...]
    cuts: tuple[CutView, ...]


@dataclass(frozen=True)
class _Items:
    """The items of one group whose prompts are at hand.

    Attributes:
        ids: [N].
        words: [N], in each prompt.
        sums: [N, R], what each item adds to the overall of each row.
        counts: [N, R], over how many things.
    """

    rows: Sequence[LeaderboardRow]
    ids: Sequence[str]
    words: NDArray[np.int64]
    sums: Matrix
    counts: Matrix


def length_views(
    groups: Sequence[Group], sets: Sequence[ItemSet], records: Sequence[RunRecord]
) -> list[LengthView]:
    """Return a view for each group whose prompts are at hand and which has tables of items."""
    views = []
    for group in groups:
        items = _items(group, _prompts(group, sets))
        if items is None:
            continue
        sources = np.array([item_source(item) for item in items.ids])
        names = sorted(set(sources.tolist()))
        charts = tuple(_chart(name, sources == name, items) for name in names)
        whole = _chart(ALL_PROMPTS, np.ones(len(sources), dtype=np.bool_), items)
        cuts = tuple(_cuts(items, records))
        views.append(LengthView(group, whole, charts if len(charts) > 1 else (), cuts))
    return views


def _prompts(group: Group, sets: Sequence[ItemSet]) -> Mapping[str, str]:
    indices = {row.index for row in group.rows}
    for items in sets:
        if items.benchmark is not None and indices & {run.index for run in items.runs}:
            prompts = items.benchmark.prompts
            return {item: prompts[item] for item in items.items if prompts.get(item)}
    return {}


def _items(group: Group, prompts: Mapping[str, str]) -> _Items | None:
    rows = [row for row in group.rows if row.items]
    ids = [item for item in prompts if any(item in row.items for row in rows)]
    rule = ALL_RULES.get(group.key.rule)
    if not ids or rule is None:
        return None
    words = np.array([len(prompts[item].split()) for item in ids], dtype=np.int64)
    return _Items(rows, ids, words, *overall_table(rows, rule, ids))


def bins(
    words: Sequence[int], *, width: int = BIN_WORDS, few: int = LEAST_ITEMS
) -> list[tuple[int, int]]:
    """Return ranges of lengths, each `width` words wide or, so as to hold `few` items, wider."""
    if not len(words):
        return []
    ranges: list[tuple[int, int]] = []
    low = min(words) // width * width
    held = 0
    for start in range(low, max(words) + 1, width):
        held += sum(start <= word < start + width for word in words)
        if held >= few:
            ranges.append((low, start + width - 1))
            low, held = start + width, 0
    if held and ranges:
        ranges[-1] = (ranges[-1][0], (max(words) // width + 1) * width - 1)
    elif held:
        ranges.append((low, (max(words) // width + 1) * width - 1))
    return ranges


def _chart(name: str, chosen: NDArray[np.bool_], items: _Items) -> Chart:
    words = items.words[chosen]
    ranges = bins(words.tolist())
    inside = np.array([(words >= low) & (words <= high) for low, high in ranges])  # [B, N]
    sums, counts = (
        (table[chosen][:, :, None] * inside.T[:, None, :]).reshape(len(words), -1)
        for table in (items.sums, items.counts)
    )  # [N, R * B]
    ends = intervals(sums, counts)
    numbers = (counts > 0).sum(axis=0)
    points = [
        Point(float(mean), end if number >= LEAST_ITEMS else None, int(number)) if number else None
        for mean, end, number in zip(ratios(sums, counts), ends, numbers, strict=True)
    ]
    size = len(ranges)
    curves = tuple(
        Curve(row, tuple(points[n * size : (n + 1) * size])) for n, row in enumerate(items.rows)
    )
    return Chart(name, tuple(ranges), tuple(int(held.sum()) for held in inside), curves)


def _cuts(items: _Items, records: Sequence[RunRecord]) -> list[CutView]:
    """Return what each different limit of tokens did to the items of a group."""
    views: dict[tuple[int, frozenset[str]], CutView] = {}
    for row in items.rows:
        truncation = row.truncation
        if truncation is None or not truncation.truncated:
            continue
        cut = frozenset(truncation.items) & set(items.ids)
        key = (truncation.limit, cut)
        if key in views:
            views[key] = views[key]._replace(rows=(*views[key].rows, row))
            continue
        is_cut = np.array([item in cut for item in items.ids])
        recorded = bool(cut) and not is_cut.all()
        results = _cut_results(items, is_cut, records) if recorded else ()
        num_items = len(items.ids)
        views[key] = CutView((row,), truncation.limit, truncation.truncated, num_items, results)
    return list(views.values())


def _cut_results(
    items: _Items, is_cut: NDArray[np.bool_], records: Sequence[RunRecord]
) -> tuple[CutResult, ...]:
    sides = (is_cut[:, None], ~is_cut[:, None])
    sums, counts = (
        np.hstack([table * side for side in sides]) for table in (items.sums, items.counts)
    )  # [N, 2 * R], the cut first
    draws, means = ratio_draws(sums, counts), ratios(sums, counts)
    numbers = (counts > 0).sum(axis=0)
    size = len(items.rows)
    results = []
    for n, row in enumerate(items.rows):
        cut, whole = means[n], means[size + n]
        both = int(numbers[n]), int(numbers[size + n])
        results.append(
            CutResult(
                row,
                None if np.isnan(cut) else float(cut),
                None if np.isnan(whole) else float(whole),
                difference_of(cut - whole, draws[:, n] - draws[:, size + n], num_items=min(both)),
                manifest_summary.reads_all(records[row.index].manifest),
                both,
            )
        )
    return tuple(results)
