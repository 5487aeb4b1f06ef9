"""Score against the length of the prompt, by source, and what became of prompts that were cut.

Item scores are those of the tables of items; means and intervals are bootstrap ratios as elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dpgbench.analysis.answers import ItemSet
from dpgbench.analysis.cautions import label
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import part
from dpgbench.analysis.rows import Group
from dpgbench.domain.aggregate import Interval
from dpgbench.domain.rows import item_source
from dpgbench.domain.rules import RULES
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS, intervals, ratio_draws
from dpgbench.domain.statistics.paired import difference_of
from dpgbench.report.plots.axis import Axis, axis_around, colour
from dpgbench.store.run import manifest_summary as settings
from dpgbench.store.run.scores import RunRecord

BIN_WORDS = 20
FEW = LEAST_ITEMS  # a bin of fewer items joins its neighbour


class Point(NamedTuple):
    """A mean over `items` items; without an interval where these are too few."""

    score: float
    interval: Interval
    items: int = 0


class Curve(NamedTuple):
    """One result's points, bin by bin; None where it has no item there."""

    label: str
    colour: int
    points: tuple[Point | None, ...]


class Chart(NamedTuple):
    """Curves over bins of prompt length: ``words`` as (least, most), ``items`` in each.

    A curve's point is over those of the bin's items that its result has a score for.
    """

    name: str
    words: tuple[tuple[int, int], ...]
    items: tuple[int, ...]
    curves: tuple[Curve, ...]
    axis: Axis


class Gap(NamedTuple):
    """A difference of two means; without an interval where one of them is over too few items."""

    score: float | None
    interval: Interval


class CutRow(NamedTuple):
    """One result on the prompts that some model's text encoder cut, and on those it did not.

    Attributes:
        cut: mean on cut prompts; None where no item of them has a score.
        whole: the same on the others.
        gap: cut less whole, with its interval; its score is None where one of the two is.
        items: how many items of each have a score.
        reads_all: whether this result's own model was shown whole prompts; None: not known.
    """

    label: str
    colour: int
    cut: float | None
    whole: float | None
    gap: Gap
    reads_all: bool | None
    items: tuple[int, int]


class CutView(NamedTuple):
    """What one model's limit of tokens did; `rows` are empty where the items are not recorded."""

    label: str
    limit: int
    num_cut: int
    num_items: int
    rows: tuple[CutRow, ...]


@dataclass(frozen=True)
class LengthView:
    """One leaderboard's scores against the length of prompts."""

    group: Group
    whole: Chart
    sources: tuple[Chart, ...]
    cuts: tuple[CutView, ...]


def length_views(
    groups: Sequence[Group], sets: Sequence[ItemSet], records: Sequence[RunRecord]
) -> list[LengthView]:
    """Return a view for each group whose prompts are at hand and which has tables of items."""
    views = []
    for group in groups:
        prompts = _prompts(group, sets)
        rows = [row for row in group.rows if row.items]
        items = [item for item in prompts if any(item in row.items for row in rows)]
        if not items or not rows or group.key.rule not in RULES:
            continue
        words = np.array([len(prompts[item].split()) for item in items])
        table = _table(rows, items)
        sources = sorted({item_source(item) for item in items})
        charts = [
            _chart(
                name, np.array([item_source(i) == name for i in items]), words, table, group, rows
            )
            for name in sources
        ]
        every = _chart("all prompts", np.ones(len(items), dtype=bool), words, table, group, rows)
        cuts = tuple(_cuts(group, rows, items, table, records))
        views.append(LengthView(group, every, tuple(charts) if len(charts) > 1 else (), cuts))
    return views


def _prompts(group: Group, sets: Sequence[ItemSet]) -> Mapping[str, str]:
    places = {row.index for row in group.rows}
    for items in sets:
        if items.benchmark is not None and places & {run.index for run in items.runs}:
            known = items.benchmark.prompts
            return {item: known[item] for item in items.items if known.get(item)}
    return {}


Table = tuple["np.ndarray[tuple[int, int], np.dtype[np.float64]]", ...]


def _table(rows: Sequence[LeaderboardRow], items: Sequence[str]) -> Table:
    """Return what each item adds to each row's overall: sums and counts, both [N, R]."""
    rule = RULES[rows[0].rule]
    parts = np.array(
        [[part(row.items[i], rule) if i in row.items else (0.0, 0) for row in rows] for i in items],
        dtype=np.float64,
    ).reshape(len(items), len(rows), 2)
    return parts[:, :, 0], parts[:, :, 1]


