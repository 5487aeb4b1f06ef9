"""Ranks and comparisons of rows that are written down here, so that each figure is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from dpgbench.analysis import comparison as comparing
from dpgbench.analysis import ranking
from dpgbench.analysis.comparability import Reason
from dpgbench.analysis.comparison import (
    FEW_ITEMS,
    CategoryDifference,
    Comparison,
    RunComparison,
    compare_rows,
)
from dpgbench.analysis.leaderboard import OVERALL, GroupKey, LeaderboardRow
from dpgbench.analysis.ranking import Group, rank_groups, rank_ranges
from dpgbench.cli.compare import comparison_sentences
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import CategoryScore, ItemFigure
from dpgbench.domain.rules import CORRECTED_V1, DSG
from dpgbench.domain.statistics.paired import Outcomes, PairedDifference

KEY = GroupKey("dpg", "b" * 12, "i" * 12, "j", "w" * 12, "corrected-v1")


def made(
    run: str,
    scores: Sequence[float | None] = (),
    *,
    overall: float | None = None,
    key: GroupKey = KEY,
    index: int = 0,
    **more: object,
) -> LeaderboardRow:
    """Return a row of a run with these items' scores; its overall is their mean."""
    there = [score for score in scores if score is not None]
    row = LeaderboardRow(
        *(run, index, run, key),
        overall=sum(there) / len(there) if overall is None and there else overall,
        interval=None,
        l1={},
        l2={},
        sources={},
        items_scored=len(there),
        items_expected=len(scores),
        failures={},
        num_images=4,
        seed_rule="per-tile",
        base_seed=0,
        image_size="8x8",
        date="",
        notes=(),
        warnings={},
        truncated_questions=0,
        truncation=None,
        identity_hash="h",
        items={f"i{n:02}": ItemFigure(score, 4) for n, score in enumerate(scores)},
        missing=0,
    )
    return replace(row, **more)  # type: ignore[arg-type]


BASE = [float(10 + 7 * n % 60) for n in range(12)]


def test_a_comparison_by_hand() -> None:
    worse, better = made("worse", BASE), made("better", [score + 2 for score in BASE])
    (pair,) = compare_rows([worse, better])
    assert (pair.first, pair.second, pair.items, pair.comparable) == (1, 0, 12, True)
    assert pair.scores == pytest.approx((better.overall, worse.overall))
    assert pair.overall is not None
    assert (pair.overall.difference, pair.overall.interval) == (2, (2, 2))
    assert (pair.outcomes, pair.l1, pair.l2) == ((12, 0, 0), (), ())
    equal = compare_rows([made("one", BASE), made("two", BASE)])
    assert [(pair.first, pair.second, pair.outcomes) for pair in equal] == [(0, 1, (0, 12, 0))]


def test_a_score_of_almost_nothing_is_above_none_and_zero() -> None:
    for nothing in (made("none", [None]), made("zero", [0.0])):
        (pair,) = compare_rows([nothing, made("tiny", [0.5])])
        assert (pair.first, pair.second) == (1, 0)
        (pair,) = compare_rows([made("tiny", [0.5]), nothing])
        assert (pair.first, pair.second) == (0, 1)
    (group,) = rank_groups([[made("tiny", [0.5]), made("zero", [0.0])]], [])
    assert [row.rank for row in group.rows] == [1, 2]


