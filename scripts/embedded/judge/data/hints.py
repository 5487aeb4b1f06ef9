"""What training tells the nouns of a question outright: which things of the picture they mean.

"the red circle" means every red circle. The targets of its noun are where those things stand, what
they are like, and how many they are: from that an answer is a short step. The start token is told
what is true of the whole picture: ground, style, number of things.
"""
# ruff: noqa: N803, N806

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from dpgbench.shapes.scene import CELLS, COLORS, FILLS, GRID, SHAPES, SIZES
from dpgbench.shapes.words import noun_of
from scripts.embedded.data.pool import NUM_FIELDS
from scripts.embedded.judge.data.labels import FIELDS_A_THING, PICTURE_CLASSES

ANY_SHAPE: Final = len(SHAPES) + 1
MOST_COUNTED: Final = 4
NUM_TRAITS: Final = len(CELLS) + len(SHAPES) + len(COLORS) + len(SIZES) + len(FILLS) + 2 + 2 * GRID
NUM_HINTS: Final = NUM_TRAITS + MOST_COUNTED + 1
WHOLE_CLASSES: Final = (PICTURE_CLASSES[0], PICTURE_CLASSES[1], PICTURE_CLASSES[-1])
WHOLE_PLACES: Final = (0, 1, -1)
"""What the start token is told, and where it is among the labels of a picture."""


class Meanings:
    """Which tokens name a shape or a colour."""

    def __init__(self, vocabulary: Mapping[str, int]) -> None:
        self._shape_V = torch.zeros(len(vocabulary), dtype=torch.long)
        self._color_V = torch.zeros(len(vocabulary), dtype=torch.long)
        for is_plural in (False, True):
            self._shape_V[vocabulary[noun_of(None, is_plural)]] = ANY_SHAPE
            for number, shape in enumerate(SHAPES, start=1):
                self._shape_V[vocabulary[noun_of(shape, is_plural)]] = number
        for number, color in enumerate(COLORS, start=1):
            self._color_V[vocabulary[color]] = number

    def targets(self, token_IQT: Tensor, fields_IF: Tensor) -> tuple[Tensor, Tensor]:
        """Hints for every token [I, Q, T, NUM_HINTS], and which tokens are nouns [I, Q, T]."""
        things = fields_IF[:, : NUM_FIELDS - 2].reshape(len(fields_IF), -1, FIELDS_A_THING).long()
        shape_IQT = self._shape_V[token_IQT]
        color_IQT = F.pad(self._color_V[token_IQT], (1, 0))[..., :-1]  # the word before the noun
        shape_IG, color_IG = things[:, None, None, :, 0], things[:, None, None, :, 1]
        is_shape = (shape_IQT[..., None] == ANY_SHAPE) | (shape_IQT[..., None] == shape_IG)
        is_color = (color_IQT[..., None] == 0) | (color_IQT[..., None] == color_IG)
        meant_IQTG = (is_shape & is_color & (shape_IG > 0)).float()
        matches = meant_IQTG.flatten(1, 2) @ _traits(things)
        count = meant_IQTG.flatten(1, 2).sum(-1).long().clamp(max=MOST_COUNTED)
        hints = torch.cat([(matches > 0).float(), F.one_hot(count, MOST_COUNTED + 1).float()], -1)
        return hints.view(*token_IQT.shape, NUM_HINTS), shape_IQT > 0


def _traits(things_IGF: Tensor) -> Tensor:
    """What each thing is like, as zeros and ones [I, G, ...]; things come in pairs, a cell each."""
    num_places = things_IGF.shape[1]
    place_G = torch.arange(num_places)
    cells = F.one_hot(place_G // 2, len(CELLS)).expand(len(things_IGF), -1, -1)
    numbers = (len(SHAPES), len(COLORS), len(SIZES), len(FILLS))
    looks = [F.one_hot(things_IGF[..., n], k + 1)[..., 1:] for n, k in enumerate(numbers)]
    is_there = things_IGF[..., 0] > 0
    other_there = is_there.view(-1, num_places // 2, 2).flip(-1).flatten(1)
    is_inner = is_there & (place_G % 2 == 1)
    is_outer = is_there & other_there & (place_G % 2 == 0)
    nested = [is_inner[..., None], is_outer[..., None]]
    grid = cells.reshape(*cells.shape[:2], GRID, GRID)  # rows, then columns
    columns, rows = grid.sum(2), grid.sum(3)
    return torch.cat([cells, *looks, *nested, columns, rows], dim=-1).float()
