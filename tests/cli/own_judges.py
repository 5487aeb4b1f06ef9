"""Cheap judges for tests: they answer from an image's mean colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dpgbench import JudgeAnswer


class MeanColor:
    """Says yes where the mean of the channel that the question number picks is over 127."""

    num_images_at_once = 2

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "mean colour"}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        return [
            [JudgeAnswer("yes" if self._mean(tile, qid) > 127 else "no") for qid in tile.qids]
            for tile in tiles
        ]

    @staticmethod
    def _mean(tile: Any, qid: int) -> float:
        assert tile.image.mode == "RGB"
        return float(np.asarray(tile.image)[..., (qid - 1) % 3].mean())
