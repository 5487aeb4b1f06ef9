"""What each part of the page shows, as plain values: the templates only arrange them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from dpgbench.analysis.leaderboard import GroupKey, LeaderboardRow
from dpgbench.analysis.ranking import Group
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import Score
from dpgbench.domain.statistics.paired import Outcomes, PairedDifference
from dpgbench.errors import counted
from dpgbench.report.plots.axis import WHOLE, Axis, ScorePlace, axis_around, colour, place_score
from dpgbench.report.tables.frame import category_names
from dpgbench.report.text import Lead, label, lead, row_warnings
from dpgbench.store.run import manifest_summary as settings
from dpgbench.store.run.scores import RunRecord

_MOST_PAIRS_OF = 6
_NO_FIGURE = Score(None)


class Bar(NamedTuple):
    """One model's score in one category."""

    label: str
    colour: int
    figure: Score
    mark: ScorePlace


class Panel(NamedTuple):
    """All models' scores in one category or source."""

    name: str
    number: int
    bars: tuple[Bar, ...]


class RowView(NamedTuple):
    """A row of the leaderboard with its place in the chart."""

    row: LeaderboardRow
    label: str
    colour: int
    mark: ScorePlace
    l1: tuple[Score, ...]
    warnings: tuple[str, ...]


class Pair(NamedTuple):
    """Two models side by side."""

    first: str
    second: str
    difference: PairedDifference
    outcomes: Outcomes


@dataclass(frozen=True)
class GroupView:
    """A leaderboard with its charts."""

    anchor: str
    key: GroupKey
    axis: Axis
    categories: tuple[str, ...]
    lines: tuple[RowView, ...]
    l1: tuple[Panel, ...]
    l2: tuple[Panel, ...]
    sources: tuple[Panel, ...]
    pairs: tuple[Pair, ...]
    lead: Lead | None
    caveats: tuple[str, ...]
    subset: Subset | None = None

    @property
    def gated(self) -> bool:
        """Whether categories are reported before zeroing too."""
        return any(bar.figure.raw is not None for panel in self.l1 for bar in panel.bars)

    @property
    def items_text(self) -> str:
        """Which items the rows are expected to have."""
        number = max(line.row.items_expected for line in self.lines)
        return str(self.subset) if self.subset else counted(number, "item")


@dataclass(frozen=True)
class JudgeView:
    """A judge as one run's manifest has it."""

    name: str
    hash: str
    digests: tuple[settings.Digest, ...]
    truncated_questions: int


@dataclass(frozen=True)
class RunView:
    """A run with what it takes to make it again."""

    anchor: str
    record: RunRecord
    colour: int
    spec: tuple[tuple[str, str], ...]
    image_size: str
    seed_rule: str
    base_seed: int | None
    truncation: settings.TruncatedPrompts | None
    weights: tuple[settings.Digest, ...]
    judges: tuple[JudgeView, ...]
    failures: Mapping[str, str]


class Notice(NamedTuple):
    """A sentence that must be read before any score, and the runs that it is about."""

    text: str
    runs: tuple[str, ...]


def group_view(group: Group, index: int) -> GroupView:
    """Return the leaderboard of `group`, the report's `index`-th."""
    axis = axis_around((row.overall, row.interval) for row in group.rows)
    categories = tuple(category_names(row.l1 for row in group.rows))
    return GroupView(
        anchor=f"board-{index + 1}",
        key=group.key,
        axis=axis,
        categories=categories,
        lines=tuple(_line(row, group, axis, categories) for row in group.rows),
        l1=_panels(group, lambda row: row.l1),
        l2=_panels(group, lambda row: row.l2),
        sources=_panels(group, lambda row: row.sources),
        pairs=tuple(_pairs(group)),
        lead=lead(group),
        caveats=group.caveats,
        subset=group.subset,
    )


def _line(row: LeaderboardRow, group: Group, axis: Axis, categories: Sequence[str]) -> RowView:
    return RowView(
        row,
        label(row, group),
        colour(row.index),
        place_score(axis, row.overall, row.interval),
        tuple(row.l1.get(name, _NO_FIGURE) for name in categories),
        tuple(row_warnings(row)),
    )