def test_what_decides_is_said_from_the_better_s_side_and_nothing_is_computed() -> None:
    one, other = made("one", BASE), made("other", [*BASE, 70.0], index=1)
    foreign = replace(other, key=KEY._replace(judge_hash="x" * 12))
    (pair,) = compare_rows([one, foreign])
    assert (pair.first, pair.second) == (1, 0)
    first = [reason for reason in pair.reasons if reason.label == "judge's weights and decoding"]
    assert first == [Reason("judge's weights and decoding", True, "x" * 12, "w" * 12)]
    nothing = (0, None, None, Outcomes(0, 0, 0), (), ())
    assert (pair.items, pair.scores, pair.overall, pair.outcomes, pair.l1, pair.l2) == nothing
    assert not pair.comparable
    apart = replace(one, items={"x": ItemFigure(1.0, 4)})
    (pair,) = compare_rows([one, apart])  # no item in common
    assert (pair.items, pair.scores, pair.overall, pair.outcomes, pair.l1, pair.l2) == nothing
    of_another_rule = replace(other, key=KEY._replace(rule="dsg"))
    of_another_judge = replace(other, key=KEY._replace(judge="k"))
    assert compare_rows([one, of_another_rule, of_another_judge]) == []
    unknown = [replace(row, key=KEY._replace(rule="of-later")) for row in (one, other)]
    (pair,) = compare_rows(unknown)
    assert pair.overall is None


def table(
    scores: Sequence[float],
    categories: Mapping[tuple[int, str], Sequence[float | None]],
) -> comparing._ResultTable:
    """Return a table of items with one question of each category, none where the sum is None."""
    columns = [list(scores), *map(list, categories.values())]
    sums = np.array([[value or 0.0 for value in column] for column in columns]).T
    counts = np.array([[float(value is not None) for value in column] for column in columns]).T
    return comparing._ResultTable(sums, counts, np.array(scores), [*categories])


def test_categories_are_compared_by_name_on_the_items_that_both_have() -> None:
    half = [score if number % 2 else None for number, score in enumerate(BASE * 2)]
    up = [None if score is None else score + 4 for score in half]
    scores = BASE * 2
    better = [score + 2 for score in scores]
    one = table(better, {(0, "b"): better, (0, "a"): up, (0, "x"): up, (1, "a"): up})
    other = table(scores, {(0, "a"): half, (0, "b"): scores, (1, "a"): scores, (1, "y"): half})
    pair = comparing._compared(3, 5, (), one, other)
    assert (pair.first, pair.second, pair.items) == (3, 5, 24)
    assert [(c.name, c.items) for c in pair.l1] == [("b", 24), ("a", 12)]
    assert [(c.name, c.items) for c in pair.l2] == [("a", 12)]
    b, a = pair.l1
    assert (b.difference.difference, b.difference.interval) == (2, (2, 2))
    assert (a.difference.difference, a.difference.interval) == (4, (4, 4))
    assert (a.first, a.second) == pytest.approx((np.mean(BASE[1::2]) + 4, np.mean(BASE[1::2])))
    assert b.difference.p_value is not None
    assert b.difference.p_holm == pytest.approx(2 * b.difference.p_value)
    assert pair.l2[0].difference.p_holm == pair.l2[0].difference.p_value


def test_items_that_only_one_has_are_left_out() -> None:
    left = table(BASE, {(0, "a"): BASE})
    right = table(BASE, {(0, "a"): BASE})
    left.counts[0, 0] = right.counts[1, 0] = right.counts[2, 1] = 0
    pair = comparing._compared(0, 1, (), left, right)
    assert (pair.items, sum(pair.outcomes), pair.l1[0].items) == (10, 10, 9)


def test_the_score_of_an_item_is_what_the_rule_counts() -> None:
    lost, absent = ItemFigure(None, 4), ItemFigure(None, 4, absent=True)
    for rule, expected in ((CORRECTED_V1, np.nan), (DSG, 0.0)):
        assert comparing._score(lost, rule) == pytest.approx(expected, nan_ok=True)
        for none in (absent, None):
            assert np.isnan(comparing._score(none, rule))
        assert comparing._score(ItemFigure(25.0, 4), rule) == 25.0


def difference(value: float, p_holm: float | None = 0.01) -> PairedDifference:
    return PairedDifference(value, (value - 1, value + 2), 0.01, p_holm)


