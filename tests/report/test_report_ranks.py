"""Ranks: paired where runs can be paired, and no more certain than the items allow."""

from __future__ import annotations

import pytest

from dpgbench.analysis.cautions import finding
from dpgbench.analysis.ranking import Difference, Entry, differences, rank_ranges, ranks
from dpgbench.domain.rules import find_rule
from dpgbench.report import group_records, load_records
from dpgbench.store.run.scores import ItemFigure
from tests.report.report_runs import RunMaker


def entry(*scores: float | None) -> Entry:
    known = [score for score in scores if score is not None]
    items = {str(i): ItemFigure(score, 4) for i, score in enumerate(scores)}
    return Entry(sum(known) / len(known), (0.0, 100.0), items)


def test_pairing_settles_what_two_intervals_cannot() -> None:
    base = [float(30 + 7 * i % 60) for i in range(50)]
    pair = differences([entry(*(b + 2 for b in base)), entry(*base)], find_rule("corrected-v1"))
    assert len(pair) == 1
    assert pair[0].points == pytest.approx(2)
    assert pair[0].interval == pytest.approx((2, 2))
    assert (pair[0].wins, pair[0].ties, pair[0].losses) == (50, 0, 0)
    assert pair[0].told_apart


def test_a_table_of_items_from_another_day_is_not_believed() -> None:
    stale = entry(10.0, 20.0)._replace(overall=50.0)
    assert differences([stale, entry(10.0, 30.0)], find_rule("corrected-v1")) == []
    assert differences([entry(1.0), entry(1.0, 2.0)], find_rule("corrected-v1")) == []
    assert differences([entry(1.0), entry(2.0)], None) == []


def test_items_without_a_score_count_as_the_rule_says() -> None:
    zero, half = entry(0.0, 0.0), entry(100.0, None)._replace(overall=50.0)
    assert differences([half, zero], find_rule("dsg"))[0].points == 50
    assert differences([half, zero], find_rule("corrected-v1")) == []


def test_questions_weigh_items_where_the_rule_averages_questions() -> None:
    items = {"a": ItemFigure(100.0, 1), "b": ItemFigure(0.0, 3)}
    entries = [Entry(25.0, None, items), Entry(25.0, None, items)]
    assert differences(entries, find_rule("ulmeval"))[0].points == 0


def test_rank_ranges_follow_pairs_and_fall_back_on_intervals() -> None:
    high, low = Entry(80.0, (75.0, 85.0), {}), Entry(60.0, (55.0, 65.0), {})
    middle = Entry(70.0, (64.0, 76.0), {})
    assert rank_ranges([high, middle, low], []) == [(1, 2), (1, 3), (2, 3)]
    assert rank_ranges([high, Entry(40.0, None, {})], []) == [(1, 2), (1, 2)]
    apart = Difference(0, 1, 10.0, (1.0, 19.0), 3, 0, 1)
    assert rank_ranges([high, middle], [apart]) == [(1, 1), (2, 2)]
    assert ranks([high, high, low]) == [1, 1, 3]


def test_the_finding_says_who_leads_and_whether_it_is_settled(dpg: RunMaker) -> None:
    good, bad = dpg.make("good", skill=0.9), dpg.make("bad", skill=0.3)
    assert finding(group_records(load_records([good]))[0]) is None
    found = finding(group_records(load_records([good, bad]))[-1])
    assert found is not None
    assert found[:2] == ("good", "bad")
    assert found.how_much.endswith("], item by item.")
    twin = dpg.make("twin", skill=0.9, seed=3, model="good")
    found = finding(group_records(load_records([good, twin]))[-1])
    assert found is not None
    assert {*found[:2]} == {"good (good)", "good (twin)"}
    assert found.how_much.endswith("on these items the two cannot be told apart.")


def test_nothing_is_found_where_scores_mean_nothing(dpg: RunMaker) -> None:
    notes = ["model x knows the world of shapes alone: here scores mean nothing"]
    runs = [dpg.make("good", skill=0.9), dpg.make("noise", skill=0.3, notes=notes)]
    assert finding(group_records(load_records(runs))[-1]) is None


def test_runs_without_tables_of_items_are_ranked_by_their_intervals(dpg: RunMaker) -> None:
    runs = [dpg.make("good", skill=0.9), dpg.make("bad", skill=0.3)]
    for path in runs[0].path.glob("scores/*/*.items.csv"):
        path.unlink()
    for path in runs[1].path.glob("scores/*/*.items.csv"):
        path.unlink()
    group = group_records(load_records(runs))[-1]
    assert group.differences == ()
    assert [row.rank_range for row in group.rows] == [(1, 1), (2, 2)]
    found = finding(group)
    assert found is not None
    assert "could not be compared item by item" in found.how_much
