"""Asking a judge: every open question once, under its own number, whatever goes wrong beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.failures import Failures
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.score import Answer
from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError, IncompleteError, SetupError
from dpgbench.jobs.ask import (
    OpenGrid,
    Validity,
    ask,
    open_grids,
)
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.answers import answer_line, drop_invalid_answers, read_answer_file
from dpgbench.store.run.directory import RunDir
from tests.helpers import row, write_csv

ITEMS = ("a1", "b1", "c1")
GRID = GridSpec(2, 4, 4)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    rows = [row(item, qid, question_natural_language=f"{item} {qid}?")
            for item in ITEMS for qid in (1, 2, 5)]  # fmt: skip
    return load_benchmark(write_csv(tmp_path / "b.csv", rows))


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    """Two tiles an item: red 10 times the item's place, green the tile's number."""
    paths = {}
    for place, item in enumerate(ITEMS):
        image = Image.new("RGB", (8, 4))
        for tile in (0, 1):
            image.paste((10 * place, tile, 0), (4 * tile, 0, 4 * tile + 4, 4))
            image.putpixel((4 * tile, 0), (255, 255, 255))
        paths[item] = tmp_path / f"{item}.png"
        image.save(paths[item])
    return paths


class Known:
    """Answers with what it was asked and shown; `num_images_at_once` as told."""

    def __init__(self, at_once: int, trouble: Callable[[TileQuestions], None] | None = None):
        self.num_images_at_once = at_once
        self.trouble = trouble
        self.batches: list[int] = []

    def describe(self) -> dict[str, Any]:
        return {}

    def prepare(self, image: Image.Image) -> Any:
        return image.getpixel((3, 3))

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        self.batches.append(len(tiles))
        for tile in tiles:
            if self.trouble:
                self.trouble(tile)
        return [
            [JudgeAnswer(f"{question} {tile.image.getpixel((3, 3))} {tile.prepared}")
             for question in tile.questions]
            for tile in tiles
        ]  # fmt: skip


def recorded(run: RunDir) -> dict[tuple[str, int, int], str]:
    answers = read_answer_file(run.answers("j"))
    texts = {(a.item_id, a.tile, a.qid): a.answer for a in answers}
    assert len(texts) == len(answers)
    return texts


def expected(items: Sequence[str] = ITEMS) -> dict[tuple[str, int, int], str]:
    return {
        (item, tile, qid): f"{item} {qid}? {(10 * ITEMS.index(item), tile, 0)} "
        f"{(10 * ITEMS.index(item), tile, 0)}"
        for item in items
        for tile in (0, 1)
        for qid in (1, 2, 5)
    }


@pytest.mark.parametrize(
    ("at_once", "batches"),
    [(1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (0, [1] * 6), (99, [6])],
)
def test_every_question_of_every_tile_once(
    tmp_path: Path,
    benchmark: Benchmark,
    images: dict[str, Path],
    at_once: int,
    batches: list[int],
) -> None:
    run, judge = RunDir(tmp_path / "r"), Known(at_once)
    grids = open_grids(benchmark, ITEMS, images, {}, 2)
    assert [grid.num_questions for grid in grids] == [6, 6, 6]
    asked = ask(run, "j", judge, grids, GRID)
    assert recorded(run) == expected()
    assert judge.batches == batches
    assert (asked.answers, asked.failures, asked.truncated_questions) == (18, {}, 0)


def test_only_what_is_open_is_asked(
    tmp_path: Path, benchmark: Benchmark, images: dict[str, Path]
) -> None:
    run = RunDir(tmp_path / "r")
    answered = {("a1", 0): {1: "x", 2: "x", 5: "x"}, ("a1", 1): {1: "x", 5: "x"},
             ("b1", 0): {1: "x", 2: "x", 5: "x"}, ("b1", 1): {1: "x", 2: "x", 5: "x"}}  # fmt: skip
    grids = open_grids(benchmark, ["a1", "b1", "c1"], images, answered, 2)
    assert [(grid.item_id, sorted(grid.rows_by_tile)) for grid in grids] == [
        ("a1", [1]),
        ("c1", [0, 1]),
    ]
    asked = ask(run, "j", Known(1), grids, GRID)
    assert asked.answers == 7
    wanted = expected(["c1"]) | {("a1", 1, 2): expected()["a1", 1, 2]}
    assert recorded(run) == wanted
    less = {item: path for item, path in images.items() if item != "a1"}
    assert [grid.item_id for grid in open_grids(benchmark, ITEMS, less, answered, 2)] == ["c1"]
    assert open_grids(benchmark, ["a1", "b1"], images, answered, 1) == []


def fails_for(*places: tuple[str, int]) -> Callable[[TileQuestions], None]:
    def trouble(tile: TileQuestions) -> None:
        if (tile.item_id, tile.tile) in places:
            raise ValueError("no\nluck")

    return trouble


@pytest.mark.parametrize("at_once", [1, 3, 6])
def test_a_tile_that_fails_costs_no_other(
    tmp_path: Path, benchmark: Benchmark, images: dict[str, Path], at_once: int
) -> None:
    run = RunDir(tmp_path / "r")
    grids = open_grids(benchmark, ITEMS, images, {}, 2)
    asked = ask(run, "j", Known(at_once, fails_for(("b1", 1))), grids, GRID)
    lost = {("b1", 1, qid) for qid in (1, 2, 5)}
    assert recorded(run) == {key: text for key, text in expected().items() if key not in lost}
    assert asked.failures == {"b1": "ValueError: no luck"}
    assert asked.answers == 15


def test_an_image_that_cannot_be_read_costs_no_other(
    tmp_path: Path, benchmark: Benchmark, images: dict[str, Path]
) -> None:
    run = RunDir(tmp_path / "r")
    images["b1"].write_bytes(b"x")
    asked = ask(run, "j", Known(2), open_grids(benchmark, ITEMS, images, {}, 2), GRID)
    assert recorded(run) == expected(["a1", "c1"])
    assert "image b1.png cannot be read" in asked.failures["b1"]


def test_many_more_images_than_are_read_ahead(tmp_path: Path) -> None:
    names = [f"i{n:02}" for n in range(23)]
    path = write_csv(tmp_path / "b.csv", [row(name, 1) for name in names])
    for place, name in enumerate(names):
        Image.new("RGB", (4, 4), (place, 0, 0)).save(tmp_path / f"{name}.png")
    images = {name: tmp_path / f"{name}.png" for name in names}
    run, alike = RunDir(tmp_path / "r"), {}
    grids = open_grids(load_benchmark(path), names, images, {}, 1)
    asked = ask(run, "j", Known(5), grids, None, alike)
    assert asked.answers == 23
    assert [a.item_id for a in read_answer_file(run.answers("j"))] == names
    assert [
        int(a.answer.split("(")[1].split(",")[0]) for a in read_answer_file(run.answers("j"))
    ] == [*range(23)]
    assert alike == {name: [0] for name in names}


class Telling(Known):
    """Gives each kind of answer in turn."""

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        return [
            [
                JudgeAnswer("yes", 0.12345678),
                JudgeAnswer("no", 0.0, truncated=True),
                JudgeAnswer("hm", None, invalid=True),
            ]
            for _ in tiles
        ]


def test_what_an_answer_says_is_written_down(
    tmp_path: Path, benchmark: Benchmark, images: dict[str, Path]
) -> None:
    run = RunDir(tmp_path / "r")
    asked = ask(run, "j", Telling(1), open_grids(benchmark, ["a1"], images, {}, 2), GRID)
    lines = [json.loads(line) for line in run.answers("j").read_text().splitlines()]
    place = {"item_id": "a1", "tile": 0}
    assert lines[:3] == [
        {**place, "qid": 1, "answer": "yes", "p_yes": 0.123457},
        {**place, "qid": 2, "answer": "no", "p_yes": 0.0, "truncated": True},
        {**place, "qid": 5, "answer": "hm", "invalid": True},
    ]
    assert [line["tile"] for line in lines] == [0, 0, 0, 1, 1, 1]
    assert asked.truncated_questions == 2


class Short(Known):
    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        return [[JudgeAnswer("yes")] for _ in tiles]


def test_a_judge_that_gives_too_few_answers_gives_none(
    tmp_path: Path, benchmark: Benchmark, images: dict[str, Path]
) -> None:
    run = RunDir(tmp_path / "r")
    with pytest.raises(DataError, match="returned 1 for 3 questions"):
        ask(run, "j", Short(1), open_grids(benchmark, ["a1"], images, {}, 2), GRID)
    assert recorded(run) == {}


class Streaming:
    """Replies in parts and out of order, then has enough."""

    def __init__(self, end: Exception | None) -> None:
        self.end = end

    def describe(self) -> dict[str, Any]:
        return {}

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        held = list(tiles)
        for tile in reversed(held):
            yield JudgeReply(tile.item_id, tile.tile, {tile.qids[0]: JudgeAnswer("yes")})
            yield JudgeReply(tile.item_id, tile.tile, {2: JudgeAnswer("no"), 5: JudgeAnswer("no")})
        if self.end is not None:
            raise self.end
        yield JudgeReply("a1", 0, {}, "said nothing")


def test_replies_of_a_stream(tmp_path: Path, benchmark: Benchmark, images: dict[str, Path]) -> None:
    run = RunDir(tmp_path / "r")
    grids = open_grids(benchmark, ITEMS, images, {}, 2)
    asked = ask(run, "j", Streaming(None), grids, GRID)
    assert len(recorded(run)) == asked.answers == 18
    assert recorded(run)["b1", 1, 1] == "yes"
    assert recorded(run)["b1", 1, 5] == "no"
    assert asked.failures == {"a1": "said nothing"}


def test_a_stream_that_ends_too_soon_says_what_is_left(
    tmp_path: Path, benchmark: Benchmark, images: dict[str, Path]
) -> None:
    more = {**images, "x": images["a1"]}
    grids = open_grids(benchmark, ITEMS, more, {}, 2)
    grids.append(OpenGrid("a1", images["a1"], {}))
    with pytest.raises(IncompleteError, match=r"quota \(0 of 18 questions are left\)"):
        ask(RunDir(tmp_path / "r"), "j", Streaming(IncompleteError("quota")), grids, GRID)
    assert len(recorded(RunDir(tmp_path / "r"))) == 18


def test_a_number_that_stands_twice_in_an_item_is_refused(tmp_path: Path) -> None:
    rows = [row("a", 1), row("b", 1), row("b", 2), row("b", 1)]
    benchmark = load_benchmark(write_csv(tmp_path / "b.csv", rows))
    benchmark.require_unique_questions(["a"])
    with pytest.raises(DataError, match=r"row 5 \(item b\): question 1 stands at row 3 already"):
        benchmark.require_unique_questions(["a", "b"])


def test_failures_in_a_row_end_the_work() -> None:
    failures = Failures()
    for number in range(9):
        assert failures.record(str(number), ValueError("a  b")) == "ValueError: a b"
    failures.success()
    for number in range(9):
        failures.record(str(number), ValueError("c"))
    with pytest.raises(ValueError, match="c"):
        failures.record("x", ValueError("c"))


def test_foreseen_faults_of_an_item_go_on_and_others_do_not() -> None:
    failures = Failures()
    for number in range(30):
        assert failures.record(str(number), DataError("bad image")) == "bad image"
    assert len(failures.reasons) == 30
    with pytest.raises(SetupError):
        failures.record("x", SetupError("no weights"))


@pytest.mark.parametrize(
    ("reasons", "success", "hopeless"),
    [
        (["a"] * 10, False, "a"),
        (["a"] * 9, False, None),
        (["a"] * 9 + ["b"], False, None),
        (["a"] * 12, True, None),
        ([], False, None),
    ],
)
def test_what_fails_for_one_reason_is_hopeless(
    reasons: list[str], success: bool, hopeless: str | None
) -> None:
    failures = Failures()
    for number, reason in enumerate(reasons):
        failures.record(str(number), DataError(reason))
    if success:
        failures.success()
    assert failures.hopeless() == hopeless


def watched(*invalid: int) -> str | None:
    """Return how the work ended after answers of which 1 is invalid, None where it went on."""
    validity = Validity("j")
    try:
        for number, bad in enumerate(invalid):
            validity.watch([JudgeAnswer(f"hm {number}" if bad else "yes", invalid=bool(bad))])
    except IncompleteError as error:
        return f"{number + 1}: {error}"
    return None


def test_a_judge_that_says_nothing_valid_is_asked_no_more() -> None:
    assert watched(*[1] * 19) is None
    message = watched(*[1] * 40)
    assert message is not None
    assert message.startswith(
        "20: 20 of 20 answers of judge j are neither yes nor no (first: 'hm 0')"
    )
    assert (watched(0, 0, *[1] * 18) or "").startswith("20: 18 of 20")
    assert watched(0, 0, 0, *[1] * 17) is None
    assert (watched(0, 0, 0, *[1] * 40) or "").startswith("30: 27 of 30")
    assert watched(*[0, 1] * 30) is None


@pytest.mark.parametrize(
    ("invalid", "warnings"),
    [
        ([1] * 9, []),
        ([1] * 10, ["10 of 10"]),
        ([0] * 5 + [1] * 5, ["5 of 10"]),
        ([0] * 6 + [1] * 5, []),
        ([0] * 6 + [1] * 12, ["6 of 12"]),
    ],
)
def test_many_invalid_answers_are_warned_of_once(
    caplog: pytest.LogCaptureFixture, invalid: list[int], warnings: list[str]
) -> None:
    assert watched(*invalid) is None
    assert [r.getMessage().split(" answers")[0] for r in caplog.records] == warnings


def test_the_first_invalid_answer_is_the_example() -> None:
    validity = Validity("j")
    texts = ["yes", "", "hm", "nan", *["x"] * 17]
    answers = [JudgeAnswer(text, invalid=text in ("hm", "x")) for text in texts]
    with pytest.raises(IncompleteError, match=r"20 of 21 answers .* \(first: ''\)"):
        validity.watch(answers)


class Mumbling(Known):
    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        return [[JudgeAnswer("hm", invalid=True) for _ in tile.questions] for tile in tiles]


def test_asking_ends_where_nothing_valid_comes(tmp_path: Path) -> None:
    names = [f"i{n:02}" for n in range(30)]
    path = write_csv(tmp_path / "b.csv", [row(name, 1) for name in names])
    images = dict.fromkeys(names, tmp_path / "x.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    run = RunDir(tmp_path / "r")
    grids = open_grids(load_benchmark(path), names, images, {}, 1)
    with pytest.raises(
        IncompleteError, match=r"20 of 20 answers .* \(10 of 30 questions are left\)"
    ):
        ask(run, "j", Mumbling(1), grids, None)
    assert len(read_answer_file(run.answers("j"))) == 20
    assert drop_invalid_answers(run.answers("j"), scratch=run.path) == 20
    assert run.answers("j").read_text() == ""


def test_invalid_answers_are_taken_out_and_others_stay(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert drop_invalid_answers(run.answers("j"), scratch=run.path) == 0
    run.answers("j").parent.mkdir()
    place = {"item_id": "a", "tile": 0}
    good = [{**place, "qid": 1, "answer": "yes", "p_yes": 0.5}, {**place, "qid": 2, "answer": "hm"}]
    bad = [{**place, "qid": 3, "answer": "yes", "invalid": True}, {**place, "qid": 4, "answer": ""}]
    text = [json.dumps(record) + "\n" for record in (good[0], bad[0], bad[1], good[1])]
    run.answers("j").write_text("".join(text))
    assert drop_invalid_answers(run.answers("j"), scratch=run.path) == 2
    assert run.answers("j").read_text() == text[0] + text[3]
    before = run.answers("j").stat().st_mtime_ns
    assert drop_invalid_answers(run.answers("j"), scratch=run.path) == 0
    assert run.answers("j").stat().st_mtime_ns == before


def test_a_line_of_an_answer_says_only_what_is_so() -> None:
    plain = {"item_id": "a1", "tile": 0, "qid": 2, "answer": "no"}
    assert answer_line(Answer("a1", 0, 2, "no")) == plain
    invalid = Answer("a1", 0, 2, "no", p_yes=0.25, invalid=True)
    assert answer_line(invalid, truncated=True) == {
        **plain,
        "p_yes": 0.25,
        "truncated": True,
        "invalid": True,
    }