def test_a_comparison_turned_is_the_other_s() -> None:
    pair = Comparison(
        3,
        5,
        (Reason("size", False, "one", "two"),),
        7,
        (60.0, 50.0),
        difference(10.0),
        Outcomes(4, 2, 1),
        (CategoryDifference("a", 1.0, 2.0, difference(-1.0), 6),),
        (CategoryDifference("b", 3.0, 2.0, difference(1.0), 5),),
    )
    turned = pair.turned
    assert (turned.first, turned.second, turned.items) == (5, 3, 7)
    assert turned.reasons == (Reason("size", False, "two", "one"),)
    assert (turned.scores, turned.outcomes) == ((50.0, 60.0), (1, 2, 4))
    assert turned.overall == PairedDifference(-10.0, (-12.0, -9.0), 0.01, 0.01)
    assert [(c.name, c.first, c.second, c.items) for c in (*turned.l1, *turned.l2)] == [
        ("a", 2.0, 1.0, 6), ("b", 2.0, 3.0, 5)
    ]  # fmt: skip
    assert turned.l1[0].difference == PairedDifference(1.0, (-1.0, 2.0), 0.01, 0.01)
    assert turned.turned == pair
    nothing = Comparison(0, 1, ())
    assert (nothing.turned.scores, nothing.turned.overall) == (None, None)


def test_of_several_results_of_a_run_the_widest_is_compared_and_of_equal_ones_the_first() -> None:
    rows = [
        made("one", BASE[:3]),
        made("one", BASE[:5]),
        made("one", BASE[5:10]),
        made("two", BASE[:1], index=1),
        made("one", BASE, key=KEY._replace(rule="dsg")),
    ]
    assert [*map(id, comparing._widest(rows))] == [id(rows[n]) for n in (1, 3, 4)]
    assert comparing._judges_and_rules(rows, 1) == "j/corrected-v1"
    assert comparing._judges_and_rules(rows[3:], 0) == "j/dsg"


def test_a_rank_is_lost_only_to_what_is_surely_better() -> None:
    def of(*interval: float) -> list[Comparison]:
        difference = PairedDifference(0.5, (interval[0], interval[1]), 0.5)
        return [Comparison(0, 1, (), overall=difference)]

    two = [(0.0, 1.0)] * 2
    apart, open_ = [(1, 1), (2, 2)], [(1, 2), (1, 2)]
    assert rank_ranges(two, of(0.1, 0.9)) == apart
    assert rank_ranges(two, of(0.0, 0.9)) == open_
    assert rank_ranges(two, of(-0.9, 0.0)) == open_
    assert rank_ranges(two, of(-0.9, -0.1)) == [(2, 2), (1, 1)]
    assert rank_ranges(two, [Comparison(0, 1, ())]) == open_
    assert rank_ranges([(5.5, 9.0), (1.0, 5.0)], []) == apart
    assert rank_ranges([(5.0, 9.0), (1.0, 5.0)], []) == open_
    assert rank_ranges([(5.5, 9.0), None], []) == open_
    assert rank_ranges([], []) == []


def ranked(*groups: Sequence[LeaderboardRow]) -> list[Group]:
    return rank_groups(groups, compare_rows([row for group in groups for row in group]))


def test_groups_are_ranked_apart_by_the_comparisons_of_their_own_rows() -> None:
    few = KEY._replace(items_hash="few")
    first = [made("best", [s + 9 for s in BASE]), made("low", BASE), made("off", unranked="no")]
    second = [made(f"few{n}", [s - n for s in BASE[:9]], key=few) for n in range(3)]
    third = [made("other", BASE, key=KEY._replace(rule="dsg"))]
    one, two, three = ranked(first, second, third)
    assert [row.rank for row in one.rows] == [1, 2, None]
    assert [row.rank_range for row in one.rows] == [(1, 1), (2, 2), None]
    assert [row.best for row in one.rows] == [{OVERALL}, set(), set()]
    assert [(c.first, c.second) for c in one.comparisons] == [(0, 1)]
    assert [(c.first, c.second) for c in two.comparisons] == [(3, 4), (3, 5), (4, 5)]
    assert [row.rank_range for row in two.rows] == [(1, 1), (2, 2), (3, 3)]
    assert (three.comparisons, three.rows[0].rank, three.rows[0].best) == ((), 1, set())
    assert "(9 items)" in one.apart
    assert "(12 items)" in two.apart
    assert three.apart == ""
    assert (one.key, two.key) == (KEY, few)
    assert two.subset is None
    part = Subset(9, 12)
    assert replace(two, rows=(second[0], replace(second[1], subset=part))).subset == part


