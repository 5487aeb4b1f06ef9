"""The page's chart of scores against prompt length. Figures for papers are in `paper`."""

from __future__ import annotations

from dpgbench.analysis.prompt_length import Chart
from dpgbench.analysis.ranking import Group
from dpgbench.report.plots.axis import axis_around
from dpgbench.report.plots.drawing import Dot, Drawing, Line, Shape, Text
from dpgbench.report.text import label


def length_drawing(chart: Chart, group: Group, width: float = 640, height: float = 300) -> Drawing:
    """Return a line for each model over bins of prompt length, with intervals."""
    left, right, top, bottom = 40.0, 14.0, 14.0, 62.0
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
        text = numbers_text(chart, place) or str(number)
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
    many = len(chart.curves)
    for number, curve in enumerate(chart.curves):
        paint = f"r{curve.row.index}"
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


def numbers_text(chart: Chart, place: int) -> str:
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
