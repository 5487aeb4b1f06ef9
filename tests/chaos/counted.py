"""The embedded generator and judge, which write down what they are asked before they do it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from dpgbench import JudgeAnswer, JudgeRequest, TileQuestions, load_generator, load_judge

DRAWN, ASKED = "drawn.log", "asked.log"
FOLDER = "CHAOS_FOLDER"  # where workers that run elsewhere write it down
BATCH = 2


def note(name: str, *lines: object) -> None:
    """Append lines to a file in one piece; a kill later than that cannot take them back."""
    path = Path(os.environ.get(FOLDER, ".")) / name
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with path.open("ab", buffering=0) as file:
        file.write(text.encode())


class Generator:
    """`tiny-sd15`, counted."""

    width_px = height_px = 64

    def __init__(self) -> None:
        self.inner = load_generator("tiny-sd15", device="cpu", steps=2)

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed."""
        note(DRAWN, prompt)
        return self.inner.draw(prompt, seeds)


class Judge:
    """`tiny-mplug`, counted."""

    num_images_at_once = BATCH

    def __init__(self, request: JudgeRequest) -> None:
        del request
        self.inner = load_judge("tiny-mplug", device="cpu")

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers."""
        return self.inner.describe()

    def prepare(self, image: Image) -> Any:
        """Return what `ask` wants of an image."""
        return self.inner.prepare(image)

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile."""
        note(ASKED, *([tile.item_id, tile.tile, qid] for tile in tiles for qid in tile.qids))
        return self.inner.ask(tiles)
