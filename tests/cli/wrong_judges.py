"""Judges of users' own that return something else than they should."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dpgbench import JudgeAnswer
from dpgbench.backends.protocols import JudgeReply


class Plain:
    """Returns `answer` to every question."""

    num_images_at_once = 2
    answer: Any = JudgeAnswer("yes")

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "mine"}

    def ask(self, tiles: Sequence[Any]) -> Any:
        return [[self.answer for _ in tile.questions] for tile in tiles]


class Text(Plain):
    answer = "yes"


class Bool(Plain):
    answer = JudgeAnswer(True)  # type: ignore[arg-type]


class Nothing(Plain):
    answer = JudgeAnswer(None)  # type: ignore[arg-type]


class NotANumber(Plain):
    answer = JudgeAnswer("yes", float("nan"))


class TooSure(Plain):
    answer = JudgeAnswer("yes", 2.0)


class WordOfProbability(Plain):
    answer = JudgeAnswer("yes", "0.5")  # type: ignore[arg-type]


class NoList(Plain):
    def ask(self, tiles: Sequence[Any]) -> Any:
        return None


class TooFew(Plain):
    def ask(self, tiles: Sequence[Any]) -> Any:
        return [[JudgeAnswer("yes")] for _ in tiles]


class TooFewTiles(Plain):
    def ask(self, tiles: Sequence[Any]) -> Any:
        return []


class OneAnswer(Plain):
    def ask(self, tiles: Sequence[Any]) -> Any:
        return [JudgeAnswer("yes") for _ in tiles]


class StreamOfText:
    """Yields plain text."""

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "mine"}

    def stream(self, tiles: Iterator[Any]) -> Iterator[Any]:
        for _ in tiles:
            yield "yes"


class Empty(Plain):
    answer = JudgeAnswer("")


class Surrogate(Plain):
    answer = JudgeAnswer("no \ud83d")


class Hungry(Plain):
    """Has memory for `at_once` images."""

    num_images_at_once = 4
    at_once = 1
    asked: list[int] = []  # noqa: RUF012  (the tests clear it)

    def ask(self, tiles: Sequence[Any]) -> Any:
        self.asked.append(len(tiles))
        if len(tiles) > self.at_once:
            raise MemoryError
        return super().ask(tiles)


class Starving(Hungry):
    at_once = 0


class CannotBeBuilt(Plain):
    def __init__(self, request: Any) -> None:
        raise RuntimeError("no\nmodel")


class NoDescription:
    num_images_at_once = 1

    def __init__(self, request: Any) -> None:
        self.request = request

    def ask(self, tiles: Sequence[Any]) -> Any:
        return [[JudgeAnswer("yes") for _ in tile.questions] for tile in tiles]


class DescriptionOfText(Plain):
    def describe(self) -> Any:
        return "me"


class DescriptionOfObjects(Plain):
    def describe(self) -> Any:
        return {"model": object()}


class DescriptionNotANumber(Plain):
    def describe(self) -> Any:
        return {"threshold": float("nan")}


class NumberInWords(Plain):
    num_images_at_once: Any = "4"


class StreamOfNothing(NoDescription):
    def describe(self) -> Any:
        return {}

    def stream(self, tiles: Iterator[Any]) -> Any:
        return None


class AnswersToOthers(StreamOfNothing):
    def stream(self, tiles: Iterator[Any]) -> Any:
        for tile in tiles:
            yield JudgeReply(tile.item_id, tile.tile, {999: JudgeAnswer("yes")})


class EmptyInParts(StreamOfNothing):
    def stream(self, tiles: Iterator[Any]) -> Any:
        for tile in tiles:
            for qid in tile.qids:
                yield JudgeReply(tile.item_id, tile.tile, {qid: JudgeAnswer("")})
