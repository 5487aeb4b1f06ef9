"""The benchmark `shapes`: its items, made from the part of the world that is kept for it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dpgbench.shapes.captions.caption import caption
from dpgbench.shapes.questions import COLUMNS, Question, questions
from dpgbench.shapes.sampling import sample_scenes
from dpgbench.shapes.scene import KINDS, Kind, Scene

NUM_ITEMS: Final[dict[Kind, int]] = {"few": 70, "many": 70, "nested": 60}
SEED: Final = 2024
NUM_WORDINGS: Final = 12
"""An item has the shortest of so many captions, the next one the longest, and so on in turn."""


@dataclass(frozen=True)
class Item:
    """One item of the benchmark; the letters its id starts with are its scene's kind."""

    item_id: str
    scene: Scene
    prompt: str
    questions: tuple[Question, ...]

    def rows(self) -> list[dict[str, str]]:
        """Its rows in the question file."""
        return [question.row(self.item_id, self.prompt) for question in self.questions]


@lru_cache(maxsize=1)
def benchmark_items() -> tuple[Item, ...]:
    """The items of `shapes`, sorted by id; the same at every call, everywhere."""
    items = (item for kind in KINDS for item in _items_of(kind))
    return tuple(sorted(items, key=lambda item: item.item_id))


def to_csv(items: Iterable[Item]) -> str:
    """The question file of some items: a header, then a row a question; lines end in LF."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in items:
        writer.writerows(item.rows())
    return text.getvalue()


def _items_of(kind: Kind) -> Iterator[Item]:
    scenes: dict[Scene, None] = {}  # an ordered set
    for scene in sample_scenes("bench", SEED, kind):
        scenes[scene] = None
        if len(scenes) == NUM_ITEMS[kind]:
            break
    for number, scene in enumerate(scenes):
        wordings = [caption(scene, seed) for seed in range(NUM_WORDINGS)]
        prompt = sorted(wordings, key=lambda text: len(text.split()))[0 if number % 2 else -1]
        yield Item(f"{kind}_{number:03d}", scene, prompt, questions(scene))
