"""A benchmark whose right answers are no, numbers and words, through the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from dpgbench import JudgeAnswer
from dpgbench.report.page.packing import packed_answers
from tests.helpers import Run, answers_csv, csv_text, row

PROMPT = "三只猫。" + "一" * 30
ROWS = [
    row("a1", 1, text=PROMPT, question_natural_language="图中有几只猫?", answer="三"),
    row("a1", 2, "1", text=PROMPT, tuple="attribute - color (猫, 红色)", answer="no"),
    row("b1", 1, answer="red", question_template="{question} Answer in one word."),
    row("b1", 2, "1"),
]


class Remembers:
    """Answers as it is told to by the questions; keeps what it was asked."""

    num_images_at_once = 3
    asked: ClassVar[list[Any]] = []

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "remembers"}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        self.asked += [
            (tile.item_id, tile.questions, tile.expected, tile.templated) for tile in tiles
        ]
        said = {"a1": ["3", "no"], "b1": ["blue", "yes"]}
        return [[JudgeAnswer(text) for text in said[tile.item_id]] for tile in tiles]


def write_benchmark(path: Path) -> Path:
    rows = [{"answer": "", "question_template": "", **cells} for cells in ROWS]
    path.write_text(csv_text(rows, list(rows[0])), encoding="utf-8")
    return path


def test_drawn_asked_scored_reported(run: Run, tmp_path: Path) -> None:
    write_benchmark(tmp_path / "own.csv")
    drawn = run(
        "generate", "--model", "tests.cli.own_judges:Noise", "--bench", "own.csv", "--out", "r",
        "--num-images", 2,
    )  # fmt: skip
    assert drawn.code == 0, drawn.err
    Remembers.asked.clear()
    words = ("score", "r", "--judge", f"{__name__}:Remembers", "--rule", "corrected-v1")
    scored = run(*words, "--rule", "ulmeval", "--json")
    assert scored.code == 0, scored.err
    results = json.loads(scored.out)["results"]
    assert [result["overall"] for result in results] == [50.0, 50.0]
    assert results[0]["l2"]["attribute - color"]["score"] == 100.0
    assert "neither" not in scored.err
    asked = {item: rest for item, *rest in Remembers.asked}
    assert asked["a1"][1:] == [("三", "no"), ()]
    assert asked["b1"] == [
        ("Is there thing 1? Answer in one word.", "Is there thing 2?"),
        ("red", "yes"),
        (True, False),
    ]

    assert run("verify", "r").code == 0
    assert run("report", "r", "--out", "report").code == 0
    page = (tmp_path / "report/leaderboard.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    (judge,) = data["sets"][0]["runs"][0]["judges"].values()
    before_zeroing = ["yyyy", "nyny"]
    assert judge["answers"] == list(map(packed_answers, before_zeroing))
    assert judge["others"] == {
        "0": {"0": "3", "1": "no", "2": "3", "3": "no"}, "1": {"0": "blue", "2": "blue"},
    }  # fmt: skip
    assert [question[7:] for question in data["sets"][0]["questions"][0]] == [["三"], ["no"]]
    assert [question[7:] for question in data["sets"][0]["questions"][1]] == [["red"], []]


def test_shown_and_recorded(run: Run, tmp_path: Path) -> None:
    bench = write_benchmark(tmp_path / "own.csv")
    shown = run("prompts", "show", "a1", "--bench", bench)
    assert "1. 图中有几只猫? [entity - whole] (right: 三)" in shown.out
    as_json = json.loads(run("prompts", "show", "b1", "--bench", bench, "--json").out)
    assert [question["answer"] for question in as_json["questions"]] == ["red", "yes"]
    assert as_json["questions"][0]["asked"] == "Is there thing 1? Answer in one word."
    answers = [("a1", 0, 1, "三"), ("a1", 0, 2, "no"), ("b1", 0, 1, "Red"), ("b1", 0, 2, "no")]
    path = answers_csv(tmp_path / "answers.csv", answers)
    ended = run("score", "--bench", bench, "--answers", path, "--rule", "dsg", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["results"][0]["overall"] == 75.0


def test_judges_are_compared_by_what_is_right(run: Run, tmp_path: Path) -> None:
    """Two that say the same number in other words agree."""
    bench = write_benchmark(tmp_path / "own.csv")
    first = [("a1", 0, 1, "3"), ("a1", 0, 2, "no"), ("b1", 0, 1, "red"), ("b1", 0, 2, "yes")]
    second = [("a1", 0, 1, "three"), ("a1", 0, 2, "yes"), ("b1", 0, 1, "Red"), ("b1", 0, 2, "yes")]
    for name, answers in (("one", first), ("two", second)):
        answers_csv(tmp_path / f"{name}.csv", answers)
    words = ("judges", "compare", "one.csv", "two.csv", "--bench", bench)
    ended = run(*words, "--rule", "corrected-v1", "--json")
    assert ended.code == 0, ended.err
    compared = json.loads(ended.out)
    assert compared["pairs"][0]["agreement"]["value"] == 0.75
    assert [judge["yes_rate"] for judge in compared["judges"]] == [1.0, 0.75]
    assert [judge["invalid"] for judge in compared["judges"]] == [0, 0]
