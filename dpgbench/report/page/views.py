"""What each part of the page shows, as plain values: the templates only arrange them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dpgbench.analysis.board import Board
from dpgbench.analysis.common_items import CommonRow
from dpgbench.analysis.leaderboard import GroupKey, LeaderboardRow
from dpgbench.analysis.ranking import Group
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import Score
from dpgbench.errors import counted
from dpgbench.report.page.columns import (
    UNKNOWN,
    Column,
    columns,
    licence_text,
    parameters_text,
)
from dpgbench.report.plots.axis import Axis, ScorePlace, axis_around, place_score
from dpgbench.report.tables.frame import category_names
from dpgbench.report.text import Lead, label, lead, number_text, row_warnings
from dpgbench.store.published import CATEGORIES
from dpgbench.store.run import manifest_summary as settings
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.scores import RunRecord

_HEAT_STEPS = 8
_NO_FIGURE = Score(None)


class CategoryCell(NamedTuple):
    """One row's score in one L1 category: the step of its ground (0 to 8), and is it lowest."""

    name: str
    figure: Score
    heat: int | None
    weakest: bool


class RowView(NamedTuple):
    """A row of the leaderboard with its place in the chart.

    Attributes:
        run: the run's name, where it is another than the model's.
    """

    row: LeaderboardRow
    label: str
    run: str
    mark: ScorePlace
    l1: tuple[CategoryCell, ...]
    warnings: tuple[str, ...]


class Dots(NamedTuple):
    """All models' scores in one category, as places on the axis."""

    name: str
    number: int
    marks: tuple[tuple[RowView, ScorePlace], ...]


class Level(NamedTuple):
    """All models' scores in finer parts: a line a part, a figure a model."""

    title: str
    unit: str
    lines: tuple[tuple[str, tuple[Score, ...]], ...]


class CommonLine(NamedTuple):
    """A row on the items that all have, beside its result on its own."""

    row: LeaderboardRow
    label: str
    common: CommonRow


class CommonView(NamedTuple):
    """Results on different items, ranked on those that all have."""

    anchor: str
    key: GroupKey
    items: int
    lines: tuple[CommonLine, ...]


@dataclass(frozen=True)
class GroupView:
    """A leaderboard with its charts.

    Attributes:
        axis: of overall scores; `l1_axis` of L1 categories.
        heat: the lowest and highest score in an L1 category.
        numbers: over how many things each L1 category is, where that is one number for all rows.
        scored: over how many items the rows are, where that is one number.
        alike: what all rows have alike, said once.
    """

    index: int
    anchor: str
    key: GroupKey
    benchmark: str
    axis: Axis
    l1_axis: Axis
    heat: tuple[float, float]
    categories: tuple[str, ...]
    numbers: tuple[str, ...]
    scored: str
    lines: tuple[RowView, ...]
    columns: tuple[Column, ...]
    dots: tuple[Dots, ...]
    levels: tuple[Level, ...]
    lead: Lead | None
    single: RowView | None
    caveats: tuple[str, ...]
    subset: Subset | None = None

    @property
    def items_text(self) -> str:
        """Which items the rows are expected to have."""
        number = max(line.row.items_expected for line in self.lines)
        return str(self.subset) if self.subset else counted(number, "item")

    @property
    def empty(self) -> bool:
        """Whether no run has set out to do any item, as a shard of few."""
        return not any(line.row.items_expected for line in self.lines)

    @property
    def alike(self) -> str:
        """What all rows have alike, as one sentence; empty where there is nothing."""
        return ", ".join(column.alike for column in self.columns if column.alike)

    @property
    def ranked(self) -> int:
        """How many rows have a rank."""
        return sum(line.row.rank is not None for line in self.lines)


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
    spec: tuple[tuple[str, str], ...]
    image_size: str
    seed_rule: str
    base_seed: int | None
    licence: str
    parameters: str
    truncation: settings.TruncatedPrompts | None
    weights: tuple[settings.Digest, ...]
    judges: tuple[JudgeView, ...]
    items_text: str
    failures: Mapping[str, str]


class Notice(NamedTuple):
    """A sentence that must be read before any score, and the runs that it is about."""

    text: str
    runs: tuple[str, ...]


def group_view(board: Board, index: int, benchmark: str) -> GroupView:
    """Return the leaderboard of the board's `index`-th group.

    Args:
        benchmark: its name in choices, where two benchmarks of one name must be told apart.
    """
    group = board.groups[index]
    axis = axis_around((row.overall, row.interval) for row in group.rows)
    categories = tuple(in_order(category_names(row.l1 for row in group.rows)))
    figures = [[row.l1.get(name, _NO_FIGURE) for name in categories] for row in group.rows]
    l1_axis = axis_around((figure.score, figure.interval) for line in figures for figure in line)
    scores = [figure.score for line in figures for figure in line if figure.score is not None]
    heat = (min(scores, default=0.0), max(scores, default=100.0))
    lines = tuple(_line(row, group, axis, heat, categories) for row in group.rows)
    return GroupView(
        index=index,
        anchor=f"board-{index + 1}",
        key=group.key,
        benchmark=benchmark,
        axis=axis,
        l1_axis=l1_axis,
        heat=heat,
        categories=categories,
        numbers=tuple(_one_number(column) for column in zip(*figures, strict=True)),
        scored=_alike(f"n={row.items_scored:,}" for row in group.rows),
        lines=lines,
        columns=columns(group.rows, board.records, board.seconds),
        dots=_dots(lines, l1_axis, categories),
        levels=tuple(_levels(group)),
        lead=lead(group),
        single=next((line for line in lines if line.row.overall is not None), None),
        caveats=group.caveats,
        subset=group.subset,
    )


