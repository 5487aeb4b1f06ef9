"""Judges whose answers are known beforehand, whatever the right answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dpgbench import JudgeAnswer


def is_right(item_id: str, tile: int, qid: int) -> bool:
    """Return whether `Known` answers a question right."""
    return (len(item_id) + tile + 3 * qid) % 4 != 0


class Known:
    """Gives the right answer, or another one, as `is_right` has it."""

    num_images_at_once = 4

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "known"}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        return [
            [
                JudgeAnswer(self._answer(right, is_right(tile.item_id, tile.tile, qid)))
                for qid, right in zip(
                    tile.qids, tile.expected or ("yes",) * len(tile.qids), strict=True
                )
            ]
            for tile in tiles
        ]

    @staticmethod
    def _answer(right: str, is_right: bool) -> str:
        if is_right:
            return right
        return {"yes": "no", "no": "yes"}.get(right, "eleven")
