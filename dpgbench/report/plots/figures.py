"""Plots of a leaderboard for papers: overall, categories, score against prompt length."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import GroupKey
from dpgbench.analysis.prompt_length import Chart
from dpgbench.analysis.ranking import Group
from dpgbench.domain.result import Score
from dpgbench.domain.spec import identity_hash
from dpgbench.report.plots.axis import WHOLE, Axis, axis_around, colour
from dpgbench.report.plots.drawing import (
    Box,
    Dot,
    Drawing,
    Line,
    Shape,
    Text,
    figure_png,
    figure_svg,
)
from dpgbench.report.tables.frame import category_names
from dpgbench.report.text import label, number_text, shown, with_interval

_LABEL = 190
_ROW = 26
_NAME_LIMIT = 28


def figure_files(board: Board) -> dict[str, bytes]:
    """Return file names and contents: each plot of each leaderboard as SVG and as PNG."""
    drawings: dict[str, Drawing] = {}
    names = _names_of([group.key for group in board.groups])
    for group in board.groups:
        name = names[group.key]
        drawings[f"overall-{name}"] = overall_drawing(group)
        if any(row.l1 for row in group.rows):
            drawings[f"categories-{name}"] = category_drawing(group)
    for view in board.prompt_lengths:
        drawings[f"length-{names[view.group.key]}"] = length_drawing(
            view.whole, view.group, 640 + _LABEL, names=True
        )
    files: dict[str, bytes] = {}
    for name, drawing in drawings.items():
        files[f"{name}.svg"] = figure_svg(drawing).encode(errors="replace")
        files[f"{name}.png"] = figure_png(drawing)
    return files


def _names_of(keys: Sequence[GroupKey]) -> dict[GroupKey, str]:
    """Return a file name for each leaderboard; hashes are added where two would have one name."""
    plain = {
        key: re.sub(r"[^\w.-]+", "-", f"{key.benchmark}-{key.judge}-{key.rule}")[:80]
        for key in keys
    }
    names = list(plain.values())
    return {
        key: name if names.count(name) == 1 else f"{name}-{identity_hash(key._asdict())[:8]}"
        for key, name in plain.items()
    }


def overall_drawing(group: Group) -> Drawing:
    """Return each model's overall as a dot with its 95% interval, best on top."""
    axis = axis_around((row.overall, row.interval) for row in group.rows)
    left, width, right = _LABEL, 360.0, 130.0
    shapes = _scale(axis, left, width, 12, 12 + _ROW * len(group.rows))
    for place, row in enumerate(group.rows):
        y = 12 + _ROW * (place + 0.5)
        shapes.append(Text(left - 10, y + 4, _name(group, place), anchor="end"))
        if row.overall is None:
            continue
        if row.interval is not None:
            low, high = (left + width * axis.place(end) / 100 for end in row.interval)
            shapes += _whisker(low, high, y)
        x = left + width * axis.place(row.overall) / 100
        shapes.append(Dot(x, y, 4.5, f"c{colour(row.index)}"))
        text = f"{with_interval(row.overall, row.interval)} n={row.items_scored}"
        shapes.append(Text(left + width + 12, y + 4, text, size=11))
    height = 12 + _ROW * len(group.rows) + 34
    return Drawing(left + width + right, height, _title("Overall", group), tuple(shapes))


def _name(group: Group, place: int) -> str:
    return shown(label(group.rows[place], group), _NAME_LIMIT)


def _title(what: str, group: Group) -> str:
    key = group.key
    part = f" (only {group.subset})" if group.subset else ""
    return (
        f"{what}, {shown(key.benchmark)}{part}, judge {shown(key.judge)}, rule {shown(key.rule)}: "
        "mean times 100 with 95% bootstrap intervals over prompts"
    )


def _scale(axis: Axis, left: float, width: float, top: float, bottom: float) -> list[Shape]:
    """Return the upright lines of an axis and the figures below them."""
    shapes: list[Shape] = []
    for tick in axis.ticks:
        x = left + width * axis.place(tick) / 100
        shapes.append(Line(((x, top), (x, bottom)), "line", 1))
        shapes.append(Text(x, bottom + 16, f"{tick:.0f}", "soft", 11, "middle"))
    return shapes


def _whisker(low: float, high: float, y: float) -> list[Shape]:
    ends: list[Shape] = [Line(((x, y - 4), (x, y + 4)), "ink") for x in (low, high)]
    return [Line(((low, y), (high, y)), "ink"), *ends]


def category_drawing(group: Group) -> Drawing:
    """Return a bar with a whisker for each model in each L1 category."""
    names = category_names(row.l1 for row in group.rows)
    left, width, bar = _LABEL, 360.0, 13.0
    shapes: list[Shape] = []
    y = 12.0
    total = y + sum(24 + bar * len(group.rows) + 12 for _ in names)
    shapes += _scale(WHOLE, left, width, y, total)
    for name in names:
        shapes.append(Text(left - 10, y + 14, shown(name, _NAME_LIMIT), size=12.5, anchor="end"))
        y += 24
        for place, row in enumerate(group.rows):
            figure = row.l1.get(name, Score(None))
            shapes += _bar(figure, left, width, y, bar, f"c{colour(row.index)}")
            model = _name(group, place)
            shapes.append(Text(left - 10, y + bar - 3, model, "soft", 10, "end"))
            y += bar
        y += 12
    return Drawing(left + width + 130, total + 30, _title("Categories", group), tuple(shapes))


