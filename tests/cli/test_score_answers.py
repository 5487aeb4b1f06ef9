"""Scoring recorded answers through the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Run, answers_csv, csv_text, row, run_process, write_csv

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "scoring_cases.json").read_text()
)


def write_case(folder: Path, case: dict[str, Any]) -> tuple[Path, Path]:
    rows = [{name: str(value) for name, value in cells.items()} for cells in case["rows"]]
    qids: dict[str, list[int]] = {}
    for cells in case["rows"]:
        qids.setdefault(cells["item_id"], []).append(int(cells["proposition_id"]))
    answers = [
        (item, tile, qid, text)
        for item, tiles in case["answers"].items()
        for tile, texts in enumerate(tiles)
        for qid, text in zip(qids[item], texts, strict=True)
    ]
    (folder / "bench.csv").write_text(csv_text(rows))
    return folder / "bench.csv", answers_csv(folder / "answers.csv", answers)


@pytest.mark.parametrize("number", range(0, len(CASES), 7))
def test_golden_cases(run: Run, tmp_path: Path, number: int) -> None:
    case = CASES[number]
    bench, answers = write_case(tmp_path, case)
    rules = ["--rule", "corrected-v1", "--rule", "ella-reference", "--rule", "dsg"]
    ended = run("score", "--bench", bench, "--answers", answers, *rules, "--json", "--partial")
    assert ended.code == 0, ended.err
    results = json.loads(ended.out)["results"]
    assert [result["rule"] for result in results] == ["corrected-v1", "ella-reference", "dsg"]
    expected = case["expected"]["ella_reference"]
    assert results[1]["overall"] == pytest.approx(expected["overall"], abs=1e-9)
    assert results[1]["failed_items"] == sorted(expected["failed_items"])
    for level in ("l1", "l2"):
        scores = {name: entry["score"] for name, entry in results[1][level].items()}
        assert scores == pytest.approx(expected[level], abs=1e-9)


def test_result_file_has_the_promised_fields(run: Run, tmp_path: Path) -> None:
    bench, answers = write_case(tmp_path, CASES[0])
    ended = run("score", "--bench", bench, "--answers", answers, "--out", "r", "--partial")
    assert ended.code == 0
    result = json.loads((tmp_path / "r/scores/replay/corrected-v1.json").read_text())
    assert result["schema"] == 1
    assert (result["rule"], result["judge"], result["benchmark"]) == (
        "corrected-v1", "replay", "bench",
    )  # fmt: skip
    for name in ("overall", "interval", "items_scored", "items_expected", "failed_items"):
        assert name in result
    for name in ("failures", "l1", "l2", "sources", "warnings"):
        assert isinstance(result[name], dict)
    for entry in [*result["l1"].values(), *result["l2"].values()]:
        assert entry.keys() >= {"score", "interval", "questions", "raw", "gated"}
        assert entry["gated"] == entry["score"]
    for entry in result["sources"].values():
        assert entry.keys() >= {"score", "items"}
    table = (tmp_path / "r/scores/replay/corrected-v1.items.csv").read_text().splitlines()
    assert table[0] == "item_id,source,score,tile_0,tile_1,tile_2,tile_3,questions,failure"
    assert len(table) == 1 + result["items_expected"]
    assert result["interval"] is None  # three items say too little


def test_missing_answers_are_listed_and_not_a_success(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1), row("b1", 1)])
    answers = answers_csv(tmp_path / "a.csv", [("a1", 0, 1, "yes")])
    words = ("score", "--bench", bench, "--answers", answers, "--rule", "corrected-v1", "--json")
    ended = run(*words)
    assert ended.code == 6
    assert "b1: no answers for tile 0" in ended.error
    result = json.loads(ended.out)["results"][0]
    assert (result["items_scored"], result["items_expected"]) == (1, 2)
    assert result["failures"] == {"b1": "no answers for tile 0"}
    assert run(*words, "--partial").code == 0
    assert run(*words, "--items", "a1").code == 0


def test_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
    bench, answers = write_case(tmp_path, CASES[3])
    outputs = set()
    for seed in ("0", "1", "77"):
        ended = run_process(
            *("score", "--bench", bench, "--answers", answers, "--json", "--partial"),
            *("--out", f"run{seed}", "--rule", "corrected-v1", "--rule", "ulmeval"),
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert ended.returncode == 0, ended.stderr
        outputs.add(ended.stdout)
        outputs.add((tmp_path / f"run{seed}/scores/replay/corrected-v1.json").read_text())
    assert len(outputs) == 2


def test_where_and_conflicting_answers(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1)])
    answers = tmp_path / "a.csv"
    answers.write_text("item_id,qid,answer,model\na1,1,yes,m1\na1,1,no,m2\n")
    words = ("score", "--bench", bench, "--answers", answers, "--rule", "corrected-v1", "--json")
    ended = run(*words)
    assert ended.code == 3
    assert "row 3: question 1 of item a1, tile 0, is answered twice: 'yes' and 'no'" in ended.error
    ended = run(*words, "--where", "model=m2")
    assert json.loads(ended.out)["results"][0]["overall"] == 0.0
    assert json.loads(ended.out)["results"][0]["model"] == "m2"
    assert run(*words, "--where", "modle=m2").code == 2
    assert run(*words, "--where", "model=m3").code == 2


def test_one_refused_rule_does_not_stop_the_other(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1), row("a1", 2, "1, left")])
    answers = answers_csv(tmp_path / "a.csv", [("a1", 0, 1, "yes"), ("a1", 0, 2, "yes")])
    ended = run("score", "--bench", bench, "--answers", answers, "--json")
    assert ended.code == 3
    assert "row 3 (item a1: '1, left')" in ended.error
    assert [r["rule"] for r in json.loads(ended.out)["results"]] == ["corrected-v1"]
    assert "row 3 (item a1): dependency has a part that is not a number: 'left'" in ended.err


def test_reference_files(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("x0", 1), row("a1", 1), row("a1", 2, "1")])
    cells = [("x0", t, 1, "yes") for t in (0, 1)]
    cells += [("a1", 0, 1, "yes"), ("a1", 0, 2, "no"), ("a1", 1, 1, "yes"), ("a1", 1, 2, "yes")]
    answers = answers_csv(tmp_path / "a.csv", cells)
    words = ("--answers", answers, "--reference-files", "--out", "r", "--name", "mine")
    assert run("score", "--bench", bench, *words).code == 0
    folder = tmp_path / "r/scores/replay"
    lines = (folder / "dpg-bench_results.txt").read_text().splitlines()
    assert lines[0].endswith("a1.png, 0.5, 1.0, 0.75")
    assert lines[1:3] == ["Model: mine", "L1 category scores:"]
    assert "\tentity: 100.0" in lines
    assert lines[-1] == "DPG-Bench score: 75.0"
    detail = (folder / "dpg-bench_results_detail.txt").read_text().splitlines()
    assert detail[0].endswith("a1.png, (0, 0, 512, 512), Is there thing 1?, yes")
    assert len(detail) == 4


def test_dsg_1k(run: Run, shared: Path) -> None:
    data = shared / "data" / "dsg1k"
    words = ["score", "--bench", data / "dsg-1k-anns.csv", "--answers", data / "mplug_dsg.csv"]
    words += ["--where", "t2i_model=sd2dot1", "--json", "--partial"]
    result = json.loads(run(*words, "--rule", "dsg").out)["results"][0]
    assert result["overall"] == pytest.approx(83.05 * 1060 / 1059, abs=0.05)  # one has no image
    assert result["sources"]["whoops"] | {"interval": None} == {
        "score": pytest.approx(84.11, abs=0.05), "items": 100, "interval": None,
    }  # fmt: skip
    assert result["failures"] == {"tifa160_134": "no answers for tile 0"}
    corrected = run(*words, "--rule", "corrected-v1")
    assert json.loads(corrected.out)["results"][0]["warnings"] == {
        "cycle_edge": 4, "dependency_word": 10, "items_without_all_answers": 1, "self_parent": 44,
        "unknown_parent": 8,
    }  # fmt: skip
    refused = run(*words, "--rule", "ella-reference")
    assert refused.code == 3
    assert refused.error.count("(item ") == 10
    assert "row 7614 (item posescript_19: '5, air')" in refused.error


def test_rescoring_a_replayed_run(run: Run, tmp_path: Path) -> None:
    bench, answers = write_case(tmp_path, CASES[0])
    run("score", "--bench", bench, "--answers", answers, "--out", "r", "--partial")
    again = run("score", "r", "--rule", "ulmeval", "--json", "--partial")
    assert again.code == 0, again.err
    assert json.loads(again.out)["results"][0]["judge"] == "replay"
    other = answers_csv(tmp_path / "other.csv", [("whoops15x0", 0, 1, "no")])
    clash = run("score", "--bench", bench, "--answers", other, "--out", "r", "--partial")
    assert clash.code == 5
    assert "answers_sha256" in clash.error


def test_a_rule_that_can_score_no_item_ends_as_incomplete(run: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", [row("a", 1), row("b", 1)])
    words = ("score", "--bench", "b.csv", "--answers", "r.csv", "--rule", "mean", "--num-images", 1)
    answers_csv(tmp_path / "r.csv", [("a", 0, 1, "blob"), ("b", 0, 1, "nan")])
    ended = run(*words, "--out", "none")
    assert ended.code == 6
    assert "2 items are not scored, first a: tile 0: the answer 'blob' is no number" in ended.error
    answers_csv(tmp_path / "r.csv", [("a", 0, 1, "0.5"), ("b", 0, 1, "far")])
    ended = run(*words, "--out", "one")
    assert ended.code == 0
    assert "1 of 2 items is left out of the mean of rule mean, first b: tile 0: " in ended.err
