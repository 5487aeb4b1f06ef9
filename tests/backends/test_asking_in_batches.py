"""What a failed batch costs: its tile alone, however it failed, and when failures end the work."""

from __future__ import annotations

import traceback
import weakref
from collections.abc import Collection, Sequence

import pytest
from PIL import Image

from dpgbench.backends.judges.asking import ask_in_batches
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply, TileQuestions

IMAGE = Image.new("RGB", (4, 4))


def tile(number: int, num_questions: int) -> TileQuestions:
    qids = tuple(range(1, num_questions + 1))
    return TileQuestions(f"i{number}", 0, IMAGE, qids, tuple(f"{number}.{q}" for q in qids))


class Batch:
    """What a judge holds while it works on a batch."""


class Cramped:
    """Has memory for so many questions, never for some; notes what it still holds of before."""

    def __init__(self, num_images_at_once: int, fits: int, never: Collection[str] = ()) -> None:
        self.num_images_at_once, self.fits, self.never = num_images_at_once, fits, never
        self.asked: list[list[str]] = []
        self.held: list[bool] = []
        self._before: weakref.ref[Batch] | None = None

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        self.held.append(self._before is not None and self._before() is not None)
        batch = Batch()
        self._before = weakref.ref(batch)
        questions = [question for one in tiles for question in one.questions]
        self.asked.append(questions)
        if len(questions) > self.fits or any(question in self.never for question in questions):
            raise MemoryError("out of memory")
        return [[JudgeAnswer(question) for question in one.questions] for one in tiles]


def asked_of(replies: Sequence[JudgeReply]) -> list[tuple[str, list[int], bool]]:
    return [(reply.item_id, [*reply.answers], reply.error is not None) for reply in replies]


def test_a_part_that_never_fits_ends_its_own_tile_and_no_other() -> None:
    judge = Cramped(2, 2, never=["0.3"])
    replies = list(ask_in_batches(judge, iter([tile(0, 6), tile(1, 2)]), "Cramped"))
    assert asked_of(replies) == [
        ("i0", [1], False),
        ("i0", [2], False),
        ("i0", [], True),
        ("i1", [1, 2], False),
    ]
    assert [len(questions) for questions in judge.asked] == [8, 6, 3, 1, 2, 1, 1, 2]


def test_what_a_batch_that_did_not_fit_held_is_free_before_the_next() -> None:
    judge = Cramped(4, 1)
    replies = list(ask_in_batches(judge, iter([tile(0, 1), tile(1, 1), tile(2, 1)]), "Cramped"))
    assert asked_of(replies) == [(f"i{number}", [1], False) for number in range(3)]
    assert len(judge.held) == 5
    assert not any(judge.held)


class Failing:
    """Fails for some tiles."""

    num_images_at_once = 1

    def __init__(self, fails: Collection[int]) -> None:
        self.fails = {f"i{number}" for number in fails}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        if tiles[0].item_id in self.fails:
            self.stumble()
        return [[JudgeAnswer("yes") for _ in one.questions] for one in tiles]

    def stumble(self) -> None:
        raise ValueError("no luck")


def test_ten_failures_on_end_raise_what_the_judge_raised_with_its_place() -> None:
    tiles = [tile(number, 1) for number in range(20)]
    apart = ask_in_batches(Failing([*range(9), *range(10, 19)]), iter(tiles), "Failing")
    assert [reply.error is None for reply in apart] == [number in (9, 19) for number in range(20)]
    replies: list[JudgeReply] = []
    with pytest.raises(ValueError, match="no luck") as raised:
        replies.extend(ask_in_batches(Failing(range(5, 15)), iter(tiles), "Failing"))
    assert "stumble" in [frame.name for frame in traceback.extract_tb(raised.tb)]