def common_views(board: Board, benchmark_of: Callable[[int], str]) -> list[CommonView]:
    """Return the rankings on the items that all have.

    Args:
        benchmark_of: the name in choices of the benchmark of a group, by its place.
    """
    rows = board.rows
    group_of = [group for group in board.groups for _ in group.rows]
    return [
        CommonView(
            f"common-{number + 1}",
            board.groups[common.groups[0]].key._replace(benchmark=benchmark_of(common.groups[0])),
            common.items,
            tuple(
                CommonLine(rows[line.place], label(rows[line.place], group_of[line.place]), line)
                for line in common.rows
            ),
        )
        for number, common in enumerate(board.common)
    ]


def in_order(names: Sequence[str]) -> list[str]:
    """Return L1 categories in the order in which papers have them, others after them."""
    return sorted(names, key=lambda name: (_place(name), name))


def _place(name: str) -> int:
    return CATEGORIES.index(name) if name in CATEGORIES else len(CATEGORIES)


def _alike(texts: Iterable[str]) -> str:
    """Return the text that all are; empty where they are several."""
    different = set(texts)
    return different.pop() if len(different) == 1 else ""


def _one_number(figures: Sequence[Score]) -> str:
    return _alike(number_text(figure) for figure in figures if figure.score is not None)


def _line(
    row: LeaderboardRow,
    group: Group,
    axis: Axis,
    heat: tuple[float, float],
    categories: Sequence[str],
) -> RowView:
    twice = sum(other.model == row.model for other in group.rows) > 1
    return RowView(
        row,
        label(row, group),
        row.run if twice or row.run != row.model else "",
        place_score(axis, row.overall, row.interval),
        tuple(_cells(row, heat, categories)),
        tuple(row_warnings(row)),
    )


def _cells(
    row: LeaderboardRow, heat: tuple[float, float], categories: Sequence[str]
) -> Iterator[CategoryCell]:
    scores = [figure.score for figure in row.l1.values() if figure.score is not None]
    lowest = min(scores) if len(set(scores)) > 1 else None
    for name in categories:
        figure = row.l1.get(name, _NO_FIGURE)
        step = None
        if figure.score is not None and heat[1] > heat[0]:
            step = round(_HEAT_STEPS * (figure.score - heat[0]) / (heat[1] - heat[0]))
        yield CategoryCell(name, figure, step, figure.score is not None and figure.score == lowest)


def _dots(lines: Sequence[RowView], axis: Axis, categories: Sequence[str]) -> tuple[Dots, ...]:
    return tuple(
        Dots(
            name,
            max(line.l1[at].figure.number for line in lines),
            tuple(
                (line, place_score(axis, line.l1[at].figure.score, line.l1[at].figure.interval))
                for line in lines
            ),
        )
        for at, name in enumerate(categories)
    )


def _levels(group: Group) -> Iterator[Level]:
    """Yield finer categories and sources, where the rows have any."""
    parts: tuple[tuple[str, str, Callable[[LeaderboardRow], Mapping[str, Score]]], ...] = (
        ("Finer categories (L2)", "questions", lambda row: row.l2),
        ("By source of the prompt", "items", lambda row: row.sources),
    )
    for title, unit, level in parts:
        names = category_names(level(row) for row in group.rows)
        lines = tuple(
            (name, tuple(level(row).get(name, _NO_FIGURE) for row in group.rows)) for name in names
        )
        if lines:
            yield Level(title, unit, lines)


def run_view(record: RunRecord, index: int) -> RunView:
    """Return the report's `index`-th run."""
    manifest = record.manifest
    failures: dict[str, str] = {}
    for result in record.results:
        failures |= {item: f"{reason} ({result.rule})" for item, reason in result.failures.items()}
    return RunView(
        anchor=f"run-{index + 1}",
        record=record,
        spec=tuple(settings.generation_settings(manifest)),
        image_size=settings.image_size(manifest),
        seed_rule=settings.seed_rule(manifest),
        base_seed=settings.base_seed(manifest),
        licence=licence_text(manifest) or UNKNOWN,
        parameters=_parameters(manifest) or UNKNOWN,
        truncation=settings.truncation(manifest),
        weights=tuple(settings.digests(manifest.identity.get("weights"))),
        judges=tuple(_judge(record, judge) for judge in _judges(record)),
        items_text=counted(len(manifest.items), "item"),
        failures=dict(sorted(failures.items())),
    )


def _parameters(manifest: Manifest) -> str:
    """Return how many parameters a run's model has, and which of its networks has how many."""
    parts = settings.parameters(manifest)
    if not parts:
        return ""
    named = [
        f"{name.replace('_', ' ')} {parameters_text(number)}" for name, number in parts.items()
    ]
    return f"{parameters_text(sum(parts.values()))} ({', '.join(named)})"


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
