"""The training data that `make_pool.py` writes, and what a scene's labels are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dpgbench.shapes.scene import CELLS, COLORS, FILLS, GROUNDS, SHAPES, SIZES, STYLES, Scene, Thing

FIELD_SIZES = ([len(SHAPES) + 1, len(COLORS) + 1, len(SIZES) + 1, len(FILLS) + 1] * 2) * len(
    CELLS
) + [len(GROUNDS), len(STYLES)]
"""Number of values of each label: for each cell shape, colour, size and fill of the outer and the
inner thing (0: there is none), then ground and style."""
NUM_FIELDS = len(FIELD_SIZES)


class Pool(NamedTuple):
    """Scenes of the part `train`.

    Attributes:
        pictures: `[N, 64, 64, 3]`, 0 to 255.
        labels: `[N, NUM_FIELDS]`.
        texts: For each scene its short caption, then its dense captions.
    """

    pictures: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int8]
    texts: list[list[str]]


def read_pool(folder: Path, num_shards: int | None = None, *, pictures: bool = True) -> Pool:
    """The shards of a folder, or the first few of them.

    Raises:
        FileNotFoundError: there is none; `make_pool.py` makes them.
    """
    paths = sorted(folder.glob("*.npz"))[:num_shards]
    if not paths:
        raise FileNotFoundError(
            f"{folder}: no shards; run python -m scripts.embedded.data.make_pool first"
        )
    shards = [np.load(path) for path in paths]
    drawn = [shard["pictures"] for shard in shards] if pictures else [np.empty(0, np.uint8)]
    texts = [text for shard in shards for text in json.loads(str(shard["texts"]))]
    return Pool(np.concatenate(drawn), np.concatenate([s["labels"] for s in shards]), texts)


def labels(scene: Scene) -> list[int]:
    """The labels of a scene; a cell's large thing is the outer one where two share it."""
    numbers: list[int] = []
    for cell in CELLS:
        here = [thing for thing in scene.things if thing.cell == cell]  # sorted: the outer first
        for place in range(2):
            numbers += _numbers(here[place]) if place < len(here) else [0, 0, 0, 0]
    return [*numbers, GROUNDS.index(scene.ground), STYLES.index(scene.style)]


def _numbers(thing: Thing) -> list[int]:
    return [
        1 + SHAPES.index(thing.shape),
        1 + COLORS.index(thing.color),
        1 + SIZES.index(thing.size),
        1 + FILLS.index(thing.fill),
    ]
