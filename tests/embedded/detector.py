"""A second reader of pictures, independent of the judge: analysis by synthesis.

Each cell of a picture is compared with everything that `render` could have drawn there; what fits
best is what is seen. Works on generated pictures too, as far as they look like rendered ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dpgbench.shapes import Answer, Question, Scene, Thing, answer, render
from dpgbench.shapes.render import COLOR_RGB, GROUND_RGB
from dpgbench.shapes.scene import (
    CELLS,
    COLORS,
    CONTAINER_SHAPES,
    FILLS,
    GRID,
    SHAPES,
    SIZES,
    STYLES,
    Color,
    Fill,
    Ground,
    Shape,
    Size,
    Style,
)

SIDE_PX: Final = 64
REACH_PX: Final = 11.0
"""Nothing reaches further from the middle of its cell."""
SPAN_PX: Final = 21
"""So many rows and columns are nearer than that in each cell, at least."""
INNER_REACH_PX: Final = 7.0
"""No small thing does."""
FREE_PX: Final = 8.6
"""Pixels further than this from every middle, both ways, show the ground."""
BYTE: Final = 255.0

Pixels = NDArray[np.float32]
Chosen = list[int] | NDArray[np.bool_] | slice
Look = tuple[Size, Shape, Color, Fill]

LOOKS: Final[tuple[Look, ...]] = tuple(product(SIZES, SHAPES, COLORS, FILLS))
FORMS: Final = tuple(product(SIZES, SHAPES, FILLS))
SAMPLE_COLOR: Final = "blue"
IS_SMALL: Final = np.array([look[0] == "small" for look in LOOKS])
CONTAINERS: Final = [
    number
    for number, (size, shape, _, fill) in enumerate(LOOKS)
    if size == "large" and fill == "plain" and shape in CONTAINER_SHAPES
]


class Sight(NamedTuple):
    """What was seen, and the root mean square of what it leaves unexplained (0 to 255)."""

    scene: Scene
    misfit: float

    def answers(self, graph: Sequence[Question]) -> list[Answer]:
        """What follows for some questions."""
        return [answer(question, self.scene) for question in graph]


class _Layers:
    """Looks as layers in every cell: `paint` put over what is `under`, where it is `clear`.

    Args:
        paint: [cells, looks, pixels, 3], 0 to 1.
        clear: [cells, looks, pixels], 1 where the look leaves all to be seen that is under it.
    """

    def __init__(self, paint: Pixels, clear: Pixels) -> None:
        self.paint, self.clear = paint, clear
        self._paint = _flat(paint).swapaxes(1, 2)
        self._paint_times_clear = _flat(paint * clear[..., None]).swapaxes(1, 2)
        self._clear = clear.swapaxes(1, 2)
        self._norm = (_flat(paint) ** 2).sum(-1)[:, None]

    def cut(self, looks: Chosen, pixels: Chosen) -> _Layers:
        """Some of the looks, within some of the pixels."""
        return _Layers(self.paint[:, looks][:, :, pixels], self.clear[:, looks][:, :, pixels])

    def over(self, under: Pixels) -> Pixels:
        """Every look over the same picture, [cells, looks, pixels, 3]."""
        return self.paint + self.clear[..., None] * under

    def costs(self, seen: Pixels, under: Pixels) -> Pixels:
        """Squared distance of what is seen to every look over every picture under it.

        Args:
            seen: [cells, pixels, 3].
            under: [cells, pictures, pixels, 3].

        Returns:
            [cells, pictures, looks].
        """
        crossed = (seen[:, None] * under).sum(-1) @ self._clear
        crossed += _flat(seen[:, None]) @ self._paint
        squared = (under**2).sum(-1) @ self._clear**2 + self._norm
        squared += 2 * _flat(under) @ self._paint_times_clear
        return squared - 2 * crossed + (seen**2).sum((1, 2))[:, None, None]


class _Book(NamedTuple):
    """Everything that can stand in a cell in one style: single looks (and none), and nested."""

    single: _Layers  # the last look is none
    container: _Layers
    small: _Layers


def detect(picture: Image.Image) -> Sight:
    """What a picture shows; the least unlikely thing, where it shows none."""
    pixels = np.asarray(picture.convert("RGB").resize((SIDE_PX, SIDE_PX)), np.float32) / BYTE
    ground = _ground(pixels)
    under = np.array(GROUND_RGB[ground], np.float32) / BYTE
    seen = np.stack([pixels[window] for window in _windows()])
    fits = {style: _best(_book(style, ground == "black"), seen, under) for style in STYLES}
    style = min(STYLES, key=lambda name: fits[name][1])
    looks, cost = fits[style]
    placed = zip(CELLS, looks, strict=True)
    things = [Thing(*cell, *LOOKS[look]) for cell, here in placed for look in here]
    misfit = BYTE * float(np.sqrt(max(cost, 0.0) / seen.size))
    return Sight(Scene(tuple(things), ground, style), misfit)


def _ground(pixels: Pixels) -> Ground:
    color = np.median(pixels[_far()], axis=0) * BYTE
    return min(GROUND_RGB, key=lambda name: float(((color - GROUND_RGB[name]) ** 2).sum()))


def _best(book: _Book, seen: Pixels, ground: Pixels) -> tuple[list[tuple[int, ...]], float]:
    """The looks in each cell (two where one is inside the other), and what they cost together."""
    under = np.broadcast_to(ground, (len(CELLS), 1, seen.shape[1], 3))
    singles = book.single.costs(seen, under)[:, 0]
    pairs = _pairs(book, seen, ground)
    if (singles.argmin(-1) == len(LOOKS)).all():  # a scene holds something
        cell = (singles[:, :-1].min(-1) - singles[:, -1]).argmin()
        singles[cell, -1] = np.inf
    small = np.flatnonzero(IS_SMALL)
    looks: list[tuple[int, ...]] = []
    for cell in range(len(CELLS)):
        single, pair = int(singles[cell].argmin()), int(pairs[cell].argmin())
        if pairs[cell, pair] < singles[cell, single]:
            outer, within = divmod(pair, len(small))
            looks.append((CONTAINERS[outer], int(small[within])))
        else:
            looks.append((single,) if single < len(LOOKS) else ())
    return looks, float(np.minimum(singles.min(-1), pairs.min(-1)).sum())


def _pairs(book: _Book, seen: Pixels, ground: Pixels) -> Pixels:
    """What each small thing inside each container costs, [cells, containers * small looks]."""
    inner = _inner()
    containers = book.container.over(ground)  # [cells, containers, pixels, 3]
    outer_costs = ((containers - seen[:, None]) ** 2)[:, :, ~inner].sum((2, 3))
    costs = book.small.costs(seen[:, inner], containers[:, :, inner]) + outer_costs[..., None]
    costs[:, _is_same_color()] = np.inf
    return costs.reshape(len(CELLS), -1)


@lru_cache(maxsize=6)
def _book(style: Style, on_black: bool) -> _Book:
    """What `render` draws, taken apart into layers.

    What shows through is what differs between two grounds. A colour enters in proportion, alike in
    red, green and blue: how much, tell the red and the blue of blue things. Outlines have another
    colour on black.
    """
    levels = {name: np.float32(color[0] / BYTE) for name, color in GROUND_RGB.items()}
    white, gray = (_drawn(style, ground) for ground in ("white", "gray"))
    clear = (white - gray).mean(-1) / (levels["white"] - levels["gray"])
    ground: Ground = "black" if on_black else "white"
    paint = _drawn(style, ground) - clear[..., None] * levels[ground]
    low, _, high = np.array(COLOR_RGB[SAMPLE_COLOR], np.float32) / BYTE
    slope = (paint[..., 2] - paint[..., 0]) / (high - low)
    rest = paint[..., 0] - slope * low
    forms = [FORMS.index((size, shape, fill)) for size, shape, _, fill in LOOKS]
    colors = np.array([COLOR_RGB[color] for _, _, color, _ in LOOKS], np.float32) / BYTE
    paint = slope[:, forms, :, None] * colors[:, None] + rest[:, forms, :, None]
    looks = _Layers(paint, clear[:, forms])
    with_none = _Layers(
        np.append(paint, np.zeros_like(paint[:, :1]), axis=1),
        np.append(looks.clear, np.ones_like(looks.clear[:, :1]), axis=1),
    )
    return _Book(with_none, looks.cut(CONTAINERS, slice(None)), looks.cut(IS_SMALL, _inner()))


@lru_cache(maxsize=9)
def _drawn(style: Style, ground: Ground) -> Pixels:
    """Every form in one colour in every cell, [cells, forms, pixels, 3]."""
    pictures = []
    for size, shape, fill in FORMS:
        things = tuple(Thing(*cell, size, shape, SAMPLE_COLOR, fill) for cell in CELLS)
        pictures.append(np.asarray(render(Scene(things, ground, style)), np.float32) / BYTE)
    return np.stack([np.stack([picture[window] for picture in pictures]) for window in _windows()])


@lru_cache(maxsize=1)
def _windows() -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of the pixels of each cell, as many for each."""
    reach = [
        np.flatnonzero(np.abs(_offsets(number)) < REACH_PX)[:SPAN_PX] for number in range(GRID)
    ]
    grids = [np.meshgrid(reach[row], reach[column], indexing="ij") for column, row in CELLS]
    return [(rows.ravel(), columns.ravel()) for rows, columns in grids]


