"""What training tells the image tokens outright: what stands in each cell, and how many of what."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from dpgbench.shapes.scene import CELLS, COLORS, FILLS, GROUNDS, SHAPES, SIZES, STYLES, Scene, Thing
from scripts.embedded.data.pool import FIELD_SIZES, NUM_FIELDS

FIELDS_A_THING: Final = 4
FIELDS_A_CELL: Final = 2 * FIELDS_A_THING
MOST_COUNTED: Final = 3
CELL_CLASSES: Final[tuple[int, ...]] = (*FIELD_SIZES[:FIELDS_A_CELL], len(CELLS))
"""Classes of each label of a cell: the pool's fields of its two things, and its place."""
PICTURE_CLASSES: Final[tuple[int, ...]] = (
    *FIELD_SIZES[-2:],
    *(MOST_COUNTED + 1 for _ in (*SHAPES, *COLORS)),
    len(CELLS) + 3,
)
"""Classes of each label of a picture: ground, style, number of each shape, each colour, of all."""

STYLE_LABEL: Final = 1
"""The place of the style among the labels of a picture."""
UNKNOWN: Final = -100
"""A label that does not count, as PyTorch's cross-entropy has it."""


def cell_labels(fields_IF: Tensor) -> Tensor:  # noqa: N803
    """Labels of every cell, [I, 9, 9], from a pool's labels [I, NUM_FIELDS]."""
    cells = fields_IF[:, : NUM_FIELDS - 2].reshape(-1, len(CELLS), FIELDS_A_CELL).long()
    positions = torch.arange(len(CELLS)).expand(len(cells), -1)
    return torch.cat([cells, positions[..., None]], dim=-1)


def picture_labels(fields_IF: Tensor) -> Tensor:  # noqa: N803
    """Labels of every picture, in the order of `PICTURE_CLASSES`."""
    fields_IF = fields_IF.long()  # noqa: N806
    things = fields_IF[:, : NUM_FIELDS - 2].reshape(len(fields_IF), -1, FIELDS_A_THING)
    of_shape = F.one_hot(things[..., 0], len(SHAPES) + 1).sum(1)[:, 1:]
    of_color = F.one_hot(things[..., 1], len(COLORS) + 1).sum(1)[:, 1:]
    number = (things[..., 0] > 0).sum(1, keepdim=True)
    counts = torch.cat([of_shape, of_color], dim=1).clamp(max=MOST_COUNTED)
    return torch.cat([fields_IF[:, -2:], counts, number], dim=1)


def scene_of(fields: list[int]) -> Scene:
    """The scene that has these labels in a pool."""
    things = [
        Thing(
            *CELLS[start // FIELDS_A_CELL],
            shape=SHAPES[fields[start] - 1],
            color=COLORS[fields[start + 1] - 1],
            size=SIZES[fields[start + 2] - 1],
            fill=FILLS[fields[start + 3] - 1],
        )
        for start in range(0, NUM_FIELDS - 2, FIELDS_A_THING)
        if fields[start]
    ]
    return Scene(tuple(things), GROUNDS[fields[-2]], STYLES[fields[-1]])
