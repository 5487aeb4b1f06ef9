"""What a scored run holds: score files, the judge's record, warnings, what was refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.domain.score import Answer
from dpgbench.jobs import score as score_job
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir
from tests.helpers import Ended, Run, answers_csv, row, write_csv

JUDGE = """
from dpgbench import JudgeAnswer
class Judge:
    num_images_at_once = 1
    def __init__(self, request): pass
    def describe(self): return {describe}
    def account(self): return {{"requests": 3, "cost": 0.5, "served_models": ["x"]}}
    def ask(self, tiles):
        return [[{answer} for qid in t.qids] for t in tiles]
"""
ITEMS = ("a1", "a2", "b1")
NAME = "kept_judge:Judge"
SCORE = ("score", "p", "--bench", "b.csv", "--out", "r", "--judge", NAME, "--num-images")


def judge(folder: Path, answer: str = "JudgeAnswer('yes')", describe: str = "{}") -> None:
    sys.modules.pop("kept_judge", None)
    (folder / "kept_judge.py").write_text(JUDGE.format(answer=answer, describe=describe))


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Path]:
    write_csv(tmp_path / "b.csv", [row(item, qid) for item in ITEMS for qid in (1, 2)])
    (tmp_path / "p").mkdir()
    for place, item in enumerate(ITEMS):
        image = Image.new("RGB", (16, 16), (place, 0, 9))
        for corner in ((0, 0), (9, 0), (0, 9), (9, 9)):
            image.putpixel(corner, (255, 255, 255))
        image.save(tmp_path / f"p/{item}.png")
    judge(tmp_path)
    yield tmp_path
    sys.modules.pop("kept_judge", None)


def manifest(parts: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((parts / "r/manifest.json").read_text())
    return record


def results(ended: Ended) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = json.loads(ended.out)["results"]
    return bodies


def test_a_score_file_says_what_it_is_about(run: Run, parts: Path) -> None:
    ended = run(*SCORE, 4, "--rule", "dsg", "--rule", "ulmeval", "--json", "--name", "model x")
    assert ended.code == 0, ended.err
    run_dir = RunDir(parts / "r")
    for rule, result in zip(("dsg", "ulmeval"), results(ended), strict=True):
        file = json.loads(run_dir.scores(NAME, rule).read_text())
        expected = {
            "schema": 1,
            "rule": rule,
            "judge": NAME,
            "benchmark": "b",
            "benchmark_sha256": load_benchmark(parts / "b.csv").graphs_sha256,
            "model": "model x",
            "num_tiles": 4,
            "subset": None,
            "overall": 100.0,
            "items_scored": 3,
            "items_expected": 3,
            "warnings": {},
        }
        assert {key: file[key] for key in expected} == expected
        assert file["notes"] == manifest(parts)["notes"]
        assert {key: result[key] for key in expected} == expected
        table = run_dir.item_scores(NAME, rule).read_text().splitlines()
        assert table[1] == "a1,a,100.0,100.0,100.0,100.0,100.0,2,"
    record = manifest(parts)
    assert record["completed"] >= record["created"]
    assert record["environment"]["python"]
    assert record["kind"] == "images"
    assert len(record["commands"]) == 1
    assert record["generation"]["folder"] == str(parts / "p")
    assert record["items"] == list(ITEMS)


def test_the_judges_record(run: Run, parts: Path) -> None:
    answer = "JudgeAnswer('yes', truncated=qid == 2)"
    judge(parts, answer, "{'version': 7}")
    ended = run(*SCORE, 1, "--items", "a1,a2")
    assert "2 questions longer than the judge reads" in ended.err
    record = manifest(parts)["judges"][NAME]
    assert (record["version"], record["truncated_questions"]) == (7, 2)
    assert record["account"] == {"requests": 3, "cost": 0.5, "served_models": ["x"]}
    assert record["questions_sha256"] == load_benchmark(parts / "b.csv").questions_sha256
    assert "longer than the judge reads" not in run(*SCORE, 1, "--items", "a1").err  # not asked
    assert manifest(parts)["judges"][NAME] == record
    assert run(*SCORE, 1).code == 0  # what is left: one item
    record = manifest(parts)["judges"][NAME]
    assert record["truncated_questions"] == 3
    assert record["account"] == {"requests": 6, "cost": 1.0, "served_models": ["x"]}
    assert len(manifest(parts)["commands"]) == 3
    # another judge of this name may not go on
    judge(parts, answer, "{'version': 8}")
    (parts / "r/answers").joinpath(next((parts / "r/answers").iterdir()).name).write_text(
        "".join(RunDir(parts / "r").answers(NAME).read_text().splitlines(keepends=True)[:2])
    )
    ended = run(*SCORE, 1)
    assert ended.code == 5
    assert "version: 7 -> 8" in ended.error


def test_what_asking_cost_is_kept_where_it_broke_off(run: Run, parts: Path) -> None:
    judge(parts)
    text = (parts / "kept_judge.py").read_text()
    broken = "        if any(t.item_id == 'b1' for t in tiles): raise SetupError('no money left')\n"
    text = text.replace("        return [[", broken + "        return [[")
    (parts / "kept_judge.py").write_text("from dpgbench.errors import SetupError\n" + text)
    ended = run(*SCORE, 1)
    assert (ended.code, "no money left" in ended.error) == (4, True)
    assert manifest(parts)["judges"][NAME]["account"]["requests"] == 3
    assert len(read_answer_file(RunDir(parts / "r").answers(NAME))) == 4
    judge(parts)
    assert run(*SCORE, 1).code == 0
    assert manifest(parts)["judges"][NAME]["account"]["requests"] == 6


def test_tiles_of_one_colour_are_warned_of_once_and_counted(run: Run, parts: Path) -> None:
    flat = Image.open(parts / "p/a2.png").convert("RGB")
    for x in range(8, 16):
        for y in range(8):
            flat.putpixel((x, y), (1, 1, 1))
    flat.save(parts / "p/a2.png")
    Image.new("RGB", (16, 16), (7, 7, 7)).save(parts / "p/b1.png")
    ended = run(*SCORE, 4, "--json", "--items", "a1,a2")
    assert "1 tile of 1 item is of one single colour (first: tile 1 of a2)" in ended.err
    assert [r["warnings"]["single_colour_tiles"] for r in results(ended)] == [1, 1]
    ended = run(*SCORE, 4, "--json")
    assert "4 tiles of 1 item are of one single colour (first: tile 0 of b1)" in ended.err
    assert results(ended)[1]["warnings"]["single_colour_tiles"] == 5
    single_colour = manifest(parts)["generation"]["single_colour"]
    assert single_colour == {"tiles": 5, "items": {"a2": [1], "b1": [0, 1, 2, 3]}}
    ended = run(*SCORE, 4, "--json", "--items", "a1")
    assert "single colour" not in ended.err
    assert "single_colour_tiles" not in results(ended)[1]["warnings"]


@pytest.mark.parametrize(("number", "code"), [(1, 0), (4, 0), (5, 6), (9, 6)])
def test_a_fifth_of_invalid_answers_is_too_many(
    run: Run, tmp_path: Path, number: int, code: int
) -> None:
    write_csv(tmp_path / "b.csv", [row("a1", qid) for qid in range(1, 21)])
    (tmp_path / "p").mkdir()
    Image.effect_noise((8, 8), 50).save(tmp_path / "p/a1.png")
    judge(tmp_path, f"JudgeAnswer('hm', invalid=True) if qid <= {number} else JudgeAnswer('yes')")
    ended = run(*SCORE, 1, "--json", "--rule", "dsg")
    assert ended.code == code
    result = results(ended)[0]
    assert result["warnings"]["invalid_answers"] == number
    assert result["overall"] == pytest.approx(100 * (20 - number) / 20)
    assert ("With so many of them a score means nothing" in ended.err) == (code == 6)


def test_what_one_rule_refuses_another_scores(run: Run, parts: Path) -> None:
    rows = [row("s", 1), row("a1", 1), row("a1", 2, "1, red")]
    write_csv(parts / "b.csv", rows)
    answers = answers_csv(
        parts / "a.csv", [("s", 0, 1, "yes"), *(("a1", 0, q, "yes") for q in (1, 2))]
    )
    words = ("score", "--bench", "b.csv", "--answers", answers, "--out", "x", "--json")
    ended = run(*words, "--rule", "ella-reference", "--rule", "dsg")
    assert ended.code == 3
    assert [result["rule"] for result in results(ended)] == ["dsg"]
    assert "dependency is not an integer at row 4" in ended.error
    alone = run(*words, "--rule", "ella-reference")
    assert alone.code == 3


def test_reference_files_only_where_asked(run: Run, parts: Path) -> None:
    assert run(*SCORE, 4).code == 0
    folder = RunDir(parts / "r").scores(NAME, "dsg").parent
    assert not list(folder.glob("*.txt"))
    assert run(*SCORE, 4, "--reference-files").code == 0
    lines = (folder / "dpg-bench_results.txt").read_text().splitlines()
    assert lines[0].endswith("a1.png, 1.0, 1.0, 1.0, 1.0, 1.0")
    assert lines[-1] == "DPG-Bench score: 100.0"
    detail = (folder / "dpg-bench_results_detail.txt").read_text().splitlines()
    assert detail[0].endswith("a1.png, (0, 0, 8, 8), Is there thing 2?, yes")
    assert len(detail) == 4 * 5


def test_what_is_missing_is_told_item_by_item(run: Run, parts: Path) -> None:
    (parts / "p/a2.png").unlink()
    for more, code in (((), 6), (("--partial",), 0)):
        ended = run(*SCORE, 1, "--json", *more)
        assert ended.code == code
        result = results(ended)[1]
        assert result["failures"] == {"a2": "image a2.png is missing"}
        assert result["unanswered_items"] == ["a2"]
        assert result["warnings"] == {"items_without_all_answers": 1}
        assert result["overall"] == 100.0


@pytest.mark.parametrize(("invalid", "too_many"), [(0, False), (20, False), (21, True)])
def test_a_fifth_of_invalid_answers_is_the_most(invalid: int, too_many: bool) -> None:
    answers = [Answer("a", 0, n, "maybe", invalid=n < invalid) for n in range(100)]
    error = score_job._check_invalid(answers, "some-judge")
    assert (error is not None) == too_many
    assert score_job._check_invalid(answers, "replay") is None