def bins(words: Sequence[int], *, width: int = BIN_WORDS, few: int = FEW) -> list[tuple[int, int]]:
    """Return ranges of lengths, each `width` words wide or, so as to hold `few` items, wider."""
    if not len(words):
        return []
    found: list[tuple[int, int]] = []
    low = min(words) // width * width
    held = 0
    for start in range(low, max(words) + 1, width):
        held += sum(start <= word < start + width for word in words)
        if held >= few:
            found.append((low, start + width - 1))
            low, held = start + width, 0
    if held and found:
        found[-1] = (found[-1][0], (max(words) // width + 1) * width - 1)
    elif held:
        found.append((low, (max(words) // width + 1) * width - 1))
    return found


def _chart(
    name: str,
    chosen: np.ndarray[tuple[int], np.dtype[np.bool_]],
    words: np.ndarray[tuple[int], np.dtype[np.int64]],
    table: Table,
    group: Group,
    rows: Sequence[LeaderboardRow],
) -> Chart:
    sums, counts = (part[chosen] for part in table)
    ranges = bins([int(word) for word in words[chosen]])
    inside = [(words[chosen] >= low) & (words[chosen] <= high) for low, high in ranges]
    columns = [
        (sums[:, r] * held, counts[:, r] * held) for r in range(len(rows)) for held in inside
    ]
    ends = intervals(
        np.column_stack([s for s, _ in columns]), np.column_stack([c for _, c in columns])
    )
    points = [_point(s, c, end) for (s, c), end in zip(columns, ends, strict=True)]
    size = len(ranges)
    curves = tuple(
        Curve(label(row, group), colour(row.index), tuple(points[n * size : (n + 1) * size]))
        for n, row in enumerate(rows)
    )
    axis = axis_around((point.score, point.interval) for point in points if point)
    return Chart(name, tuple(ranges), tuple(int(held.sum()) for held in inside), curves, axis)


Column = np.ndarray[tuple[int], np.dtype[np.float64]]


def _point(sums: Column, counts: Column, interval: Interval) -> Point | None:
    items = int((counts > 0).sum())
    if not items:
        return None
    return Point(float(sums.sum() / counts.sum()), interval if items >= FEW else None, items)


def _cuts(
    group: Group,
    rows: Sequence[LeaderboardRow],
    items: Sequence[str],
    table: Table,
    records: Sequence[RunRecord],
) -> list[CutView]:
    """Return what each different limit of tokens did to the items of a group."""
    views: dict[tuple[int, frozenset[str]], CutView] = {}
    limits = {row.index: settings.truncation(records[row.index].manifest) for row in rows}
    for row in rows:
        found = limits[row.index]
        if found is None or not found.truncated:
            continue
        cut = frozenset(found.items) & set(items)
        key = (found.limit, cut)
        held = np.array([item in cut for item in items])
        told: tuple[CutRow, ...] = ()
        if cut and not held.all():
            told = _cut_rows(rows, group, table, held, records)
        if key in views:
            old = views[key]
            views[key] = old._replace(label=f"{old.label}, {label(row, group)}")
        else:
            views[key] = CutView(label(row, group), found.limit, found.truncated, len(items), told)
    return list(views.values())


def _cut_rows(
    rows: Sequence[LeaderboardRow],
    group: Group,
    table: Table,
    held: np.ndarray[tuple[int], np.dtype[np.bool_]],
    records: Sequence[RunRecord],
) -> tuple[CutRow, ...]:
    split = [tuple(part * side[:, None] for part in table) for side in (held, ~held)]
    sums, counts = (np.hstack([side[n] for side in split]) for n in (0, 1))
    draws = ratio_draws(sums, counts)
    totals, numbers = counts.sum(axis=0), (counts > 0).sum(axis=0)
    means = np.divide(sums.sum(axis=0), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    size = len(rows)
    found = []
    for n, row in enumerate(rows):
        cut, whole = means[n], means[size + n]
        items = int(numbers[n]), int(numbers[size + n])
        gap = difference_of(cut - whole, draws[:, n] - draws[:, size + n], num_items=min(items))
        found.append(
            CutRow(
                label(row, group),
                colour(row.index),
                None if np.isnan(cut) else float(cut),
                None if np.isnan(whole) else float(whole),
                Gap(None, None) if gap is None else Gap(gap.difference, gap.interval),
                settings.reads_all(records[row.index].manifest),
                items,
            )
        )
    return tuple(found)
