"""Judges for tests of the server: cheap, slow, or failing as their pictures say."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dpgbench import JudgeAnswer
from dpgbench.backends.protocols import JudgeReply


class ByColour:
    """Says yes where the picture's first pixel is bright; fails on red ones, one tile alone.

    DPGBENCH_TEST_SECONDS: how long a picture takes.
    """

    num_images_at_once = 4

    def __init__(self, request: Any) -> None:
        self._seconds = float(os.environ.get("DPGBENCH_TEST_SECONDS", "0"))

    def describe(self) -> dict[str, Any]:
        return {"model": "by colour"}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        time.sleep(self._seconds * len(tiles))
        answers = []
        for tile in tiles:
            red, green, blue = tile.image.getpixel((0, 0))
            if (red, green, blue) == (255, 0, 0):
                raise ValueError("no red pictures, please")
            text = "yes" if green > 127 else "no"
            answers.append([JudgeAnswer(text, green / 255) for _ in tile.qids])
        return answers


class Deadly(ByColour):
    """Ends its process over blue pictures."""

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        if any(tile.image.getpixel((0, 0)) == (0, 0, 255) for tile in tiles):
            os._exit(9)
        return super().ask(tiles)


class Backwards(ByColour):
    """Replies in the opposite order, to half of the questions at a time."""

    def stream(self, tiles: Iterator[Any]) -> Iterator[JudgeReply]:
        taken = list(tiles)
        keys = [(tile.item_id, tile.tile) for tile in taken]
        assert len(keys) == len(set(keys)), "replies to these cannot be told apart"
        for tile in reversed(taken):
            try:
                (answers,) = self.ask([tile])
            except ValueError as error:
                yield JudgeReply(tile.item_id, tile.tile, {}, f"ValueError: {error}")
                continue
            for half in (slice(0, None, 2), slice(1, None, 2)):
                pairs = list(zip(tile.qids, answers, strict=True))[half]
                if pairs:
                    yield JudgeReply(tile.item_id, tile.tile, dict(pairs))


class Waiting(ByColour):
    """Is loaded once the file exists that DPGBENCH_TEST_FILE names."""

    def __init__(self, request: Any) -> None:
        super().__init__(request)
        while not Path(os.environ["DPGBENCH_TEST_FILE"]).exists():
            time.sleep(0.01)
