"""Learning curves: score, and loss on held-out pairs, against training steps."""

from __future__ import annotations

from dpgbench.analysis.learning import LearningCurve
from dpgbench.report.plots.axis import axis_around
from dpgbench.report.plots.drawing import Dot, Drawing, Line, Shape, Text
from dpgbench.report.text import shown

_LEFT, _RIGHT, _TOP, _PANEL, _GAP = 46.0, 190.0, 14.0, 240.0, 46.0
_LOSS_PANEL = 110.0
_MOST_OTHERS = 4


def learning_drawing(curve: LearningCurve, width: float = 640) -> Drawing:
    """Return scores with intervals over steps, the loss below them where it was measured.

    Models that are no looks at a training are level lines.
    """
    inner = width - _LEFT - _RIGHT
    last = max(point.look.step for point in curve.points)

    def place(step: int) -> float:
        return _LEFT + inner * step / last

    shapes = _score_panel(curve, place(0), place(last), [place(p.look.step) for p in curve.points])
    bottom = _TOP + _PANEL
    losses = [
        (place(point.look.step), point.look.held_out_loss)
        for point in curve.points
        if point.look.held_out_loss is not None
    ]
    if len(losses) > 1:
        shapes += _loss_panel([(x, float(loss)) for x, loss in losses], bottom + 18)
        bottom += 18 + _LOSS_PANEL
    for point in curve.points:
        x = place(point.look.step)
        shapes.append(Text(x, bottom + 18, f"{point.look.step:,}", "soft", 11, "middle"))
    shapes.append(Text(_LEFT + inner / 2, bottom + 36, "training steps", "soft", 11, "middle"))
    return Drawing(width, bottom + _GAP, _title(curve), tuple(shapes))


def _score_panel(curve: LearningCurve, left: float, right: float, xs: list[float]) -> list[Shape]:
    rows = [point.row for point in curve.points]
    others = curve.others[:_MOST_OTHERS]
    axis = axis_around((row.overall, row.interval) for row in (*rows, *others))

    def level(score: float) -> float:
        return _TOP + _PANEL * (1 - axis.place(score) / 100)

    shapes: list[Shape] = []
    for tick in axis.ticks:
        shapes.append(Line(((left, level(tick)), (right, level(tick))), "line", 1))
        shapes.append(Text(left - 8, level(tick) + 4, f"{tick:.0f}", "soft", 11, "end"))
    for row in others:
        if row.overall is not None:
            y, paint = level(row.overall), f"r{row.index}"
            name = f"{shown(row.run, 20)} {row.overall:.1f}"
            shapes.append(Line(((left, y), (right, y)), paint, 1))
            shapes.append(Text(right + 12, y + 4, name, size=11))
    paint = f"r{rows[-1].index}"
    ys = [level(row.overall or 0.0) for row in rows]
    shapes.append(Line(tuple(zip(xs, ys, strict=True)), paint, 2))
    for x, y, row in zip(xs, ys, rows, strict=True):
        if row.interval is not None:
            low, high = map(level, row.interval)
            shapes.append(Line(((x, low), (x, high)), paint, 1))
        shapes.append(Dot(x, y, 4, paint))
        shapes.append(Text(x - 6, y - 8, f"{row.overall:.1f}", size=11, anchor="end"))
    return shapes


def _loss_panel(losses: list[tuple[float, float]], top: float) -> list[Shape]:
    values = [loss for _, loss in losses]
    low, high = min(values), max(values)
    spread = (high - low) or 1.0

    def level(loss: float) -> float:
        return top + 12 + (_LOSS_PANEL - 24) * (high - loss) / spread

    shapes: list[Shape] = [
        Text(losses[-1][0] + 12, level(values[-1]) + 4, "held-out loss", size=11),
        Line(tuple((x, level(loss)) for x, loss in losses), "ink", 1.5),
    ]
    for x, loss in losses:
        shapes.append(Dot(x, level(loss), 3, "ink"))
        shapes.append(Text(x + 6, level(loss) - 6, f"{loss:.4f}", "soft", 10))
    return shapes


def _title(curve: LearningCurve) -> str:
    key = curve.group.key
    scores = ", ".join(f"step {point.look.step} {point.row.overall:.1f}" for point in curve.points)
    return (
        f"Learning curve of {shown(curve.training)}, {shown(key.benchmark)}, judge"
        f" {shown(key.judge)}, rule {shown(key.rule)}: {scores}"
    )