def _bar(
    figure: Score, left: float, width: float, y: float, height: float, paint: str
) -> list[Shape]:
    if figure.score is None:
        return []
    shapes: list[Shape] = [Box(left, y, width * figure.score / 100, height - 3, paint)]
    if figure.interval is not None:
        low, high = (left + width * end / 100 for end in figure.interval)
        middle = y + (height - 3) / 2
        shapes.append(Line(((low, middle), (high, middle)), "ink"))
        shapes += [Line(((x, middle - 3), (x, middle + 3)), "ink") for x in (low, high)]
    text = f"{with_interval(figure.score, figure.interval)} {number_text(figure)}".rstrip()
    return [*shapes, Text(left + width + 12, y + height - 3, text, size=10)]


def length_drawing(
    chart: Chart, group: Group, width: float = 640, height: float = 300, *, names: bool = False
) -> Drawing:
    """Return a line for each model over bins of prompt length, with intervals.

    Args:
        names: tell the models beside the lines; the page has a legend of its own.
    """
    left, right, top, bottom = 40.0, (_LABEL if names else 14.0), 14.0, 62.0
    inner_w, inner_h = width - left - right, height - top - bottom
    shapes: list[Shape] = []
    axis = axis_around(
        (point.score, point.interval) for curve in chart.curves for point in curve.points if point
    )

    def level(score: float) -> float:
        return top + inner_h * (1 - axis.place(score) / 100)

    for tick in axis.ticks:
        y = level(tick)
        shapes.append(Line(((left, y), (width - right, y)), "line", 1))
        shapes.append(Text(left - 8, y + 4, f"{tick:.0f}", "soft", 11, "end"))
    step = inner_w / max(1, len(chart.words))
    for place, ((low, high), number) in enumerate(zip(chart.words, chart.items, strict=True)):
        x = left + step * (place + 0.5)
        shapes.append(Text(x, height - bottom + 18, f"{low}–{high}", "soft", 10.5, "middle"))
        text = _numbers(chart, place) or str(number)
        shapes.append(Text(x, height - bottom + 32, f"n={text}", "soft", 9.5, "middle"))
    shapes.append(
        Text(
            left + inner_w / 2,
            height - 8,
            "words in the prompt; n = items, for each model where they differ",
            "soft",
            11,
            "middle",
        )
    )
    if names:
        shapes += _names(chart, group, width - right + 16, top)
    many = len(chart.curves)
    for number, curve in enumerate(chart.curves):
        paint = f"c{colour(curve.row.index)}"
        aside = min(7.0, step / (many + 1)) * (number - (many - 1) / 2)
        placed = [
            (left + step * (place + 0.5) + aside, point)
            for place, point in enumerate(curve.points)
            if point is not None
        ]
        if placed:  # a row without a scored item has no curve
            shapes.append(Line(tuple((x, level(point.score)) for x, point in placed), paint, 1.5))
        for x, point in placed:
            if point.interval is not None:
                low_end, high_end = point.interval
                shapes.append(Line(((x, level(low_end)), (x, level(high_end))), paint, 1))
            shapes.append(Dot(x, level(point.score), 3.2, paint))
    title = (
        f"Score against words in the prompt, {chart.name}: {'; '.join(_described(chart, group))}"
    )
    return Drawing(width, height, title, tuple(shapes))


def _names(chart: Chart, group: Group, x: float, top: float) -> list[Shape]:
    shapes: list[Shape] = []
    for place, curve in enumerate(chart.curves):
        y = top + 8 + 20 * place
        shapes.append(Dot(x, y, 4, f"c{colour(curve.row.index)}"))
        shapes.append(Text(x + 10, y + 4, shown(label(curve.row, group), _NAME_LIMIT), size=11))
    return shapes


def _numbers(chart: Chart, place: int) -> str:
    """Return over how many items the points of a bin are: one number, or one for each curve."""
    numbers = [point.items for curve in chart.curves if (point := curve.points[place]) is not None]
    if len(set(numbers)) < 2 or len(numbers) <= 3:
        return "/".join(map(str, dict.fromkeys(numbers) if len(set(numbers)) < 2 else numbers))
    return f"{min(numbers)}–{max(numbers)}"


def _described(chart: Chart, group: Group) -> list[str]:
    """Return each curve in words."""
    described = []
    for curve in chart.curves:
        parts = [
            f"{low}-{high} words {point.score:.1f} (n={point.items})"
            for (low, high), point in zip(chart.words, curve.points, strict=True)
            if point is not None
        ]
        described.append(f"{label(curve.row, group)}: {', '.join(parts)}")
    return described