def test_ranks_follow_pairs_only_where_each_two_are_paired_on_what_makes_up_the_overall() -> None:
    rows = [made(f"r{n}", [s - n for s in BASE]) for n in range(3)]
    pairs = compare_rows(rows)
    assert len(rank_groups([rows], pairs)[0].comparisons) == 3
    for missing in range(3):
        left = pairs[:missing] + pairs[missing + 1 :]
        assert rank_groups([rows], left)[0].comparisons == ()
    assert ranking._can_be_paired(rows, pairs)
    assert not ranking._can_be_paired([], [])
    doubted = [rows[0], replace(rows[1], overall=rows[1].overall and rows[1].overall + 1e-4)]
    assert not ranking._can_be_paired(doubted, pairs)
    others = [rows[0], made("r1", BASE[:11])]
    assert not ranking._can_be_paired(others, pairs)


def best(*l1: CategoryDifference, turned: bool = False) -> list[bool]:
    pair = Comparison(4, 7, (), l1=l1)
    pairs = {(7, 4): pair.turned} if turned else {(4, 7): pair}
    return [ranking._ahead(pairs, first, second, "a") for first, second in ((4, 7), (7, 4), (4, 8))]


@pytest.mark.parametrize("turned", [False, True])
def test_ahead_in_a_category_is_surely_above_in_it(turned: bool) -> None:
    def of(value: float, p_holm: float = 0.01, name: str = "a") -> CategoryDifference:
        return CategoryDifference(name, 0.0, 0.0, difference(value, p_holm), 9)

    assert best(of(0.5), turned=turned) == [True, False, False]
    assert best(of(-0.5), turned=turned) == [False, True, False]
    assert best(of(0.5, 0.9), turned=turned) == [False, False, False]
    assert best(of(0.0), turned=turned) == [False, False, False]
    assert best(of(9.0, name="b"), turned=turned) == [False, False, False]
    assert best(of(9.0, name="b"), of(-9.0), turned=turned) == [False, True, False]


def test_best_of_a_column_is_above_every_rival_of_its_group() -> None:
    row = made("r", l1={name: CategoryScore(1.0) for name in "ab"})

    def ahead(first: int, second: int, *names: str) -> tuple[tuple[int, int], Comparison]:
        l1 = tuple(CategoryDifference(name, 2.0, 1.0, difference(1.0), 9) for name in names)
        return (first, second), Comparison(first, second, (), l1=l1)

    pairs = dict([ahead(4, 5, "a", "b"), ahead(4, 6, "a")])
    assert ranking._best(row, 4, range(4, 7), (1, 2), pairs) == {"a"}
    assert ranking._best(row, 4, range(4, 7), (1, 1), pairs) == {"a", OVERALL}
    assert ranking._best(row, 4, range(4, 6), (2, 2), pairs) == {"a", "b"}
    assert ranking._best(row, 4, range(4, 5), (1, 1), pairs) == set()  # nobody to be above


def test_fewer_than_forty_items_are_said_to_be_few() -> None:
    one, other = made("one", BASE), made("other", BASE)
    for number, few in ((8, True), (39, True), (40, False), (0, False)):
        pair = Comparison(0, 1, (), number, (2.0, 1.0), difference(1.0))
        sentences = " ".join(comparison_sentences(RunComparison(one, other, pair)))
        assert ("so few items" in sentences) == few, number
    assert FEW_ITEMS == 40