@lru_cache(maxsize=1)
def _inner() -> NDArray[np.bool_]:
    """Which pixels of a window a small thing can cover, in whatever cell."""
    distances = [
        np.maximum(np.abs(_offsets(row)[rows]), np.abs(_offsets(column)[columns]))
        for (column, row), (rows, columns) in zip(CELLS, _windows(), strict=True)
    ]
    return np.min(distances, axis=0) < INNER_REACH_PX


@lru_cache(maxsize=1)
def _far() -> NDArray[np.bool_]:
    """Which pixels of a picture nothing covers."""
    offsets = np.min([np.abs(_offsets(number)) for number in range(GRID)], axis=0)
    return np.logical_and.outer(offsets > FREE_PX, offsets > FREE_PX)


def _offsets(number: int) -> NDArray[np.float64]:
    """How far each row (or column) of pixels is from the middle of a row (or column) of cells."""
    return np.arange(SIDE_PX) + 0.5 - (number + 0.5) / GRID * SIDE_PX


@lru_cache(maxsize=1)
def _is_same_color() -> NDArray[np.bool_]:
    """For each container and small look whether their colours are equal."""
    small = np.array([look[2] for look in LOOKS])[IS_SMALL]
    return np.array([[LOOKS[number][2] == color for color in small] for number in CONTAINERS])


def _flat(values: Pixels) -> Pixels:
    return values.reshape(*values.shape[:-2], -1)
