"""A scene as a picture: drawn larger with Pillow, then averaged down."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

from PIL import Image, ImageDraw, ImageFilter

from dpgbench.shapes.scene import GRID, Cell, Color, Ground, Scene, Shape, Size, Thing

RGB = tuple[int, int, int]
Point = tuple[float, float]

COLOR_RGB: Final[dict[Color, RGB]] = {
    "red": (220, 30, 35),
    "orange": (255, 135, 0),
    "yellow": (250, 215, 20),
    "green": (20, 150, 50),
    "blue": (30, 80, 225),
    "purple": (125, 40, 170),
    "pink": (250, 90, 160),
    "brown": (125, 70, 25),
}
GROUND_RGB: Final[dict[Ground, RGB]] = {
    "white": (255, 255, 255),
    "black": (12, 12, 12),
    "gray": (150, 150, 150),
    "beige": (235, 218, 185),
    "mint": (180, 240, 210),
    "lavender": (212, 206, 246),
}
RADIUS: Final[dict[Size, float]] = {"small": 5.1 / 64, "large": 9.0 / 64}
"""Half a thing's extent, as a part of the picture's side."""
STRIPE: Final = 2.0 / 64
"""Width of a stripe; every other one has the thing's colour."""
STRIPE_TINT: Final = 0.78
"""How far the stripes in between are from the thing's colour towards white."""
OUTLINE: Final = 1.1 / 64
"""Width of an outline."""
BLUR: Final = 0.7 / 64
"""Standard deviation of the blur of a blurry picture."""


def render(scene: Scene, size_px: int = 64, supersample: int = 4) -> Image.Image:
    """The scene as an RGB image of `size_px` a side."""
    side = size_px * supersample
    image = Image.new("RGB", (side, side), GROUND_RGB[scene.ground])
    for thing in scene.things:  # sorted: a container comes before what is inside it
        _draw(image, thing, scene)
    small = image.reduce(supersample)
    if scene.style == "blurry":
        small = small.filter(ImageFilter.GaussianBlur(BLUR * size_px))
    return small


def center_px(cell: Cell, size_px: int = 64) -> tuple[int, int]:
    """The pixel (x, y) in the middle of a cell."""
    column, row = cell
    return (int((column + 0.5) / GRID * size_px), int((row + 0.5) / GRID * size_px))


def _draw(image: Image.Image, thing: Thing, scene: Scene) -> None:
    """Put one thing onto the image."""
    side = image.width
    x, y = ((place + 0.5) / GRID * side for place in thing.cell)
    radius = RADIUS[thing.size] * side
    corners = [(x + radius * u, y + radius * v) for u, v in _outline(thing.shape)]
    draw = ImageDraw.Draw(image)
    color = COLOR_RGB[thing.color]
    if thing.fill == "striped":
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).polygon(corners, fill=255)
        image.paste(_stripes(side, x, color), mask=mask)
    else:
        draw.polygon(corners, fill=color)
    if scene.style == "outlined":
        ink = (255, 255, 255) if scene.ground == "black" else (0, 0, 0)
        width = max(1, round(OUTLINE * side))
        draw.line([*corners, *corners[:2]], fill=ink, width=width, joint="curve")


def _stripes(side: int, middle: float, color: RGB) -> Image.Image:
    """Upright stripes over a whole picture, one in the full colour around x = `middle`."""
    tint = tuple(round(c + (255 - c) * STRIPE_TINT) for c in color)
    image = Image.new("RGB", (side, side), color)
    draw = ImageDraw.Draw(image)
    width = STRIPE * side
    reach = math.ceil(side / width)
    for stripe in range(-2 * (reach // 2) - 1, reach + 1, 2):
        left = middle + (stripe - 0.5) * width
        draw.rectangle((round(left), 0, round(left + width) - 1, side), fill=tint)
    return image


@cache
def _outline(shape: Shape) -> tuple[Point, ...]:
    """Corners of a shape around (0, 0), about one unit in every direction; y points down."""
    match shape:
        case "circle":
            return _ellipse(0.97, 0.97)
        case "oval":
            return _ellipse(1.08, 0.62)
        case "square":
            return ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88))
        case "diamond":
            return ((0, -1.08), (1.08, 0), (0, 1.08), (-1.08, 0))
        case "triangle":
            return ((0, -1.0), (1.05, 0.85), (-1.05, 0.85))
        case "star":
            return tuple(_polar(1.1 if i % 2 == 0 else 0.47, i / 10) for i in range(10))
        case "heart":
            return tuple(_heart(i / 48) for i in range(48))
        case "cross":
            return _cross(1.05, 0.41)


def _polar(radius: float, turn: float) -> Point:
    """The point at a part of a full turn, clockwise from the top."""
    return (radius * math.sin(math.tau * turn), -radius * math.cos(math.tau * turn))


def _ellipse(width: float, height: float) -> tuple[Point, ...]:
    points = (_polar(1.0, i / 48) for i in range(48))
    return tuple((width * u, height * v) for u, v in points)


def _heart(turn: float) -> Point:
    t = math.tau * turn
    height = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
    return (16 * math.sin(t) ** 3 / 15.2, -(height + 2.0) / 15.2)


def _cross(long: float, short: float) -> tuple[Point, ...]:
    quarter = ((-short, -long), (short, -long), (short, -short), (long, -short))
    half = (*quarter, (long, short), (short, short))
    return (*half, *((-u, -v) for u, v in half))
