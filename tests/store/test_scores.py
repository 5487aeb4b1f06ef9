"""Score files: what is written reads back as the same result, and tables for notebooks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.result import Origin, Result
from dpgbench.domain.rules import RULES, find_rule
from dpgbench.domain.score import score_benchmark
from dpgbench.errors import DataError
from dpgbench.store.files import json_text
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.scores import items_csv, read_result, result_json, write_result
from tests.domain.question_rows import benchmark_of, rows

NAMES = [f"{source}{number}" for source in ("COCOval", "vrd", "") for number in range(5)]
ITEMS = [
    rows(name, ["0", "1", "1,9" if n < 3 else "2"], first=2 + 3 * n) for n, name in enumerate(NAMES)
]
BENCHMARK = benchmark_of(ITEMS)
ORIGIN = Origin(
    judge="fake:Judge",
    model="painter",
    num_read=3,
    num_invalid=2,
    num_strays=1,
    num_single_colour_tiles=4,
    reasons={"vrd0": "out of memory"},
    notes=("a note", '"quoted", with a comma'),
)


def a_result(rule: str, items: list[str] | None = None, words: str = "yyn") -> Result:
    """`words` are the answers in turn; items at the end have none."""
    names = {"y": "yes", "n": "no", "?": "Maybe so"}
    answers = {
        (name, tile): {qid: names[words[(3 * n + tile + qid) % len(words)]] for qid in (1, 2, 3)}
        for n, name in enumerate(NAMES)
        for tile in range(2)
        if name not in ("vrd0", "4")
    }
    return score_benchmark(
        BENCHMARK, answers, find_rule(rule), num_images=2, items=items, origin=ORIGIN
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("items", [None, NAMES[:12], NAMES[:2]], ids=["all", "twelve", "two"])
def test_a_result_reads_back_as_it_was_written(
    tmp_path: Path, rule: str, items: list[str] | None
) -> None:
    run = RunDir(tmp_path)
    result = a_result(rule, items)
    part = result.subset.file_part if result.subset else ""
    write_result(run, result, part)
    back = read_result(run.scores("fake:Judge", rule, part))
    assert back == result
    assert back.items == ()
    assert json_text(result_json(back)) == run.scores("fake:Judge", rule, part).read_text()
    assert items_csv(back) == run.item_scores("fake:Judge", rule, part).read_text()


@given(st.text("yn?", min_size=1, max_size=9), st.sampled_from(sorted(RULES)))
def test_any_answers_read_back(tmp_path_factory: pytest.TempPathFactory, words: str, rule: str):
    run = RunDir(tmp_path_factory.mktemp("run"))
    result = a_result(rule, words=words)
    write_result(run, result)
    assert read_result(run.scores("fake:Judge", rule)) == result


def test_a_result_is_complete_when_made() -> None:
    result = a_result("corrected-v1", NAMES[:9])
    assert result.failures == {"vrd0": "out of memory"}
    assert result.unanswered == ("vrd0",)
    assert result.warnings == {
        "unknown_parent": 3,
        "items_without_all_answers": 1,
        "items_not_chosen": 6,
        "invalid_answers": 2,
        "stray_answers": 1,
        "single_colour_tiles": 4,
        "answers_read": 3,
    }
    assert list(result.notes) == [
        *ORIGIN.notes,
        "3 answers were read as yes or no by --read-answers",
    ]
    assert result.subset is not None
    assert str(result.subset) == "9 of 15 items (first 9)"
    assert (result.judge, result.model, result.benchmark) == ("fake:Judge", "painter", "made-up")
    assert result.benchmark_sha256 == BENCHMARK.graphs_sha256


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("overall", "many", "overall is 'many'"),
        ("items_scored", -1, "items_scored is below 0"),
        ("l1", {"entity": {"score": 1.0}}, "l1.entity.questions is missing"),
        ("interval", [1.0], "not enough values"),
        ("warnings", {"stray_answers": -1}, "warnings.stray_answers is below 0"),
        ("subset", {"items": 1}, "subset.of is missing"),
    ],
)
def test_what_is_wrong_in_a_score_file_is_named(
    tmp_path: Path, field: str, value: object, says: str
) -> None:
    path = tmp_path / "dsg.json"
    path.write_text(json.dumps({**result_json(a_result("dsg")), field: value}))
    with pytest.raises(DataError) as caught:
        read_result(path)
    assert f"{path} is damaged" in str(caught.value)
    assert says in str(caught.value)


def test_files_of_earlier_versions_hold_less(tmp_path: Path) -> None:
    result = a_result("dsg", NAMES[:9])
    record = dict(result_json(result))
    for name in ("benchmark_sha256", "model", "subset", "notes", "answers", "unanswered_items"):
        record.pop(name)
    path = tmp_path / "dsg.json"
    path.write_text(json.dumps(record))
    old = read_result(path)
    assert (old.overall, old.l1, old.sources) == (result.overall, result.l1, result.sources)
    assert (old.item_figures, old.answers, old.notes, old.model) == ({}, None, (), "")
    assert old.subset is not None
    assert (old.subset.items, old.subset.of, old.subset.choice) == (9, 15, "")
    record["warnings"] = {
        "note": "one",
        "notes": ["two", ""],
        "kinds": {"a": 1},
        "stray_answers": 2,
    }
    path.write_text(json.dumps(record))
    measured = read_result(path, benchmark_items=20)
    assert measured.notes == ("one", "two", "kinds: a 1")
    assert measured.warnings == {"stray_answers": 2}
    assert measured.subset == replace(old.subset, of=20)


def test_tables_for_notebooks() -> None:
    result = a_result("corrected-v1")
    items = result.to_frame()
    assert list(items.index) == NAMES
    assert list(items.columns) == ["source", "score", "tile_0", "tile_1", "questions", "failure"]
    assert items["score"].mean() == pytest.approx(result.overall)
    assert items.loc["vrd0", "failure"] == "out of memory"
    assert items["score"].isna().sum() == len(result.failures)
    assert items["score"].dtype == items["tile_1"].dtype == "float64"
    for name, score in result.l2.items():
        line = result.to_frame("l2").loc[name]
        assert (line["score"], line["questions"], line["items"]) == (
            score.score, score.questions, score.items,
        )  # fmt: skip
        assert (line["low"], line["high"]) == score.interval
        assert (line["raw"], line["gated"]) == (score.raw, score.gated)
    sources = result.to_frame("sources")
    assert list(sources.columns) == ["score", "low", "high", "items"]
    assert list(sources.index) == ["COCOval", "vrd", "web"]
    assert sources["low"].isna().all()  # five items each: too few
    assert list(result.to_frame("l1").index) == ["entity"]
    names = {part: result.to_frame(part).index.name for part in ("items", "sources", "l1", "l2")}
    assert names == {"items": "item_id", "sources": "source", "l1": "category", "l2": "category"}
