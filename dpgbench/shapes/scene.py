"""What a picture of the small world holds: flat things on a 3x3 grid, and what is true of them.

Geometry, the canonical form and the split live here; drawing, words and questions do not.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, get_args

Shape = Literal["circle", "square", "triangle", "diamond", "star", "heart", "cross", "oval"]
Color = Literal["red", "orange", "yellow", "green", "blue", "purple", "pink", "brown"]
Size = Literal["small", "large"]
Fill = Literal["plain", "striped"]
Ground = Literal["white", "black", "gray", "beige", "mint", "lavender"]
Style = Literal["crisp", "outlined", "blurry"]
Attribute = Literal["shape", "color", "size", "fill"]
Direction = Literal["left of", "right of", "above", "below"]
Split = Literal["train", "bench", "heldout"]
Kind = Literal["few", "many", "nested"]

SHAPES: Final[tuple[Shape, ...]] = get_args(Shape)
COLORS: Final[tuple[Color, ...]] = get_args(Color)
SIZES: Final[tuple[Size, ...]] = get_args(Size)
FILLS: Final[tuple[Fill, ...]] = get_args(Fill)
GROUNDS: Final[tuple[Ground, ...]] = get_args(Ground)
STYLES: Final[tuple[Style, ...]] = get_args(Style)
ATTRIBUTES: Final[tuple[Attribute, ...]] = get_args(Attribute)
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Cell = tuple[int, int]
"""(column, row), both from 0, the top left cell first."""

GRID: Final = 3
CELLS: Final[tuple[Cell, ...]] = tuple((c, r) for r in range(GRID) for c in range(GRID))
CONTAINER_SHAPES: Final[tuple[Shape, ...]] = ("circle", "square", "diamond")
"""Shapes with room for a small thing."""
MANY_THINGS: Final = 5
"""From this number of things on, a scene without nesting is of the kind `many`."""

BENCH_PERCENT: Final = 10
HELDOUT_PERCENT: Final = 10


@dataclass(frozen=True, order=True)
class Thing:
    """One flat thing in a cell of the grid."""

    column: int
    row: int
    size: Size
    shape: Shape
    color: Color
    fill: Fill

    def __post_init__(self) -> None:
        is_valid = (
            self.cell in CELLS
            and self.size in SIZES
            and self.shape in SHAPES
            and self.color in COLORS
            and self.fill in FILLS
        )
        if not is_valid:
            raise ValueError(f"not a thing of this world: {self}")

    @property
    def cell(self) -> Cell:
        """Where it stands."""
        return (self.column, self.row)

    @property
    def words(self) -> str:
        """Its canonical form."""
        return f"{self.column},{self.row} {self.size} {self.fill} {self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """A picture's content; things are kept sorted, so that equal pictures are equal scenes.

    Raises:
        ValueError: Empty; a value outside the world's vocabulary; or two things in one cell that
            are not a small one inside a large one of another colour with room for it.
    """

    things: tuple[Thing, ...]
    ground: Ground = "white"
    style: Style = "crisp"

    def __post_init__(self) -> None:
        object.__setattr__(self, "things", tuple(sorted(self.things)))
        if not self.things or self.ground not in GROUNDS or self.style not in STYLES:
            raise ValueError(f"not a scene of this world: {self}")
        by_cell: defaultdict[Cell, list[Thing]] = defaultdict(list)
        for thing in self.things:
            by_cell[thing.cell].append(thing)
        for cell, sharing in by_cell.items():
            if len(sharing) > 1 and not _fits_inside(sharing):
                raise ValueError(f"the things in cell {cell} cannot share it: {sharing}")

    @property
    def canonical(self) -> str:
        """One line that is the same for equal scenes and for no others."""
        return "; ".join([f"{self.ground} {self.style}", *(thing.words for thing in self.things)])

    @cached_property
    def digest(self) -> str:
        """A hash of the canonical form, the same on every machine (64 hex digits)."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    @property
    def nested_cells(self) -> frozenset[Cell]:
        """The cells in which one thing is inside another."""
        cells = [thing.cell for thing in self.things]
        return frozenset(cell for cell in cells if cells.count(cell) > 1)

    @property
    def free_cells(self) -> tuple[Cell, ...]:
        """The cells in which nothing stands, in reading order."""
        taken = {thing.cell for thing in self.things}
        return tuple(cell for cell in CELLS if cell not in taken)

    @property
    def kind(self) -> Kind:
        """`nested` where a thing is inside another, else by the number of things."""
        if self.nested_cells:
            return "nested"
        return "many" if len(self.things) >= MANY_THINGS else "few"


def split(scene: Scene) -> Split:
    """The part of the world that a scene belongs to: a function of its hash, so they never meet."""
    percent = int(scene.digest[:12], 16) % 100
    if percent < BENCH_PERCENT:
        return "bench"
    return "heldout" if percent < BENCH_PERCENT + HELDOUT_PERCENT else "train"


def stands(a: Thing, direction: Direction, b: Thing) -> bool:
    """Whether `a` is left of, right of, above or below `b`, by at least one cell."""
    match direction:
        case "left of":
            return a.column < b.column
        case "right of":
            return a.column > b.column
        case "above":
            return a.row < b.row
        case "below":
            return a.row > b.row


def is_inside(a: Thing, b: Thing) -> bool:
    """Whether `a` is inside `b`."""
    return a.cell == b.cell and a.size == "small" and b.size == "large"


def is_between(a: Thing, b: Thing, c: Thing) -> bool:
    """Whether `a` is midway on the straight line from `b` to `c`."""
    midway = (2 * a.column, 2 * a.row) == (b.column + c.column, b.row + c.row)
    return midway and b.cell != c.cell


def _fits_inside(sharing: list[Thing]) -> bool:
    """Whether the things are a large one with room and a small one of another colour in it."""
    if len(sharing) != 2:
        return False
    large, small = sorted(sharing)  # "large" < "small"
    sizes = (large.size, small.size) == ("large", "small")
    return sizes and large.shape in CONTAINER_SHAPES and large.color != small.color
