"""Rows: the figures of the score files, ranked among their like only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dpgbench.analysis.board import make_board
from dpgbench.errors import DataError, UsageError
from dpgbench.report.text import row_warnings
from dpgbench.store.run.directory import RunDir
from tests.report.report_runs import RunMaker, maker


def score(run: RunDir, rule: str, judge: str = "fake") -> dict:
    return json.loads(run.scores(judge, rule).read_text())


def test_rows_hold_the_figures_of_the_score_files(pair: list[RunDir]) -> None:
    rows = {(row.run, row.rule): row for row in make_board(pair).rows}
    assert len(rows) == 4
    for run in pair:
        for rule in ("ella-reference", "corrected-v1"):
            row, file = rows[run.name, rule], score(run, rule)
            assert row.overall == file["overall"]
            assert row.interval == tuple(file["interval"])
            assert (row.items_scored, row.items_expected) == (
                file["items_scored"],
                file["items_expected"],
            )
            for mine, theirs in ((row.l1, file["l1"]), (row.l2, file["l2"])):
                assert {name: figure.score for name, figure in mine.items()} == {
                    name: entry["score"] for name, entry in theirs.items()
                }
                assert {name: figure.interval for name, figure in mine.items()} == {
                    name: tuple(entry["interval"]) for name, entry in theirs.items()
                }
            assert {name: figure.score for name, figure in row.sources.items()} == {
                name: entry["score"] for name, entry in file["sources"].items()
            }
            assert (row.num_images, row.seed_rule, row.base_seed) == (4, "per-tile", 0)
            assert row.date == "2026-01-02T04:04:05+00:00"


def test_better_runs_rank_first_within_a_rule(pair: list[RunDir]) -> None:
    rows = make_board(pair).rows
    assert [(row.rule, row.run, row.rank, row.rank_range) for row in rows] == [
        ("ella-reference", "good", 1, (1, 1)),
        ("ella-reference", "bad", 2, (2, 2)),
        ("corrected-v1", "good", 1, (1, 1)),
        ("corrected-v1", "bad", 2, (2, 2)),
    ]


def test_runs_that_cannot_be_told_apart_share_their_ranks(dpg: RunMaker) -> None:
    runs = [dpg.make(f"run{seed}", seed=seed) for seed in range(2)]
    assert {row.rank_range for row in make_board(runs).rows} == {(1, 2)}


@pytest.mark.parametrize(
    "other",
    [
        {"judge": "another"},
        {"judge_record": {"weights": {"judge": {"sha256": "c" * 64}}}},
        {"judge_record": {"weights": {"judge": {"sha256": "a" * 64}}, "decode": "greedy"}},
        {"benchmark": {"name": "dpg", "prompts_sha256": "0" * 64}},
        {"items": ["stanford_0", "COCOval1"]},
    ],
    ids=["judge", "weights", "decoding", "benchmark", "items"],
)
def test_what_is_not_alike_is_never_ranked_together(dpg: RunMaker, other: dict) -> None:
    runs = [dpg.make("one"), dpg.make("two", skill=0.9, **other)]
    groups = make_board(runs).groups
    assert [len(group.rows) for group in groups] == [1, 1, 1, 1]
    assert {row.rank for group in groups for row in group.rows} == {1}


def test_where_weights_lie_does_not_matter_to_the_ranking(dpg: RunMaker) -> None:
    records = [
        {"weights": {"path": path, "sha256": "a" * 64}, "truncated_questions": cut}
        for path, cut in (("/here", 0), ("/there", 7))
    ]
    runs = [dpg.make(f"run{i}", judge_record=record) for i, record in enumerate(records)]
    groups = make_board(runs).groups
    assert [len(group.rows) for group in groups] == [2, 2]
    assert any(
        "7 questions longer than the judge reads" in text
        for text in row_warnings(groups[0].rows[1])
    )


def test_a_run_that_lacks_answers_has_no_rank_and_says_why(dpg: RunMaker) -> None:
    runs = [dpg.make("whole"), dpg.make("part", skill=1.0, unanswered=["COCOval1", "COCOval3"])]
    rows = [row for row in make_board(runs).rows if row.rule == "corrected-v1"]
    assert [(row.run, row.rank) for row in rows] == [("whole", 1), ("part", None)]
    assert rows[1].unranked == "not ranked: 2 of 30 items lack answers"
    assert rows[1].coverage == 28 / 30


def test_runs_that_lack_the_same_items_are_ranked_on_the_rest(dpg: RunMaker) -> None:
    runs = [
        dpg.make("good", skill=0.9, unanswered=["COCOval1"]),
        dpg.make("bad", skill=0.3, unanswered=["COCOval1"]),
        dpg.make("other", unanswered=["COCOval3"]),
    ]
    group = make_board(runs).groups[-1]
    assert [(row.run, row.rank) for row in group.rows] == [("good", 1), ("bad", 2), ("other", None)]
    assert "Incomplete: 1 of 30 items lack answers, the same in each ranked run." in group.caveats


def test_an_item_lost_by_the_rule_costs_no_rank(pair: list[RunDir]) -> None:
    reference = make_board(pair).rows[0]
    assert reference.items_scored < reference.items_expected
    assert reference.rank == 1


def test_a_run_where_nothing_was_answered_is_shown_without_a_rank(dpg: RunMaker) -> None:
    row = make_board([dpg.make("none", unanswered=list(dpg.benchmark.items))]).rows[-1]
    assert (row.overall, row.rank, row.unranked) == (None, None, "not ranked: no item has a score")


def test_notes_and_warnings_reach_the_row(dpg: RunMaker) -> None:
    run = dpg.make(
        "cut",
        notes=["model cut is untrained: scores mean nothing"],
        generation={"truncation": {"limit": 77, "truncated": 12, "prompts": 30}},
    )
    row = make_board([run]).rows[-1]
    assert row.notes == ("model cut is untrained: scores mean nothing",)
    assert "the text encoder cut 12 of 30 prompts at 77 tokens" in row_warnings(row)


def test_a_model_without_a_limit_of_tokens_warns_of_nothing(dpg: RunMaker) -> None:
    run = dpg.make("t5", generation={"truncation": {"limit": None, "truncated": 0, "prompts": 30}})
    assert row_warnings(make_board([run]).rows[-1]) == []


def test_a_run_without_scores_says_which_command_scores_it(dpg: RunMaker) -> None:
    run = dpg.make("empty")
    for path in run.score_files():
        path.unlink()
    with pytest.raises(DataError, match=re.escape(f"dpgbench score {run.path}")):
        make_board([run])


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"schema": 2}',
        '{"schema": 1, "rule": "corrected-v1"}',
        '{"schema": 1, "rule": "r", "judge": "j", "benchmark": "b", "overall": NaN}',
    ],
)
def test_a_damaged_score_file_is_named(dpg: RunMaker, content: str) -> None:
    run = dpg.make("damaged")
    path = run.scores("fake", "corrected-v1")
    path.write_text(content)
    with pytest.raises(DataError, match=r"corrected-v1\.json"):
        make_board([run])


@pytest.mark.parametrize("field", ["overall", "items_scored", "l1", "warnings", "interval"])
def test_a_field_of_another_type_is_data_trouble(dpg: RunMaker, field: str) -> None:
    run = dpg.make("damaged")
    path = run.scores("fake", "corrected-v1")
    path.write_text(json.dumps({**json.loads(path.read_text()), field: "many"}))
    with pytest.raises(DataError, match="damaged"):
        make_board([run])


@pytest.mark.parametrize(
    ("field", "value"), [("benchmark", []), ("judges", {"fake": 1}), ("items", "all"), ("model", 1)]
)
def test_a_damaged_manifest_is_named(dpg: RunMaker, field: str, value: object) -> None:
    run = dpg.make("damaged")
    run.manifest.write_text(json.dumps({**json.loads(run.manifest.read_text()), field: value}))
    with pytest.raises(DataError, match=rf"manifest\.json is damaged: {field}"):
        make_board([run])


def test_a_damaged_table_of_items_is_named(dpg: RunMaker) -> None:
    run = dpg.make("damaged")
    path = run.item_scores("fake", "corrected-v1")
    path.write_text(path.read_text().replace("stanford_0,stanford,", "stanford_0,stanford,x", 1))
    with pytest.raises(DataError, match="stanford_0"):
        make_board([run])


def test_no_run_and_no_manifest_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        make_board([])
    with pytest.raises(DataError, match="is this a run directory"):
        make_board([RunDir(tmp_path)])


def test_a_run_named_twice_counts_once(pair: list[RunDir]) -> None:
    assert len(make_board([pair[0], pair[0]]).rows) == 2


def test_several_benchmarks_stand_in_tables_of_their_own(tmp_path: Path) -> None:
    runs = [maker(tmp_path / name, name=name).make("run") for name in ("dpg", "shapes")]
    keys = [group.key for group in make_board(runs).groups]
    assert [key.benchmark for key in keys] == ["dpg", "dpg", "shapes", "shapes"]
