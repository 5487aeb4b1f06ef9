"""The latents of the embedded Stable Diffusion: prescribed, so that a small U-Net learns fast.

A VAE that has to find its own latents spends most of its training on finding them. This one is
told what they are: 8x8 places of 8 channels, each place the mean over its 8x8 pixels of

    0-2  red, green and blue of the picture, -1 to 1
    3-5  the shape of the thing there, as three signs; nothing: 0
    6    its fill, as a sign; nothing: 0
    7    the picture's style, everywhere

A thing is there in the square that it spans; what is inside another one covers it. The encoder
learns to see these numbers in a picture, the decoder to draw a picture from them.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dpgbench.shapes.render import RADIUS
from dpgbench.shapes.scene import CELLS, FILLS, GRID, SHAPES, SIZES

SIDE = 8
CHANNELS = 8
CODE_GAIN = 2.5
"""So that every channel's standard deviation is near 1."""
COLOR_GAIN = 1.5
STYLE_GAIN = 1.2
FINE = 64

_SIGNS = list(itertools.product((-1.0, 1.0), repeat=3))
_CODES = torch.tensor([*_SIGNS, (0.0, 0.0, 0.0)]).roll(1, 0)  # value 0: no thing
_FILL_CODES = torch.tensor([0.0, -1.0, 1.0])
_STYLE_CODES = torch.tensor([-1.0, 0.0, 1.0])
assert (len(_SIGNS), len(_FILL_CODES)) == (len(SHAPES), len(FILLS) + 1)


def _covers() -> Tensor:
    """How much of each place a thing covers: `[cells, sizes, SIDE, SIDE]`; size 0 is no thing."""
    covers = np.zeros((len(CELLS), len(SIZES) + 1, FINE, FINE), dtype=np.float32)
    pixels = (np.arange(FINE) + 0.5) / FINE
    for cell, (column, row) in enumerate(CELLS):
        for size, name in enumerate(SIZES, start=1):
            across = abs(pixels - (column + 0.5) / GRID) < RADIUS[name]
            down = abs(pixels - (row + 0.5) / GRID) < RADIUS[name]
            covers[cell, size] = down[:, None] & across[None, :]
    return F.avg_pool2d(torch.from_numpy(covers), FINE // SIDE)


_COVERS = _covers()


def prescribed(pictures: Tensor, labels: Tensor) -> Tensor:
    """The latents of pictures, `[N, CHANNELS, SIDE, SIDE]`.

    Args:
        pictures: `[N, 64, 64, 3]`, 0 to 255.
        labels: `[N, NUM_FIELDS]`, see `pool.labels`.
    """
    colors = F.avg_pool2d(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1, FINE // SIDE)
    things = labels[:, :-2].long().view(-1, len(CELLS), 2, 4)
    cells = torch.arange(len(CELLS))[:, None]
    cover = _COVERS[cells, things[..., 2]]  # [N, cells, outer and inner, SIDE, SIDE]
    cover = torch.stack([cover[:, :, 0] - cover[:, :, 1], cover[:, :, 1]], dim=2)
    codes = torch.cat([_CODES[things[..., 0]], _FILL_CODES[things[..., 3]][..., None]], dim=-1)
    painted = torch.einsum("nctyx,nctk->nkyx", cover, codes)
    style = _STYLE_CODES[labels[:, -1].long()][:, None, None, None].expand(-1, 1, SIDE, SIDE)
    return torch.cat([COLOR_GAIN * colors, CODE_GAIN * painted, STYLE_GAIN * style], dim=1)
