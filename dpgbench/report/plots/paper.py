"""Figures for papers, by matplotlib: each as SVG, PDF and PNG, the same bytes each time.

Every figure says benchmark, judge, rule and over how many items or questions it is, and tells
models apart by marker and dash as well as by colour. Fonts are embedded as TrueType.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dpgbench.analysis.board import Board
from dpgbench.analysis.learning import LearningCurve
from dpgbench.analysis.prompt_length import LengthView
from dpgbench.analysis.ranking import Group
from dpgbench.domain.result import Score
from dpgbench.errors import SetupError, counted
from dpgbench.report.group_names import group_names
from dpgbench.report.plots.axis import axis_around
from dpgbench.report.plots.figures import numbers_text
from dpgbench.report.plots.fonts import Fonts, fonts_for
from dpgbench.report.tables.frame import category_names
from dpgbench.report.text import (
    NOTHING,
    category_title,
    in_field_order,
    label,
    shown,
    with_interval,
)
from dpgbench.store.published import BENCHMARK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = ("svg", "pdf", "png")
# Apart for people who see colours otherwise too (after Okabe and Ito, and Tol), on white paper.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
    "#000000", "#8a6d00", "#6a3d9a", "#7f7f7f", "#882255", "#44aa99",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1.2)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
)
_INK = "#1d1c1a"
_GRID = "#d6d2c8"
_NAME_LIMIT = 60
_NAME_WIDTH = 26  # letters a line
_WIDTH_INCHES = 7.0  # of a text of two columns
_ROW_INCHES = 0.27
_LINE_INCHES = 0.13
_MOST_LINES = 3
_PANELS = 5  # side by side
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": _INK,
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.titlesize": 9,
    "font.size": 8,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "pdf.compression": 6,
    "savefig.dpi": 300,
    "svg.fonttype": "none",
    "svg.hashsalt": "dpgbench",
    "text.parse_math": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7.5,
}


class Look(NamedTuple):
    """How a run's marks and lines look, in every figure of a report."""

    colour: str
    marker: str
    dash: Any


def look_of(index: int) -> Look:
    """Return the look of a report's `index`-th run; no two of 144 runs have the same."""
    turn = index // len(COLOURS)
    return Look(
        COLOURS[index % len(COLOURS)],
        MARKERS[(index + turn) % len(MARKERS)],
        DASHES[(index + turn) % len(DASHES)],
    )


def figure_files(board: Board) -> dict[str, bytes]:
    """Return file names and contents: each figure of each leaderboard as SVG, PDF and PNG.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401 - here to be told in one line
    except ImportError:
        raise SetupError("--figures needs matplotlib: pip install 'dpgbench[figures]'") from None
    fonts = fonts_for(_texts(board))
    if fonts.missing:
        log.warning(
            "figures: no font on this machine has %s: their code points stand there; "
            "install a font that has them, such as fonts-noto-cjk",
            fonts.missing,
        )
    files: dict[str, bytes] = {}
    with _style(fonts):
        for name, title, figure in _figures(board, fonts):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # all formats have the layout that is there now
            for form in FORMATS:
                files[f"{name}.{form}"] = _saved(figure, form, title)
    return files


def _figures(board: Board, fonts: Fonts) -> Iterator[tuple[str, str, Figure]]:
    """Yield the name, title and figure of each plot."""
    names = group_names([group.key for group in board.groups])
    lengths = {view.group.key: view for view in board.prompt_lengths}
    for group in board.groups:
        name = names[group.key]
        drawing = _Drawing(group, fonts)
        yield f"overall-{name}", drawing.title, drawing.overall()
        if any(row.l1 for row in group.rows):
            yield f"categories-{name}", drawing.title, drawing.categories()
        if group.key in lengths:
            yield f"length-{name}", drawing.title, drawing.length(lengths[group.key])
        for curve in board.learning:
            if curve.group.key == group.key:
                training = re.sub(r"[^\w.-]+", "-", curve.training)[:40]
                yield f"learning-{training}-{name}", drawing.title, drawing.learning(curve)


@contextlib.contextmanager
def _style(fonts: Fonts) -> Iterator[None]:
    """Have figures look alike whatever the user's settings are."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        matplotlib.rcParams["font.family"] = list(fonts.families)
        # Outlines of other fonts than TrueType go into a PDF as Type 3.
        matplotlib.rcParams["pdf.fonttype"] = 42 if fonts.is_truetype else 3
        yield


