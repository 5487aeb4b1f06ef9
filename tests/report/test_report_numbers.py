"""Numbers of the report against the score files and against a computation by hand."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpgbench.analysis.board import make_board
from dpgbench.analysis.comparison import Comparison, compare_rows, compare_runs
from dpgbench.analysis.ranking import Group, rank_groups, rank_ranges
from dpgbench.domain.aggregate import recorded_part
from dpgbench.domain.result import ItemFigure
from dpgbench.domain.rules import find_rule
from dpgbench.domain.statistics.bootstrap import bootstrap_weights
from dpgbench.domain.statistics.paired import LEVEL, PairedDifference, holm
from dpgbench.report.page.gallery import picture_verdicts
from dpgbench.store.benchmarks import load_csv
from dpgbench.store.run.directory import RunDir
from tests.helpers import row, write_csv
from tests.report.report_runs import RunMaker

CATEGORIES = ("entity - whole", "attribute - color", "relation - spatial")


def questions(item: str, number: int) -> list[dict[str, str]]:
    """Rows of an item; its last question alone is of the last category where it has 7."""
    rows = []
    for qid in range(1, number + 1):
        category = CATEGORIES[2] if qid == 7 else CATEGORIES[qid % 2]
        broad, _, fine = category.partition(" - ")
        cells = {"tuple": f"{category} (x)", "category_broad": broad, "category_detailed": fine}
        words = {"text": " ".join(["word"] * (10 if number == 2 else 90))}
        rows.append(row(item, qid, "0" if qid < 3 else "1", **cells, **words))
    return rows


@pytest.fixture
def uneven(tmp_path: Path) -> RunMaker:
    """A maker on 20 items of 2 or 7 questions; half lack the last category."""
    rows = [r for n in range(20) for r in questions(f"it{n:02}", 2 if n % 2 else 7)]
    path = write_csv(tmp_path / "uneven.csv", rows)
    rules = ("ulmeval", "dsg", "corrected-v1")
    return RunMaker(tmp_path / "runs", load_csv(path, "uneven"), rules=rules)


def score(run: RunDir, rule: str) -> dict:
    return json.loads(run.scores("fake", rule).read_text())


def item_scores(run: RunDir, rule: str) -> dict[str, float | None]:
    with run.item_scores("fake", rule).open(newline="") as file:
        return {r["item_id"]: float(r["score"]) if r["score"] else None
                for r in csv.DictReader(file)}  # fmt: skip


def by_hand(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    weights = np.concatenate(list(bootstrap_weights(len(sums))))
    return (weights @ sums) / (weights @ counts)


@pytest.mark.parametrize("rule", ["ulmeval", "dsg", "corrected-v1"])
def test_runs_of_uneven_items_are_paired_under_every_rule(uneven: RunMaker, rule: str) -> None:
    runs = [uneven.make("good", skill=0.8), uneven.make("bad", skill=0.6, seed=5)]
    group = next(g for g in make_board(runs).groups if g.key.rule == rule)
    (pair,) = group.comparisons
    assert pair.overall is not None
    overall = {run.name: score(run, rule)["overall"] for run in runs}
    rows = make_board(runs).rows
    first, second = (rows[place].run for place in (pair.first, pair.second))
    assert pair.overall.difference == pytest.approx(overall[first] - overall[second])
    assert pair.items == 20
    tables = [item_scores(uneven_run(runs, name), rule) for name in (first, second)]
    weights = [len(uneven.benchmark.items[item]) if rule == "ulmeval" else 1 for item in tables[0]]
    counts = np.array(weights, dtype=float)
    drawn = [by_hand(np.array([*table.values()]) * counts, counts) for table in tables]
    ends = np.quantile(drawn[0] - drawn[1], [0.025, 0.975])
    assert pair.overall.interval == pytest.approx(tuple(ends), abs=1e-4)
    gaps = [a - b for a, b in zip(tables[0].values(), tables[1].values(), strict=True)]
    wins, ties, losses = pair.outcomes
    assert (wins, losses) == (sum(g > 1e-6 for g in gaps), sum(g < -1e-6 for g in gaps))
    assert wins + ties + losses == 20


def uneven_run(runs: list[RunDir], name: str) -> RunDir:
    return next(run for run in runs if run.name == name)


def test_an_item_without_some_category_still_counts(uneven: RunMaker) -> None:
    runs = [uneven.make("good", skill=0.8), uneven.make("bad", seed=5)]
    for comparison in make_board(runs).comparisons:
        assert comparison.items == 20
        assert sum(comparison.outcomes) == 20
        numbers = {category.name: category.items for category in comparison.l2}
        assert numbers["relation - spatial"] == 10
        assert numbers["entity - whole"] == 20


def test_intervals_of_a_comparison_are_those_of_paired_draws(uneven: RunMaker) -> None:
    runs = [uneven.make("good", skill=0.8), uneven.make("bad", seed=5)]
    board = make_board(runs)
    rows = board.rows
    for comparison in board.comparisons:
        order = (comparison.first, comparison.second)
        rule = rows[comparison.first].rule
        tables = [item_scores(runs[rows[place].index], rule) for place in order]
        sizes = [len(uneven.benchmark.items[i]) if rule == "ulmeval" else 1 for i in tables[0]]
        counts = np.array(sizes, dtype=float)
        drawn = [by_hand(np.array([*table.values()]) * counts, counts) for table in tables]
        assert comparison.overall is not None
        ends = tuple(np.quantile(drawn[0] - drawn[1], [0.025, 0.975]))
        assert comparison.overall.interval == pytest.approx(ends, abs=1e-4)
        assert comparison.scores == pytest.approx([rows[place].overall for place in order])
        for level, categories in (("l1", comparison.l1), ("l2", comparison.l2)):
            files = [score(runs[rows[place].index], rule)[level] for place in order]
            assert [category.name for category in categories] == sorted(files[0])
            adjusted = holm([c.difference.p_value for c in categories])
            for category, p in zip(categories, adjusted, strict=True):
                sides = [file[category.name] for file in files]
                assert [category.first, category.second] == pytest.approx(
                    [side["score"] for side in sides]
                )
                low, high = category.difference.interval
                gap = category.first - category.second
                assert category.difference.difference == pytest.approx(gap, abs=1e-8)
                assert low <= category.difference.difference <= high
                # paired: no wider than the two intervals together
                widths = [side["interval"][1] - side["interval"][0] for side in sides]
                assert 0 < high - low < sum(widths)
                assert category.difference.p_holm == pytest.approx(p)
                assert category.difference.p_value < 1 or gap == 0


def test_the_better_stands_first_whatever_group_it_is_in(dpg: RunMaker) -> None:
    ten = list(dpg.benchmark.items)[:10]
    for number, skills in enumerate([(0.9, 0.3), (0.3, 0.9)]):
        runs = [
            dpg.make(f"whole{number}", skill=skills[0]),
            dpg.make(f"part{number}", skill=skills[1], items=ten),
        ]
        board = make_board(runs)
        rows = board.rows
        assert len(board.comparisons) == 2
        for pair in board.comparisons:
            assert rows[pair.first].overall > rows[pair.second].overall
            assert rows[pair.first].run == runs[int(skills[1] > skills[0])].name


def test_results_on_other_items_of_equal_number_are_not_ranked_together(dpg: RunMaker) -> None:
    items = list(dpg.benchmark.items)
    runs = [dpg.make("one", items=items[:10]), dpg.make("two", items=items[10:20])]
    for run in runs:  # both set out to do all; these results are over ten
        manifest = json.loads(run.manifest.read_text())
        run.manifest.write_text(json.dumps({**manifest, "items": items}))
    groups = make_board(runs).groups
    assert [len(group.rows) for group in groups] == [1, 1, 1, 1]
    same = dpg.make("same", items=items[:10], seed=3)  # of a run that set out to do these ten
    groups = make_board([runs[0], same]).groups
    assert [len(group.rows) for group in groups] == [2, 2]


def test_an_item_that_the_rule_loses_is_not_missing(pair: list[RunDir]) -> None:
    groups = make_board(pair).groups
    assert groups[0].key.rule == "ella-reference"
    for row_ in groups[0].rows:
        assert row_.items_scored < row_.items_expected
        assert (row_.missing, row_.unranked) == (0, "")
    assert not [text for text in groups[0].caveats if "Incomplete" in text]


def test_items_that_lack_answers_are_missing_beside_one_that_the_rule_loses(dpg: RunMaker) -> None:
    run = dpg.make("part", unanswered=["COCOval1", "COCOval3"])
    missing = {row_.rule: row_.missing for row_ in make_board([run]).rows}
    assert missing == {"ella-reference": 2, "corrected-v1": 2}


def test_pages_of_items_show_the_scores_of_the_table(shared: RunMaker, pair: list[RunDir]) -> None:
    (items,) = make_board(pair).item_sets
    for run in items.runs:
        table = item_scores(pair[run.index], "corrected-v1")
        for place, item in enumerate(items.items):
            (outcome,) = picture_verdicts(items, run, place)
            assert outcome.score == pytest.approx(table[item], abs=1e-3)
            texts = [text for text, _ in outcome.failed]
            assert len(texts) == len(set(texts)) <= 5
            assert (outcome.score == 100) == (not texts)
            for _, images in outcome.failed:
                assert images.startswith("image")
                assert set(re.findall(r"\d", images)) <= set("1234")


def test_the_gap_between_cut_and_whole_prompts_has_its_interval(uneven: RunMaker) -> None:
    long = [item for n, item in enumerate(uneven.benchmark.items) if n % 2 == 0]
    cut = {"limit": 77, "truncated": len(long), "prompts": 20, "items": long}
    run = uneven.make("cut", skill=0.7, generation={"truncation": cut})
    views = make_board([run]).prompt_lengths
    for view in views:
        rule = view.group.key.rule
        ((result,),) = [cut.results for cut in view.cuts]
        table = item_scores(run, rule)
        sizes = {item: len(uneven.benchmark.items[item]) for item in table}
        counts = np.array([sizes[i] if rule == "ulmeval" else 1.0 for i in table])
        sums = np.array([*table.values()]) * counts
        held = np.array([item in long for item in table])
        drawn = by_hand(sums * held, counts * held) - by_hand(sums * ~held, counts * ~held)
        means = [sums[side].sum() / counts[side].sum() for side in (held, ~held)]
        assert [result.cut, result.whole] == pytest.approx(means, abs=1e-4)
        assert result.gap.difference == pytest.approx(means[0] - means[1], abs=1e-4)
        assert result.gap.interval == pytest.approx(
            tuple(np.nanquantile(drawn, [0.025, 0.975])), abs=1e-4
        )
        assert result.items == (10, 10)
    assert {view.group.key.rule for view in views} == {"ulmeval", "dsg", "corrected-v1"}


@pytest.fixture
def lossy(tmp_path: Path) -> RunMaker:
    """A maker on 12 items, of which dsg loses each third that reaches its unknown parent."""
    rows = [
        row(f"it{n:02}", qid, "1,9" if qid == 2 and n % 3 == 0 else str(qid // 2))
        for n in range(12)
        for qid in (1, 2, 3)
    ]
    path = write_csv(tmp_path / "lossy.csv", rows)
    rules = ("ulmeval", "dsg", "corrected-v1", "ella-reference")
    return RunMaker(tmp_path / "runs", load_csv(path, "lossy"), rules=rules)


def test_wins_count_every_item_that_the_rule_counts(lossy: RunMaker) -> None:
    runs = [lossy.make("good", skill=0.9), lossy.make("bad", skill=0.5, seed=4)]
    board = make_board(runs)
    rows = board.rows
    seen = set()
    for comparison in board.comparisons:
        rule = rows[comparison.first].rule
        zero = rule == "dsg"
        tables = [
            item_scores(runs[rows[place].index], rule)
            for place in (comparison.first, comparison.second)
        ]
        pairs = [
            (a or 0.0, b or 0.0)
            for a, b in zip(tables[0].values(), tables[1].values(), strict=True)
            if zero or (a is not None and b is not None)
        ]
        assert comparison.items == len(pairs)
        wins, losses = (sum(a > b + 1e-9 for a, b in pairs), sum(b > a + 1e-9 for a, b in pairs))
        assert comparison.outcomes == (wins, len(pairs) - wins - losses, losses)
        assert comparison.outcomes.wins > comparison.outcomes.losses > 0
        seen.add((rule, len(pairs)))
        lost = sum(score is None for score in tables[1].values())
        assert (lost > 0) == (rule in ("dsg", "ella-reference"))
    assert {rule for rule, _ in seen} == {"ulmeval", "dsg", "corrected-v1", "ella-reference"}


def test_ranks_and_the_compare_command_have_one_difference(lossy: RunMaker) -> None:
    """Also where the rule loses other items of each run: both are over what the two have."""
    runs = [lossy.make("good", skill=0.9), lossy.make("bad", skill=0.5, seed=4)]
    board = make_board(runs)
    compared = {results.first.rule: results.comparison for results in compare_runs(*runs)}
    assert len(compared) == 4
    for group in board.groups:
        (pair,) = group.comparisons
        assert pair in board.comparisons
        rows = [board.rows[place].run for place in (pair.first, pair.second)]
        by_command = compared[group.key.rule]
        assert pair.overall == (
            by_command.overall if rows == ["good", "bad"] else by_command.turned.overall
        )
        assert pair.items == by_command.items


def test_a_result_without_a_score_stands_behind_the_lowest(dpg: RunMaker) -> None:
    runs = [
        dpg.make("none", unanswered=list(dpg.benchmark.items)),
        dpg.make("zero", skill=0.0),
        dpg.make("tiny", skill=0.02, seed=3),
    ]
    overall = [score(run, "corrected-v1")["overall"] for run in runs]
    assert overall[:2] == [None, 0.0]
    for turned in (False, True):
        board = make_board(runs[::-1] if turned else runs)
        rows = [r for r in board.rows if r.rule == "corrected-v1"]
        for low in (0.5, 0.99):
            rows = [replace(r, overall=low) if r.run == "tiny" else r for r in rows]
            order = {(rows[c.first].run, rows[c.second].run) for c in compare_rows(rows)}
            assert ("tiny", "zero") in order
            assert ("tiny", "none") in order


def test_one_of_several_differences_is_significant_only_below_the_level() -> None:
    def significant(p_holm: float | None) -> bool:
        return PairedDifference(1.0, None, None, p_holm).significant

    assert [significant(p) for p in (None, 0.04, LEVEL, 0.06)] == [False, True, False, False]
    assert not PairedDifference(1.0, (0.5, 1.5), 0.04, 0.06).significant


def compared(difference: float, interval: tuple[float, float] | None) -> Comparison:
    return Comparison(0, 1, (), overall=PairedDifference(difference, interval, 0.5))


def test_intervals_that_touch_are_not_apart() -> None:
    assert rank_ranges([(10, 20), (0, 10)], []) == [(1, 2), (1, 2)]
    assert rank_ranges([(10.1, 20), (0, 10)], []) == [(1, 1), (2, 2)]
    assert rank_ranges([(0, 10), (10.1, 20)], []) == [(2, 2), (1, 1)]
    zero, below = compared(1.0, (0.0, 2.0)), compared(-1.0, (-2.0, 0.0))
    for pair in (zero, below, compared(1.0, None)):
        assert rank_ranges([(-1, 2), (4, 7)], [pair]) == [(1, 2), (1, 2)]
        assert not pair.overall.significant
    apart = compared(-1.0, (-2.0, -0.1))
    assert rank_ranges([(-1, 2), (-1, 2)], [apart]) == [(2, 2), (1, 1)]
    assert apart.overall.significant


@pytest.mark.parametrize("rule", ["corrected-v1", "dsg", "ulmeval"])
def test_what_an_item_adds(rule: str) -> None:
    named = find_rule(rule)
    weight = 4 if rule == "ulmeval" else 1
    assert recorded_part(25.0, 4, named, absent=False) == (25.0 * weight, weight)
    assert recorded_part(0.0, 4, named, absent=False) == (0.0, weight)
    assert recorded_part(None, 4, named, absent=False) == (0.0, 1 if rule == "dsg" else 0)
    assert recorded_part(None, 4, named, absent=True) == (0.0, 0)


def rows_with(dpg: RunMaker, *tables: tuple[list[float | None], float]) -> list[Group]:
    """Groups of a row for each table of item scores and its overall, under corrected-v1."""
    runs = [dpg.make(f"run{n}", seed=n) for n in range(len(tables))]
    templates = [row for row in make_board(runs).rows if row.rule == "corrected-v1"]
    rows = [
        replace(
            row,
            items={str(n): ItemFigure(score, 2) for n, score in enumerate(scores)},
            overall=overall,
            rank=None,
            answers=None,
        )
        for row, (scores, overall) in zip(templates, tables, strict=True)
    ]
    rows.sort(key=lambda row: -row.overall)
    return rank_groups([rows], compare_rows(rows))


def test_a_table_that_does_not_make_up_the_overall_is_not_believed(dpg: RunMaker) -> None:
    sound = ([20.0, 40.0], 30.0)
    (group,) = rows_with(dpg, sound, ([10.0, 50.0], 30.0))
    (pair,) = group.comparisons
    assert (pair.outcomes, pair.items) == ((1, 0, 1), 2)
    assert pair.overall == PairedDifference(0.0, None, None)
    for overall in (30.1, 29.9):
        for tables in (
            [sound, ([10.0, 50.0], overall)],
            [([10.0, 50.0], overall), sound],
        ):
            assert rows_with(dpg, *tables)[0].comparisons == ()
    assert rows_with(dpg, sound, ([10.0], 10.0))[0].comparisons == ()
    assert rows_with(dpg, sound)[0].comparisons == ()
    assert rows_with(dpg, sound, ([None, None], 0.0))[0].comparisons == ()
    (group,) = rows_with(dpg, sound, ([90.0, 90.0], 90.0), sound)
    assert sorted(c.overall.difference for c in group.comparisons) == [0.0, 60.0, 60.0]
