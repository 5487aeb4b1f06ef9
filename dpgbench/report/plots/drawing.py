"""A drawing as a list of shapes, and how it becomes SVG in the page.

Shapes name paints, not colours: the style sheet decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Literal, NamedTuple

Anchor = Literal["start", "middle", "end"]


class Line(NamedTuple):
    """Straight lines from point to point."""

    points: tuple[tuple[float, float], ...]
    paint: str
    width: float = 1.5


class Box(NamedTuple):
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    paint: str


class Dot(NamedTuple):
    """A filled circle."""

    x: float
    y: float
    radius: float
    paint: str


class Text(NamedTuple):
    """One line of text; `y` is its base line."""

    x: float
    y: float
    text: str
    paint: str = "ink"
    size: float = 12
    anchor: Anchor = "start"


Shape = Line | Box | Dot | Text


class Drawing(NamedTuple):
    """Shapes on a ground of `width` by `height` pixels; `title` tells what they show."""

    width: float
    height: float
    title: str
    shapes: tuple[Shape, ...]


def page_svg(drawing: Drawing) -> str:
    """Return an SVG element for the page, whose style sheet gives the colours."""
    body = "".join(_page_shape(shape) for shape in drawing.shapes)
    box = f"0 0 {_n(drawing.width)} {_n(drawing.height)}"
    label = escape(drawing.title, quote=True)
    return f'<svg class="chart" viewBox="{box}" role="img" aria-label="{label}">{body}</svg>'


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _geometry(shape: Shape) -> str:
    """Return a shape's element without its paint, up to where that goes."""
    match shape:
        case Line(points, _, width):
            return f'<path d="{_path(points)}" stroke-width="{_n(width)}"'
        case Box(x, y, width, height, _):
            return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        case Dot(x, y, radius, _):
            return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}"'
        case Text(x, y, _, _, size, anchor):
            where = f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"'
            return where if anchor == "start" else f'{where} text-anchor="{anchor}"'


def _page_shape(shape: Shape) -> str:
    if isinstance(shape, Text):
        return f'{_geometry(shape)} class="t-{shape.paint}">{escape(shape.text)}</text>'
    kind = "s" if isinstance(shape, Line) else "f"
    return f'{_geometry(shape)} class="{kind}-{shape.paint}"/>'