def _panels(
    group: Group, level: Callable[[LeaderboardRow], Mapping[str, Score]]
) -> tuple[Panel, ...]:
    names = category_names(level(row) for row in group.rows)
    panels = []
    for name in names:
        bars = tuple(_bar(row, group, level(row).get(name, _NO_FIGURE)) for row in group.rows)
        panels.append(Panel(name, max(bar.figure.number for bar in bars), bars))
    return tuple(panels)


def _bar(row: LeaderboardRow, group: Group, figure: Score) -> Bar:
    place = place_score(WHOLE, figure.score, figure.interval, figure.raw)
    return Bar(label(row, group), colour(row.index), figure, place)


def _pairs(group: Group) -> Iterable[Pair]:
    """Yield each two models; of many models, only each against the first."""
    ranked = [row for row in group.rows if row.rank is not None]
    several = len(ranked) <= _MOST_PAIRS_OF
    for (first, second), comparison in zip(
        combinations(ranked, 2), group.comparisons, strict=False
    ):
        if comparison.overall is not None and (first is ranked[0] or several):
            names = label(first, group), label(second, group)
            yield Pair(*names, comparison.overall, comparison.outcomes)


def run_view(record: RunRecord, index: int) -> RunView:
    """Return the report's `index`-th run."""
    manifest = record.manifest
    failures: dict[str, str] = {}
    for result in record.results:
        failures |= {item: f"{reason} ({result.rule})" for item, reason in result.failures.items()}
    return RunView(
        anchor=f"run-{index + 1}",
        record=record,
        colour=colour(index),
        spec=tuple(settings.generation_settings(manifest)),
        image_size=settings.image_size(manifest),
        seed_rule=settings.seed_rule(manifest),
        base_seed=settings.base_seed(manifest),
        truncation=settings.truncation(manifest),
        weights=tuple(settings.digests(manifest.identity.get("weights"))),
        judges=tuple(_judge(record, judge) for judge in _judges(record)),
        failures=dict(sorted(failures.items())),
    )


def _judges(record: RunRecord) -> list[str]:
    return sorted({result.judge for result in record.results})


def _judge(record: RunRecord, judge: str) -> JudgeView:
    entry = record.manifest.judges.get(judge, {})
    return JudgeView(
        judge,
        settings.judge_hash(record.manifest, judge),
        tuple(settings.digests(entry.get("weights"))),
        settings.truncated_questions(record.manifest, judge),
    )


def notices(rows: Iterable[LeaderboardRow]) -> list[Notice]:
    """Return every note of every run, each once, with the runs that it is about."""
    about: dict[str, dict[str, None]] = {}
    for row in rows:
        for note in row.notes:
            about.setdefault(note, {})[row.run] = None
    return [Notice(note, tuple(runs)) for note, runs in about.items()]


class RuleLine(NamedTuple):
    """One run's overall with one judge under each rule, and over how many items it is."""

    label: str
    judge: str
    scores: Mapping[str, tuple[float | None, int]]


def rule_lines(groups: Sequence[Group]) -> list[RuleLine]:
    """Return what the same answers score under each rule, where a run has several."""
    scores: dict[tuple[int, str], dict[str, tuple[float | None, int]]] = {}
    names: dict[int, str] = {}
    widest: dict[tuple[int, str, str], int] = {}
    for group in groups:
        for row in group.rows:
            place = (row.index, row.judge, row.rule)
            if widest.get(place, -1) >= row.items_expected:
                continue  # a part of the items beside all of them
            widest[place] = row.items_expected
            names[row.index] = label(row, group)
            scores.setdefault((row.index, row.judge), {})[row.rule] = (
                row.overall,
                row.items_scored,
            )
    return [
        RuleLine(names[index], judge, by_rule)
        for (index, judge), by_rule in sorted(scores.items())
        if len(by_rule) > 1
    ]
