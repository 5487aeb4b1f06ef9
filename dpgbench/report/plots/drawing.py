"""A drawing as a list of shapes, and how it becomes SVG or PNG: one geometry for both.

Shapes name paints, not colours: in the page the style sheet decides, in a figure `COLOURS`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from html import escape
from typing import Literal, NamedTuple

Anchor = Literal["start", "middle", "end"]
COLOURS = {
    "ink": "#1d1c1a",
    "soft": "#5b5850",
    "line": "#d6d2c8",
    "c0": "#0f7285",
    "c1": "#b4571a",
    "c2": "#6a58ad",
    "c3": "#3f7d32",
    "c4": "#b03a6b",
    "c5": "#8a6d00",
    "c6": "#2f65b0",
    "c7": "#75706a",
}
PNG_SCALE = 3
_SMOOTH = 2  # drawn larger, then made smaller, so that edges are smooth
_FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"


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


def figure_svg(drawing: Drawing) -> str:
    """Return an SVG file: colours of its own, white ground."""
    ground = f'<rect width="{_n(drawing.width)}" height="{_n(drawing.height)}" fill="#ffffff"/>'
    body = "\n".join(_figure_shape(shape) for shape in drawing.shapes)
    size = f'width="{_n(drawing.width)}" height="{_n(drawing.height)}"'
    box = f'viewBox="0 0 {_n(drawing.width)} {_n(drawing.height)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} font-family="{_FONT}">\n'
        f"<title>{escape(drawing.title)}</title>\n{ground}\n{body}\n</svg>\n"
    )


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


def _figure_shape(shape: Shape) -> str:
    colour = COLOURS[shape.paint]
    if isinstance(shape, Line):
        return f'{_geometry(shape)} fill="none" stroke="{colour}"/>'
    if isinstance(shape, Text):
        return f'{_geometry(shape)} fill="{colour}">{escape(shape.text)}</text>'
    return f'{_geometry(shape)} fill="{colour}"/>'


def _page_shape(shape: Shape) -> str:
    if isinstance(shape, Text):
        return f'{_geometry(shape)} class="t-{shape.paint}">{escape(shape.text)}</text>'
    kind = "s" if isinstance(shape, Line) else "f"
    return f'{_geometry(shape)} class="{kind}-{shape.paint}"/>'


def figure_png(drawing: Drawing, scale: int = PNG_SCALE) -> bytes:
    """Return the drawing as PNG, `scale` times its size; glyphs that the font lacks are boxes."""
    from PIL import Image, ImageDraw, ImageFont

    factor = scale * _SMOOTH
    size = round(drawing.width * factor), round(drawing.height * factor)
    image = Image.new("RGB", size, "#ffffff")
    draw = ImageDraw.Draw(image)
    for shape in drawing.shapes:
        colour = COLOURS[shape.paint]
        match shape:
            case Line(points, _, width):
                flat = [(x * factor, y * factor) for x, y in points]
                draw.line(flat, fill=colour, width=round(width * factor), joint="curve")
            case Box(x, y, width, height, _):
                edges = (x, y, x + width, y + height)
                draw.rectangle(tuple(edge * factor for edge in edges), fill=colour)
            case Dot(x, y, radius, _):
                edges = (x - radius, y - radius, x + radius, y + radius)
                draw.ellipse(tuple(edge * factor for edge in edges), fill=colour)
            case Text(x, y, text, _, height, anchor):
                font = ImageFont.load_default(height * factor)
                at = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
                draw.text((x * factor, y * factor), text, fill=colour, font=font, anchor=at)
    small = image.resize((size[0] // _SMOOTH, size[1] // _SMOOTH), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", dpi=(96 * scale, 96 * scale))
    return buffer.getvalue()
