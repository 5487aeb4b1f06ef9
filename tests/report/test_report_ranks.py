"""Ranks: paired where runs can be paired, and no more certain than the items allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dpgbench.analysis.board import make_board
from dpgbench.analysis.comparison import Comparison, compare_rows
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import Group, rank_groups, rank_ranges
from dpgbench.domain.result import ItemFigure
from dpgbench.domain.statistics.paired import PairedDifference, ranks
from dpgbench.report.text import lead
from tests.report.report_runs import RunMaker, maker


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> list[LeaderboardRow]:
    """Two rows under each rule, whose figures a test replaces."""
    rules = ("dsg", "corrected-v1", "ulmeval")
    dpg = maker(tmp_path_factory.mktemp("ranks"), rules=rules)
    return list(make_board([dpg.make("one"), dpg.make("two", seed=1)]).rows)


def ranked(
    templates: list[LeaderboardRow],
    *tables: list[float | None],
    rule: str = "corrected-v1",
    overall: float | None = None,
    questions: list[int] | None = None,
    rule_name: str | None = None,
) -> Group:
    """Return a group of a row for each table of item scores.

    Args:
        overall: of the first, where it is not the mean of its table.
        questions: of each item; 4 where None.
        rule_name: that the rows have instead of `rule`.
    """
    rows = [row for row in templates if row.rule == rule]
    made = []
    for row, scores in zip(rows, tables, strict=True):
        numbers = questions or [4] * len(scores)
        parts = [(s, n if questions else 1) for s, n in zip(scores, numbers, strict=True)
                 if s is not None]  # fmt: skip
        mean = sum(s * n for s, n in parts) / sum(n for _, n in parts)
        items = {str(n): ItemFigure(s, numbers[n]) for n, s in enumerate(scores)}
        made.append(replace(row, items=items, overall=mean, interval=(0.0, 100.0), answers=None))
    if overall is not None:
        made[0] = replace(made[0], overall=overall)
    if rule_name is not None:
        made = [replace(row, key=row.key._replace(rule=rule_name)) for row in made]
    made.sort(key=lambda row: -row.overall)
    (group,) = rank_groups([made], compare_rows(made))
    return group


def test_pairing_settles_what_two_intervals_cannot(templates: list[LeaderboardRow]) -> None:
    base = [float(30 + 7 * i % 60) for i in range(50)]
    (pair,) = ranked(templates, [b + 2 for b in base], base).comparisons
    assert pair.overall is not None
    assert pair.overall.difference == pytest.approx(2)
    assert pair.overall.interval == pytest.approx((2, 2))
    assert pair.outcomes == (50, 0, 0)
    assert pair.overall.significant


def test_a_table_of_items_from_another_day_is_not_believed(
    templates: list[LeaderboardRow],
) -> None:
    assert ranked(templates, [10.0, 20.0], [10.0, 30.0], overall=50.0).comparisons == ()
    assert ranked(templates, [1.0], [1.0, 2.0]).comparisons == ()
    assert ranked(templates, [1.0], [2.0], rule_name="of-another-version").comparisons == ()


def test_items_without_a_score_count_as_the_rule_says(templates: list[LeaderboardRow]) -> None:
    tables: list[list[float | None]] = [[100.0, None], [0.0, 0.0]]
    (pair,) = ranked(templates, *tables, rule="dsg", overall=50.0).comparisons
    assert pair.overall is not None
    assert pair.overall.difference == 50
    assert ranked(templates, *tables, overall=50.0).comparisons == ()


def test_questions_weigh_items_where_the_rule_averages_questions(
    templates: list[LeaderboardRow],
) -> None:
    group = ranked(templates, [100.0, 0.0], [100.0, 0.0], rule="ulmeval", questions=[1, 3])
    (pair,) = group.comparisons
    assert pair.overall is not None
    assert (pair.overall.difference, pair.scores) == (0, (25, 25))


def test_rank_ranges_follow_pairs_and_fall_back_on_intervals() -> None:
    high, middle, low = (75.0, 85.0), (64.0, 76.0), (55.0, 65.0)
    assert rank_ranges([high, middle, low], []) == [(1, 2), (1, 3), (2, 3)]
    assert rank_ranges([high, None], []) == [(1, 2), (1, 2)]
    apart = Comparison(0, 1, (), overall=PairedDifference(10.0, (1.0, 19.0), 0.01))
    assert rank_ranges([high, middle], [apart]) == [(1, 1), (2, 2)]
    later = replace(apart, first=7, second=8)
    assert rank_ranges([high, middle], [later], start=7) == [(1, 1), (2, 2)]
    assert ranks([80.0, 80.0, 60.0]) == [1, 1, 3]


def test_the_lead_says_who_is_ahead_and_whether_it_is_settled(dpg: RunMaker) -> None:
    good, bad = dpg.make("good", skill=0.9), dpg.make("bad", skill=0.3)
    assert lead(make_board([good]).groups[0]) is None
    settled = lead(make_board([good, bad]).groups[-1])
    assert settled is not None
    assert settled[:2] == ("good", "bad")
    assert settled.how_much.endswith("], item by item.")
    twin = dpg.make("twin", skill=0.9, seed=3, model="good")
    open_ = lead(make_board([good, twin]).groups[-1])
    assert open_ is not None
    assert {*open_[:2]} == {"good (good)", "good (twin)"}
    assert open_.how_much.endswith("on these items the two cannot be told apart.")


def test_a_copy_of_a_score_file_costs_no_pair(dpg: RunMaker) -> None:
    one, two = dpg.make("copied", skill=0.9), dpg.make("other", skill=0.5, seed=1)
    board = make_board([one, two])
    for path in one.path.glob("scores/*/corrected-v1.*"):
        name = path.name.replace("corrected-v1", "corrected-v1-copy")
        path.with_name(name).write_bytes(path.read_bytes())
    with_copy = make_board([one, two])
    (group,) = [group for group in with_copy.groups if len(group.rows) == 3]
    assert len(group.comparisons) == 3
    assert all(comparison.overall for comparison in group.comparisons)
    rows = with_copy.rows
    pairs = [(rows[c.first].index, rows[c.second].index) for c in with_copy.comparisons]
    assert all(first != second for first, second in pairs)
    assert len(with_copy.comparisons) == len(board.comparisons) + 1


def test_tables_about_other_items_are_said_and_no_others_are(dpg: RunMaker) -> None:
    whole = dpg.make("whole")
    assert not any(group.apart for group in make_board([whole]).groups)
    part = dpg.make("part", items=sorted(dpg.benchmark.items)[:10])
    groups = make_board([whole, part]).groups
    assert len(groups) == 4  # two rules
    assert all("Another table is about other items" in group.apart for group in groups)


def test_nobody_leads_where_scores_mean_nothing(dpg: RunMaker) -> None:
    notes = ["model x knows the world of shapes alone: here scores mean nothing"]
    runs = [dpg.make("good", skill=0.9), dpg.make("noise", skill=0.3, notes=notes)]
    assert lead(make_board(runs).groups[-1]) is None


def test_runs_without_tables_of_items_are_ranked_by_their_intervals(dpg: RunMaker) -> None:
    runs = [dpg.make("good", skill=0.9), dpg.make("bad", skill=0.3)]
    for path in runs[0].path.glob("scores/*/*.items.csv"):
        path.unlink()
    for path in runs[1].path.glob("scores/*/*.items.csv"):
        path.unlink()
    group = make_board(runs).groups[-1]
    assert group.comparisons == ()
    assert [row.rank_range for row in group.rows] == [(1, 1), (2, 2)]
    leading = lead(group)
    assert leading is not None
    assert "could not be compared item by item" in leading.how_much
