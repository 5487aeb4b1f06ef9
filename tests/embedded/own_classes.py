"""Generators and a judge that know the right answers, named on the command line as `module:Class`.

The generators draw scenes of `shapes` with the renderer; the judge reads pictures with the
detector. So a whole run has known scores, without any network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from PIL import Image

from dpgbench import JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.shapes import Item, answer, benchmark_items, render
from tests.embedded.detector import detect

TOKEN_LIMIT = 77


class Oracle:
    """Draws every prompt of `shapes` right."""

    width_px = height_px = 64

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        return [render(_item_of(prompt).scene) for _ in seeds]


class Forgetful(Oracle):
    """Draws what a short prompt asks for, and but one of the things of a long one."""

    token_limit = TOKEN_LIMIT

    def count_tokens(self, prompt: str) -> int:
        return len(re.findall(r"\w+|[^\w\s]", prompt)) + 2

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        scene = _item_of(prompt).scene
        if self.count_tokens(prompt) > TOKEN_LIMIT:
            scene = replace(scene, things=scene.things[:1])
        return [render(scene) for _ in seeds]


class Detector:
    """Answers the questions of `shapes` by what the detector sees."""

    num_images_at_once = 1

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "detector"}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        return [self._answers(tile) for tile in tiles]

    def _answers(self, tile: TileQuestions) -> list[JudgeAnswer]:
        seen = detect(tile.image).scene
        graph = {question.number: question for question in items_by_id()[tile.item_id].questions}
        return [JudgeAnswer(answer(graph[qid], seen)) for qid in tile.qids]


@lru_cache(maxsize=1)
def items_by_id() -> dict[str, Item]:
    return {item.item_id: item for item in benchmark_items()}


def _item_of(prompt: str) -> Item:
    return next(item for item in benchmark_items() if item.prompt == prompt)