def _saved(figure: Figure, form: Format, title: str) -> bytes:
    """Return a figure as a file without a date or the release of what made it."""
    metadata: dict[str, Any] = {"Title": title}
    match form:
        case "svg":
            metadata |= {"Date": None, "Creator": None}
        case "pdf":
            metadata |= {"CreationDate": None, "Creator": None, "Producer": None}
        case "png":
            metadata |= {"Software": None}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=metadata, bbox_inches="tight", pad_inches=0.04)
    return buffer.getvalue()


def _texts(board: Board) -> Iterator[str]:
    """Yield every text of a user that figures show."""
    for group in board.groups:
        key = group.key
        yield from (key.benchmark, key.judge, key.rule, str(group.subset or ""))
        for row in group.rows:
            yield shown(label(row, group, _NAME_LIMIT), 2 * _NAME_LIMIT)
            yield from row.l1


class _Drawing:
    """The figures of one leaderboard."""

    def __init__(self, group: Group, fonts: Fonts) -> None:
        self._group, self._fonts = group, fonts
        self._names = [self._name(row_label) for row_label in self._labels()]
        deepest = max(1 + name.count("\n") for name in self._names)
        self._row_inches = max(_ROW_INCHES, 0.06 + _LINE_INCHES * deepest)

    def _labels(self) -> list[str]:
        return [label(row, self._group, _NAME_LIMIT) for row in self._group.rows]

    def _name(self, text: str) -> str:
        """Return a model's name in lines that fit beside a figure."""
        return "\n".join(
            textwrap.wrap(
                self._fonts.printable(text), _NAME_WIDTH, max_lines=_MOST_LINES, placeholder="…"
            )
        )

    @property
    def title(self) -> str:
        """What every figure says above it: benchmark, judge, rule, items."""
        key = self._group.key
        name = "DPG-Bench" if key.benchmark == BENCHMARK else shown(key.benchmark)
        text = (
            f"{name}, judge {shown(key.judge)}, rule {shown(key.rule)}, n = {_items(self._group)}"
        )
        return self._fonts.printable(text)

    def overall(self) -> Figure:
        """Return each model's overall as a dot with its interval, best on top."""
        rows = self._group.rows
        figure = _figure(0.75 + self._row_inches * len(rows), 0.72 * _WIDTH_INCHES)
        axes = figure.add_subplot()
        self._name_rows(axes)
        for place, row in enumerate(rows):
            self._dot(axes, place, Score(row.overall, row.interval))
            number = "" if _is_alike(rows) else f", n = {row.items_scored:,}"
            text = with_interval(row.overall, row.interval) if row.overall is not None else NOTHING
            axes.annotate(
                f"{text}{number}",
                (1.02, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7,
                annotation_clip=False,
            )
        _zoom(axes, [Score(row.overall, row.interval) for row in rows])
        axes.set_xlabel("Overall score (mean times 100, 95% bootstrap interval)")
        figure.suptitle(self._wrapped(60))
        return figure

    def categories(self) -> Figure:
        """Return a panel for each L1 category, on one scale, models in the order of the overall."""
        rows = self._group.rows
        names = in_field_order(category_names(row.l1 for row in rows))
        deep = -(-len(names) // _PANELS)
        wide = min(len(names), _PANELS)
        height = 0.7 + deep * (0.55 + self._row_inches * len(rows))
        figure = _figure(height, _WIDTH_INCHES)
        panels = figure.subplots(deep, wide, sharex=True, sharey=True, squeeze=False)
        scores = [[row.l1.get(name, Score(None)) for row in rows] for name in names]
        for axes, name, column in itertools.zip_longest(panels.flat, names, scores):
            if name is None:
                axes.remove()
                continue
            self._name_rows(axes)
            for place, score in enumerate(column):
                self._dot(axes, place, score)
            title = textwrap.wrap(self._fonts.printable(category_title(shown(name))), 18)
            axes.set_title("\n".join([*title, f"n = {_questions(column)}"]))
        _zoom(panels[0, 0], [score for column in scores for score in column])
        figure.supxlabel(
            "Category score (mean times 100 over n questions, 95% bootstrap interval)", fontsize=8
        )
        figure.suptitle(self._wrapped(110))
        return figure

    def length(self, view: LengthView) -> Figure:
        """Return a line for each model over bins of prompt length, its name at the line's end."""
        chart = view.whole
        figure = _figure(3.2, _WIDTH_INCHES)
        axes = figure.add_subplot()
        places = {row.index: place for place, row in enumerate(self._group.rows)}
        ends: list[tuple[float, float, str, str]] = []
        many = len(chart.curves)
        for number, curve in enumerate(chart.curves):
            aside = min(0.05, 0.5 / many) * (number - (many - 1) / 2)
            points = [(bin_ + aside, point) for bin_, point in enumerate(curve.points) if point]
            if not points:
                continue
            look = look_of(curve.row.index)
            xs, ys = [x for x, _ in points], [point.score for _, point in points]
            axes.plot(
                xs,
                ys,
                color=look.colour,
                linestyle=look.dash,
                marker=look.marker,
                markersize=4,
                linewidth=1.2,
            )
            for x, point in points:
                if point.interval is not None:
                    axes.plot([x, x], point.interval, color=look.colour, linewidth=0.7)
            ends.append((xs[-1], ys[-1], self._names[places[curve.row.index]], look.colour))
        figures = [Score(p.score, p.interval) for c in chart.curves for p in c.points if p]
        axis = axis_around((score.score, score.interval) for score in figures)
        axes.set_ylim(axis.low, axis.high)
        axes.set_xlim(-0.5, max(0.5, len(chart.words) - 0.5))
        axes.set_xticks(
            range(len(chart.words)),
            [
                f"{low}–{high}\nn = {numbers_text(chart, place)}"
                for place, (low, high) in enumerate(chart.words)
            ],
        )
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("Words in the prompt (n: items)")
        axes.set_ylabel("Mean item score (times 100, 95% interval)")
        _label_ends(axes, ends, (axis.low, axis.high))
        figure.suptitle(self._wrapped(110))
        return figure

    def learning(self, curve: LearningCurve) -> Figure:
        """Return scores over training steps, and below them the loss on held-out pairs.

        Models that are no looks at the training are level lines.
        """
        steps = [point.look.step for point in curve.points]
        losses = [point.look.held_out_loss for point in curve.points]
        measured = sum(loss is not None for loss in losses) > 1
        figure = _figure(4.2 if measured else 3.0, 0.85 * _WIDTH_INCHES)
        panels = figure.subplots(
            1 + measured, sharex=True, squeeze=False, height_ratios=(2, 1)[: 1 + measured]
        )
        axes, look = panels[0, 0], look_of(curve.points[-1].row.index)
        scores = [Score(point.row.overall, point.row.interval) for point in curve.points]
        for step, score in zip(steps, scores, strict=True):
            if score.interval is not None:
                axes.plot([step, step], score.interval, color=look.colour, linewidth=0.9)
            axes.annotate(
                f"{score.score:.1f}", (step, score.score or 0.0), textcoords="offset points",
                xytext=(-4, 5), ha="right", fontsize=7,
            )  # fmt: skip
        axes.plot(steps, [score.score or 0.0 for score in scores], color=look.colour, marker="o")
        for row in curve.others:
            if row.overall is not None:
                other = look_of(row.index)
                name = self._fonts.printable(shown(row.run, 30))
                axes.axhline(row.overall, color=other.colour, linestyle=other.dash, linewidth=0.9)
                axes.annotate(
                    f"{name} {row.overall:.1f}", (1.02, row.overall),
                    xycoords=("axes fraction", "data"), va="center", fontsize=7,
                    annotation_clip=False,
                )  # fmt: skip
        figures = [*scores, *(Score(row.overall, row.interval) for row in curve.others)]
        axis = axis_around((score.score, score.interval) for score in figures)
        axes.set_ylim(axis.low, axis.high)
        axes.set_ylabel("Overall score")
        if measured:
            shown_losses = [float("nan") if loss is None else loss for loss in losses]
            panels[1, 0].plot(steps, shown_losses, color=_INK, marker="s", markersize=4)
            panels[1, 0].set_ylabel("Held-out loss")
        panels[-1, 0].set_xlabel("Training steps")
        panels[-1, 0].set_xticks(steps)
        figure.suptitle(f"{self._fonts.printable(shown(curve.training, 40))}: {self._wrapped(90)}")
        return figure

    def _wrapped(self, width: int) -> str:
        return "\n".join(textwrap.wrap(self.title, width))

    def _name_rows(self, axes: Axes) -> None:
        axes.set_yticks(range(len(self._names)), self._names)
        axes.set_ylim(len(self._names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)

    def _dot(self, axes: Axes, place: int, score: Score) -> None:
        """Draw one figure with its interval."""
        if score.score is None:
            return
        look = look_of(self._group.rows[place].index)
        if score.interval is not None:
            low, high = score.interval
            axes.plot([low, high], [place, place], color=look.colour, linewidth=1.1)
            axes.plot([low, high], [place, place], color=look.colour, marker="|", linestyle="none")
        axes.plot([score.score], [place], color=look.colour, marker=look.marker, markersize=4.5)


def _figure(height: float, width: float) -> Figure:
    from matplotlib.figure import Figure as New

    return New(figsize=(width, height), layout="constrained")


def _zoom(axes: Axes, scores: Sequence[Score]) -> None:
    """Show the part of the scale where the figures are, with round ends."""
    axis = axis_around((score.score, score.interval) for score in scores)
    axes.set_xlim(axis.low, axis.high)
    axes.set_xticks(axis.ticks)


def _items(group: Group) -> str:
    """Return over how many items the rows are, and which part of the benchmark that is."""
    numbers = sorted({row.items_scored for row in group.rows})
    few, most = f"{numbers[0]:,}", f"{numbers[-1]:,}"
    text = counted(numbers[0], "item") if few == most == "1" else f"{most} items"
    if few != most:
        text = f"{few}–{most} items"
    return f"{text} (only {group.subset})" if group.subset else text


def _is_alike(rows: Sequence[Any]) -> bool:
    return len({row.items_scored for row in rows}) == 1


def _questions(column: Sequence[Score]) -> str:
    numbers = sorted({score.number for score in column if score.number})
    if not numbers:
        return "unknown"
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,}–{numbers[-1]:,}"


def _label_ends(
    axes: Axes, ends: Sequence[tuple[float, float, str, str]], limits: tuple[float, float]
) -> None:
    """Write names beside the ends of lines, moved apart where lines end close together."""
    low, high = limits
    step = (high - low) / max(14, len(ends))
    heights = [step * (1 + name.count("\n")) for _, _, name, _ in ends]
    order = sorted(range(len(ends)), key=lambda place: -ends[place][1])
    tops = dict.fromkeys(order, 0.0)
    edge = high
    for place in order:
        edge = min(edge, ends[place][1] + heights[place] / 2)
        tops[place] = edge
        edge -= heights[place]
    shift = max(0.0, low - edge)
    for place, (x, y, name, colour) in enumerate(ends):
        axes.annotate(
            name,
            (x, y),
            xytext=(1.02, tops[place] + shift - heights[place] / 2),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=7,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "shrinkB": 3},
        )
