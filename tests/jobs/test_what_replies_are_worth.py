"""What replies are counted as: answers, empty ones, silent ones, lost items; and what they cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.judges.answer_checks import JudgeContractError
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.domain.rules import SOFT_TIFA_AM
from dpgbench.engine.asking import Asker, Opened, OpenGrid, Spent
from dpgbench.engine.work import LocalWorkers, Lost, Workers
from dpgbench.errors import DataError, IncompleteError
from dpgbench.jobs.ask import (
    Asked,
    AskWorkers,
    Seen,
    Validity,
    answer_lines,
    ask,
    ask_workers,
    open_grids,
    significant,
)
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.directory import RunDir
from tests.helpers import row, write_csv

EMPTY = JudgeAnswer("")
YES = JudgeAnswer("yes")


class Scripted:
    """Replies what it is given, and has cost one request a tile that it took."""

    def __init__(self, *replies: JudgeReply) -> None:
        self.given, self.requests = replies, 0

    def describe(self) -> dict[str, Any]:
        return {}

    def account(self) -> dict[str, int]:
        return {"requests": self.requests}

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        self.requests += len(list(tiles))
        yield from self.given


@pytest.fixture
def grids(tmp_path: Path) -> list[OpenGrid]:
    """Item `a` with questions 1 to 5 about one tile, `b` with 1 and 2."""
    rows = [row("a", qid) for qid in range(1, 6)] + [row("b", 1), row("b", 2)]
    benchmark = load_benchmark(write_csv(tmp_path / "b.csv", rows))
    Image.effect_noise((8, 8), 50).convert("RGB").save(tmp_path / "x.png")
    images = dict.fromkeys("ab", tmp_path / "x.png")
    opened = open_grids(benchmark, ["a", "b"], images, {}, 1)
    assert [grid.forms for grid in opened] == [False, False]  # nobody wants their probabilities
    return opened


def test_empty_answers_are_counted_a_tile_and_warned_of_once(
    tmp_path: Path, grids: list[OpenGrid], caplog: pytest.LogCaptureFixture
) -> None:
    judge = Scripted(
        JudgeReply("a", 0, {1: EMPTY, 2: YES}),
        JudgeReply("b", 0, {1: EMPTY, 2: EMPTY}),
        JudgeReply("a", 0, {3: EMPTY, 4: EMPTY}),
        JudgeReply("a", 0, {5: JudgeAnswer("no", truncated=True)}),
    )
    asked = ask(RunDir(tmp_path / "r"), "j", judge, grids, None)
    three = "tile 0: the judge gave 3 empty answers; they are asked again by the same command"
    two = three.replace("3", "2")
    assert asked == Asked(2, {"a": three, "b": two}, 1)
    one = "tile 0: the judge gave an empty answer; it is asked again by the same command"
    assert [r.getMessage() for r in caplog.records] == [f"item a {one}", f"item b {two}"]


def test_answers_to_what_was_not_asked_are_refused_and_none_is_written(
    tmp_path: Path, grids: list[OpenGrid]
) -> None:
    run = RunDir(tmp_path / "r")
    for stray in (("a", 0, 6), ("b", 0, 5), ("a", 1, 1), ("c", 0, 1)):
        item, tile, qid = stray
        judge = Scripted(JudgeReply(item, tile, {qid: YES}))
        place = rf"Scripted\.stream must yield .* not to {item} tile {tile} question {qid}"
        with pytest.raises(JudgeContractError, match=place):
            ask(run, "j", judge, grids, None)
    assert run.answers("j").read_text() == ""


def test_what_asking_cost_is_noted_where_the_answers_end_the_work(
    tmp_path: Path, grids: list[OpenGrid]
) -> None:
    seen = Seen()
    judge = Scripted(JudgeReply("a", 0, {9: YES}))
    workers: AskWorkers = LocalWorkers(Asker(judge, None))
    with pytest.raises(JudgeContractError):
        ask_workers(RunDir(tmp_path / "r"), "j", "my:Judge", workers, grids, seen)
    assert list(seen.account_by_worker.values()) == [{"requests": 2}]


@pytest.mark.parametrize("has_answers", [False, True])
def test_a_judge_hears_whether_the_run_has_answers_of_it(
    tmp_path: Path, grids: list[OpenGrid], has_answers: bool
) -> None:
    heard: list[object] = []

    class Listens(Scripted):
        has_answers = None

        def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
            heard.append(self.has_answers)
            return super().stream(tiles)

    more = {"has_answers": True} if has_answers else {}
    ask(RunDir(tmp_path / "r"), "j", Listens(), grids, None, **more)
    assert heard == [has_answers]


class Elsewhere(Workers[OpenGrid, JudgeReply | Opened | Spent]):
    """Workers of other processes, of which these outcomes come."""

    def __init__(self, outcomes: Sequence[JudgeReply | Opened | Spent | Lost[OpenGrid]]) -> None:
        self.outcomes = outcomes

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("what they cost comes with their outcomes")

    def run(
        self, units: Iterable[OpenGrid], number: int
    ) -> Iterator[JudgeReply | Opened | Spent | Lost[OpenGrid]]:
        assert number == len(list(units))
        yield from self.outcomes


def lost(item_id: str, grid: OpenGrid) -> Lost[OpenGrid]:
    return Lost(grid._replace(item_id=item_id), "out of luck")


def test_where_the_first_ten_items_are_lost_the_others_are_left(
    tmp_path: Path, grids: list[OpenGrid]
) -> None:
    run, (a, b) = RunDir(tmp_path / "r"), grids
    ten = [lost(f"i{number}", a) for number in range(10)]
    said_nothing = JudgeReply("a", 0, {}, None)
    with pytest.raises(IncompleteError) as ended:
        ask_workers(run, "j", "my:Judge", Elsewhere([said_nothing, *ten]), [a, b], Seen())
    assert str(ended.value) == (
        "out of luck, and so did all items before it (7 of 7 questions are left)"
    )
    seen = Seen()
    outcomes = [Spent("w", {"requests": 1}), *ten[:9], Spent("w", {"requests": 3})]
    asked = ask_workers(run, "j", "my:Judge", Elsewhere(outcomes), [a, b], seen)
    assert asked == Asked(0, {f"i{number}": "out of luck" for number in range(9)}, 0)
    assert seen.account_by_worker == {"w": {"requests": 3}}
    after_an_answer = Elsewhere([JudgeReply("b", 0, {1: YES}), *ten])
    assert ask_workers(run, "j", "my:Judge", after_an_answer, [a, b], Seen()).answers == 1


def test_an_account_of_nothing_is_none() -> None:
    seen = Seen()
    seen.note_cost(Spent("free", None))
    assert seen.account_by_worker == {}


SILENT, OF_YES = JudgeAnswer("no"), JudgeAnswer("no", p_yes=0.0)
OF_THE_RIGHT = JudgeAnswer("no", p_answer=0.5)


@pytest.mark.parametrize(
    ("answers", "ended"),
    [
        ([SILENT] * 19, False),
        ([SILENT] * 20, True),
        ([SILENT] * 19 + [OF_YES], False),
        ([OF_YES] + [SILENT] * 40, False),
        ([OF_THE_RIGHT] + [SILENT] * 40, False),
    ],
)
def test_twenty_answers_without_a_probability_end_a_rule_about_them(
    answers: list[JudgeAnswer], ended: bool
) -> None:
    validity = Validity("j")
    for answer in answers:
        validity.watch([answer])  # without a rule about them none is missed
    validity = Validity("j")
    validity.rule = SOFT_TIFA_AM
    validity.watch([])
    if not ended:
        validity.watch(answers)
        return
    with pytest.raises(DataError, match=r"rule soft-tifa-am averages .* judge j gives none"):
        validity.watch(answers)


def test_a_long_answer_is_an_example_to_its_hundredth_character(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Validity("j").watch([JudgeAnswer("x" * 99 + "yz", invalid=True)] * 10)
    (message,) = [r.getMessage() for r in caplog.records]
    assert message == (
        "10 of 10 answers of judge j are neither yes nor no (first: '" + "x" * 99 + "y')"
    )


def test_probabilities_keep_the_digits_that_tell_them_apart() -> None:
    assert significant(0.12345678951) == 0.12345679
    assert significant(1.0000000049e-30) == 1e-30
    assert significant(1.00000001e-30) == 1.00000001e-30
    answers = {1: JudgeAnswer("two", p_answer=1.23456789012e-12), 2: YES}
    lines = [json.loads(json.dumps(line)) for line in answer_lines(JudgeReply("a", 0, answers))]
    assert [line.get("p_answer") for line in lines] == [1.23456789e-12, None]
    assert "p_yes" not in lines[0]
