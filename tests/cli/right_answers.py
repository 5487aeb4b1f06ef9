"""A judge of one's own that gives the probability of each right answer, and one that gives none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dpgbench import JudgeAnswer


class Sure:
    """The brighter an image, the surer; a right answer that is a number is a third as likely."""

    num_images_at_once = 1

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "brightness"}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        return [
            [self._answer(tile, number) for number in range(len(tile.questions))] for tile in tiles
        ]

    def _answer(self, tile: Any, number: int) -> JudgeAnswer:
        bright = float(np.asarray(tile.image).mean()) / 255
        word = tile.expected[number] if tile.expected else "yes"
        p = bright if word == "yes" else bright / 3
        return JudgeAnswer(word, p_answer=p if tile.forms else None)


class Silent(Sure):
    """Gives answers alone."""

    def _answer(self, tile: Any, number: int) -> JudgeAnswer:
        return JudgeAnswer("yes")
