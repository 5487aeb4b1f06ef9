"""The base class of judges, and classes of users' own that have only parts of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from PIL import Image

from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.judges.request import judge_class, load_judge
from dpgbench.backends.protocols import (
    Judge,
    JudgeAnswer,
    JudgeReply,
    JudgeRequest,
    TileQuestions,
)
from tests.helpers import Run, row, write_csv

HERE = "tests.backends.test_judge_class"


def tiles(count: int) -> Iterator[TileQuestions]:
    image = Image.new("RGB", (4, 4))
    for number in range(count):
        yield TileQuestions(f"it{number}", 0, image, (1, 2), ("Is it?", "Is it not?"))


class Yes(Judge):
    """The least that a judge has."""

    num_images_at_once = 2

    def __init__(self, request: JudgeRequest | None = None) -> None:
        self.batches: list[int] = []

    def describe(self) -> Mapping[str, Any]:
        return {"model": "yes"}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        self.batches.append(len(tiles))
        return [[JudgeAnswer("yes") for _ in tile.questions] for tile in tiles]


def test_a_judge_that_only_asks_streams_in_batches() -> None:
    judge = Yes()
    replies = list(judge.replies(tiles(5)))
    assert [reply.item_id for reply in replies] == [f"it{number}" for number in range(5)]
    assert all(list(reply.answers) == [1, 2] for reply in replies)
    assert judge.batches == [2, 2, 1]
    assert (judge.account(), judge.origin(), judge.self_test("cpu")) == (None, {}, None)
    assert judge.prepare(Image.new("RGB", (4, 4))) is None
    assert as_judge(judge) is judge


class Stumbles(Yes):
    """Cannot answer any batch that `it1` is in."""

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        if any(tile.item_id == "it1" for tile in tiles):
            raise ValueError("no answer about it1")
        return super().ask(tiles)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_a_tile_that_fails_a_batch_fails_alone(batch: int) -> None:
    judge = Stumbles()
    judge.num_images_at_once = batch
    replies = {reply.item_id: reply.error for reply in judge.replies(tiles(4))}
    assert replies.pop("it1") == "ValueError: no answer about it1"
    assert replies == dict.fromkeys(("it0", "it2", "it3"))


class Streams(Judge):
    def describe(self) -> Mapping[str, Any]:
        return {}

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        for tile in tiles:
            yield JudgeReply(tile.item_id, tile.tile, {qid: JudgeAnswer("no") for qid in tile.qids})


def test_a_judge_that_only_streams_cannot_be_asked() -> None:
    judge = Streams()
    assert len(list(judge.replies(tiles(3)))) == 3
    with pytest.raises(NotImplementedError, match=r"Streams has no ask\(tiles\)"):
        judge.ask(list(tiles(1)))


class Whole:
    """No subclass of `Judge`, with all that a judge may have."""

    num_images_at_once = 3
    has_answers: bool | None = None
    seen: ClassVar[list[Any]] = []

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "whole"}

    def origin(self) -> dict[str, Any]:
        return {"folder": "here"}

    def prepare(self, image: Image.Image) -> Any:
        return image.size

    def account(self) -> dict[str, Any]:
        return {"questions": 2, "first_date": "today"}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        self.seen += [self.has_answers, *(tile.prepared for tile in tiles)]
        return [[JudgeAnswer("yes") for _ in tile.questions] for tile in tiles]


def test_a_class_of_ones_own_is_asked_for_all_that_it_has(run: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", [row("it0", 1), row("it1", 1)])
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        Image.new("RGB", (32, 24), "red").save(tmp_path / f"pictures/it{number}.png")
    words = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r")
    words = (*words, "--judge", f"{HERE}:Whole")
    Whole.seen.clear()
    assert run(*words, "--items", "it0").code == 0
    assert run(*words).code == 0
    assert Whole.seen == [False, (32, 24), True, (32, 24)]
    (record,) = json.loads((tmp_path / "r/manifest.json").read_text())["judges"].values()
    assert (record["model"], record["folder"]) == ("whole", "here")
    assert record["account"] == {"questions": 4, "first_date": "today"}


def test_a_class_of_ones_own_is_known_by_its_own_name() -> None:
    judge = load_judge(JudgeRequest(f"{HERE}:Whole", device="cpu"))
    assert judge.class_name == f"{HERE}:Whole"
    assert judge.num_images_at_once == 3
    assert load_judge(JudgeRequest(f"{HERE}:Yes", device="cpu")).class_name == f"{HERE}:Yes"
    assert judge_class(f"{HERE}:Yes") is Yes
    assert judge_class(f"{HERE}:Whole").self_test("cpu") is None
    assert issubclass(judge_class("openai:m"), Judge)
