"""Cheap judges for tests: they answer from an image's mean colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

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


class Noise:
    """A generator of noise that depends on the prompt and the seed."""

    width_px = height_px = 16

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        """Return an image a seed."""
        rngs = [np.random.default_rng([len(prompt), ord(prompt[-1]), seed]) for seed in seeds]
        return [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for rng in rngs]
