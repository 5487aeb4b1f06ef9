"""Scores at their edges: which answers and tiles count, and what is said where one is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dpgbench.domain.aggregate import (
    category_table,
    measured_item,
    pooled_parts,
    recorded_parts,
    scored_item,
)
from dpgbench.domain.answer_text import plain_word
from dpgbench.domain.benchmark import Benchmark, OriginalBenchmark, WordCounts
from dpgbench.domain.plan import plan_item
from dpgbench.domain.result import ItemFigure, ItemScore, Origin, Result, Score
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ALL_RULES, CORRECTED_V1, DSG, ELLA_REFERENCE, rule_that_asks
from dpgbench.domain.score import (
    Answer,
    Probability,
    collect_probabilities,
    geometric_mean,
    probability_notes,
    product_of,
    refuse_bad_dependencies,
    refuse_without_probabilities,
    score_benchmark,
    score_item,
    stray_answers,
    take_census_of_answers,
)
from dpgbench.errors import DataError
from tests.domain.question_rows import benchmark_of, rows, score_items

MEAN, PRODUCT = ALL_RULES["mean"], ALL_RULES["product"]
ARITHMETIC, GEOMETRIC = ALL_RULES["soft-tifa-am"], ALL_RULES["soft-tifa-gm"]


def test_an_answer_that_lost_its_probability_has_none() -> None:
    first = Answer("a", 0, 1, "yes", p_yes=0.9)
    kept = Answer("a", 0, 2, "yes", p_answer=0.4)
    table = collect_probabilities([first, kept, first._replace(p_yes=None)])
    assert table == {("a", 0): {2: Probability(None, 0.4)}}
    empty = Answer("a", 0, 2, "", p_yes=0.1)
    assert collect_probabilities([first, empty]) == {("a", 0): {1: Probability(0.9, None)}}


def test_what_counts_nowhere() -> None:
    benchmark = benchmark_of([rows("a", ["0", "0"])])
    counts = [Answer("a", 0, 1, "yes"), Answer("a", 3, 2, "no")]
    strays = [
        Answer("a", -1, 1, "yes"),
        Answer("a", 4, 1, "yes"),
        Answer("a", 0, 3, "yes"),
        Answer("b", 0, 1, "yes"),
    ]
    assert stray_answers([*counts, *strays], benchmark, 4) == strays


def test_answers_of_words_are_among_all_and_never_among_those_to_be_yes_or_no() -> None:
    answers = {("a", 0): {1: "yes", 2: "7", 3: "maybe", 4: "no"}, ("b", 0): {2: "8"}}
    census = take_census_of_answers(answers, words={("a", 2)})
    assert census == (5, 2, 0, "8")
    assert take_census_of_answers(answers, words={("a", 2), ("b", 2)}) == (5, 1, 0, "maybe")


def numbers(*tiles: float) -> tuple[Benchmark, dict[tuple[str, int], dict[int, str]]]:
    item = rows("a", ["0"])
    return benchmark_of([item]), {("a", n): {1: str(tile)} for n, tile in enumerate(tiles)}


def test_numbers_that_a_metric_gives_are_neither_yes_nor_no_and_no_fault() -> None:
    benchmark, answers = numbers(0.25, 0.75)
    result = score_benchmark(benchmark, answers, MEAN, num_images=2)
    assert result.overall == 50
    assert result.answers == (2, 0, 0, None)
    assert result.warnings == {}


@pytest.mark.parametrize(
    ("rule", "scores"),
    [(PRODUCT, (0.1, 0.08)), (ARITHMETIC, (0.35, 0.3)), (GEOMETRIC, (0.1**0.5, 0.08**0.5))],
)
def test_each_tile_has_its_own_probabilities(rule: Any, scores: tuple[float, float]) -> None:
    plan = plan_item(rows("a", ["0", "0"]), rule, 2)
    answers = {("a", tile): {1: "yes", 2: "yes"} for tile in (0, 1)}
    given = {
        ("a", 0): {1: Probability(0.2, 0.2), 2: Probability(0.5, 0.5)},
        ("a", 1): {1: Probability(0.4, 0.4), 2: Probability(0.2, 0.2)},
    }
    item = score_item(plan, answers, rule, 2, probabilities=given)
    assert item.tile_scores == pytest.approx(scores)
    assert item.score == pytest.approx(sum(scores) / 2)


def test_the_probability_of_the_right_answer_goes_before_that_of_yes() -> None:
    answers = {("a", 0): {1: "yes"}}
    given = {("a", 0): {1: Probability(0.2, 0.9)}}
    for rule, score in ((ARITHMETIC, 0.9), (PRODUCT, 0.2)):
        plan = plan_item(rows("a", ["0"]), rule, 2)
        assert score_item(plan, answers, rule, 1, probabilities=given).score == pytest.approx(score)


def test_probabilities_are_rounded_to_four_digits_and_so_is_their_product() -> None:
    plan = plan_item(rows("a", ["0", "0"]), PRODUCT, 2)
    given = {("a", 0): {1: Probability(0.12344, None), 2: Probability(0.99996, None)}}
    item = score_item(plan, {("a", 0): {1: "no", 2: "yes"}}, PRODUCT, 1, probabilities=given)
    assert item.score == 0.1234


def test_a_number_stands_for_one_question() -> None:
    answers = {("a", 0): {1: "0.5", 2: "0.5"}}
    two = score_item(plan_item(rows("a", ["0", "0"]), MEAN, 2), answers, MEAN, 1)
    assert two.failure == "2 questions where rule mean is about one number an image"
    one = plan_item(rows("a", ["0"]), MEAN, 2)
    assert score_item(one, answers, MEAN, 1).score == 0.5
    for text in ("nan", "inf", "x"):
        lost = score_item(one, {("a", 0): {1: text}}, MEAN, 1)
        assert lost.score is None
        assert "no" in str(lost.failure)


def test_products_and_means_of_few() -> None:
    assert product_of([], 4) == product_of([], None) == 1
    assert product_of([0.12345], 4) == pytest.approx(0.1235, abs=1e-4)
    assert product_of([0.5, 0.5, 0.3], None) == pytest.approx(0.075)
    assert geometric_mean([0.5, 0.0]) == 0
    assert geometric_mean([0.25, 1.0]) == pytest.approx(0.5)


def test_notes_are_of_the_items_that_were_scored() -> None:
    words = [replace(row, expected="two") for row in rows("a", ["0", "0"])]
    other = [replace(row, expected="no") for row in rows("b", ["0"], first=4)]
    benchmark = benchmark_of([words, other])
    items = [
        ItemScore("a", plan_item(words, GEOMETRIC, 2).questions, probabilities=((0.0, 0.5),)),
        ItemScore("c", (), failure="lost"),
    ]
    given = {("a", 0): {1: Probability(0.1, 0.0), 2: Probability(0.5, None)}}
    notes = probability_notes(GEOMETRIC, benchmark, items, {**given, ("c", 0): given["a", 0]}, 1)
    assert [note.split(" probabilities")[0].split(" questions")[0] for note in notes] == [
        "1 of 2",
        "2",
        "1 of 2",
    ]
    assert "are 0, each" not in str(probability_notes(ARITHMETIC, benchmark, items, given, 1))


def test_a_rule_of_probabilities_needs_one() -> None:
    answers = {("a", 0): {1: "yes"}}
    some = {("a", 0): {1: Probability(0.5, None)}}
    refuse_without_probabilities(PRODUCT, answers, some, None)
    refuse_without_probabilities(PRODUCT, {}, {}, None)
    refuse_without_probabilities(MEAN, answers, {}, None)
    refuse_without_probabilities(CORRECTED_V1, answers, {}, None)
    for rule, says in ((PRODUCT, "multiplies"), (ARITHMETIC, "averages")):
        for origin, judge in (
            (None, "the judge"),
            (Origin(), "the judge"),
            (Origin("m"), "judge m"),
        ):
            with pytest.raises(DataError, match=f"rule {rule.name} {says} .*, and {judge} gives"):
                refuse_without_probabilities(rule, answers, {("a", 0): {}}, origin)


def test_the_row_that_a_rule_skips_is_the_first_alone() -> None:
    item = rows("a", ["0", "x", "0"])
    with pytest.raises(DataError, match=r"at row 3 \(item a: 'x'\)"):
        refuse_bad_dependencies(item, ELLA_REFERENCE, "b.csv")
    refuse_bad_dependencies(rows("a", ["x", "0"]), ELLA_REFERENCE, "b.csv")
    with pytest.raises(DataError, match="row 2"):
        refuse_bad_dependencies(
            rows("a", ["x", "0"]), replace(ELLA_REFERENCE, skip_first_row=False), "b.csv"
        )


def test_an_item_is_answered_where_the_skipped_question_is_too() -> None:
    """The reference has no need of the first row's answer; the run is not whole without it."""
    item = rows("a", ["0", "0"])
    part = score_items([item], {("a", 0): {2: "yes"}}, ELLA_REFERENCE, num_images=1)
    assert (part.overall, part.unanswered) == (100, ("a",))
    whole = score_items([item], {("a", 0): {1: "no", 2: "yes"}}, ELLA_REFERENCE, num_images=1)
    assert (whole.overall, whole.unanswered) == (100, ())


def test_an_item_is_absent_where_its_answers_are_and_not_where_the_rule_loses_it() -> None:
    items = [rows("s", ["0", "0"]), rows("a", ["0", "7"], first=4), rows("b", ["0"], first=6)]
    answers = {("s", 0): {2: "yes"}, ("a", 0): {1: "yes", 2: "yes"}}
    figures = score_items(items, answers, ELLA_REFERENCE, num_images=1).item_figures
    assert {name: (f.score, f.absent) for name, f in figures.items()} == {
        "s": (100, False),
        "a": (None, False),
        "b": (None, True),
    }


def test_what_is_said_of_a_missing_answer() -> None:
    plan = plan_item(rows("a", ["0", "0", "0"]), CORRECTED_V1, 2)
    full = {1: "yes", 2: "no", 3: "yes"}
    for second, says in (
        ({}, "no answers for tile 1"),
        ({1: "", 2: "nan"}, "no answers for tile 1"),
        ({1: "yes", 2: ""}, "tile 1 has no answer to question 2, 3"),
    ):
        lost = score_item(plan, {("a", 0): full, ("a", 1): second}, CORRECTED_V1, 2)
        assert (lost.failure, lost.answered, lost.score) == (says, False, None)


# Averages


def item_of(name: str, verdicts: str, l2: str = "entity - whole", first: int = 2) -> ItemScore:
    """`verdicts`: a word of y and n a tile, after zeroing; before it, all are yes."""
    tiles = [tuple(c == "y" for c in word) for word in verdicts.split()]
    plan = plan_item(rows(name, ["0"] * len(tiles[0]), first, l2), CORRECTED_V1, 0)
    return scored_item(plan, [(True,) * len(tile) for tile in tiles], tiles)


def test_an_item_is_answered_unless_said_otherwise() -> None:
    plan = plan_item(rows("a", ["0"]), CORRECTED_V1, 0)
    assert scored_item(plan, [(True,)], [(True,)]).answered
    assert measured_item(plan, [0.5]).answered
    assert not scored_item(plan, [(True,)], [(True,)], answered=False).answered
    assert not measured_item(plan, [0.5], answered=False).answered
    assert ItemScore("a", ()).answered
    assert not ItemFigure(None, 2).absent


def test_an_items_score_is_the_mean_of_its_tiles() -> None:
    item = item_of("a", "yn yy nn")
    assert (item.tile_scores, item.score) == ((0.5, 1, 0), 0.5)
    plan = plan_item(rows("a", ["0"]), CORRECTED_V1, 0)
    assert measured_item(plan, [0.25, 0.5, 0.9]).score == pytest.approx(0.55)
    assert scored_item(plan, [], []).score is None


def test_what_results_on_file_add_to_the_overall() -> None:
    one = {
        "a": ItemFigure(50.0, 2),
        "b": ItemFigure(None, 3),
        "c": ItemFigure(None, 1, absent=True),
    }
    other = {"a": ItemFigure(25.0, 2), "d": ItemFigure(10.0, 1)}
    items = ["a", "b", "c", "d"]
    table = recorded_parts([one, other], items, DSG)
    assert table.sums.tolist() == [[50, 25], [0, 0], [0, 0], [0, 10]]
    assert table.counts.tolist() == [[1, 1], [1, 0], [0, 0], [0, 1]]
    table = recorded_parts([one, other], items, ALL_RULES["ulmeval"])
    assert table.sums.tolist() == [[100, 50], [0, 0], [0, 0], [0, 10]]
    assert table.counts.tolist() == [[2, 2], [0, 0], [0, 0], [0, 1]]
    assert recorded_parts([one, other], [], DSG).sums.shape == (0, 2)


def test_images_of_one_prompt_are_pooled() -> None:
    first = [item_of("a", "yy"), item_of("a", "yn"), item_of("b", "nn")]
    second = [item_of("a", "nn"), item_of("a", "yn"), item_of("b", "yy")]
    table = pooled_parts([first, second], [0, 0, 1], CORRECTED_V1)
    assert table.sums.tolist() == [[150, 50], [0, 100]]
    assert table.counts.tolist() == [[2, 2], [1, 1]]
    assert pooled_parts([[], []], [], CORRECTED_V1).sums.shape == (0, 2)


def test_categories_of_items_of_which_some_are_not_there() -> None:
    items = [
        item_of("b", "yn yy ny", "relation - spatial"),
        None,
        item_of("a", "n y y", "attribute - color"),
        ItemScore("c", (), failure="lost"),
        item_of("d", "yyn yyy yyn", "relation - spatial"),
    ]
    table = category_table(items, CORRECTED_V1, 0)
    assert table.names == ("attribute", "relation")
    assert table.sums.tolist() == [[0, 4], [0, 0], [2, 0], [0, 0], [0, 7]]
    assert table.counts.tolist() == [[0, 6], [0, 0], [3, 0], [0, 0], [0, 9]]
    before = category_table(items, CORRECTED_V1, 1, gated=False)
    assert before.names == ("attribute - color", "relation - spatial")
    assert before.sums.tolist() == table.counts.tolist()
    last = category_table(items, replace(CORRECTED_V1, category_tiles="last"), 0)
    assert last.sums.tolist() == [[0, 1], [0, 0], [1, 0], [0, 0], [0, 2]]
    assert last.counts.tolist() == [[0, 2], [0, 0], [1, 0], [0, 0], [0, 3]]
    images = category_table(items, replace(CORRECTED_V1, category_of="images"), 0)
    assert images.sums == pytest.approx(np.array([[0, 2], [0, 0], [2, 0], [0, 0], [0, 7 / 3]]))
    assert images.counts.tolist() == [[0, 3], [0, 0], [3, 0], [0, 0], [0, 3]]
    nothing = category_table([None, None], CORRECTED_V1, 0)
    assert nothing.names == ()
    assert nothing.sums.shape == nothing.counts.shape == (2, 0)


def test_a_category_is_over_its_items_questions_and_answers() -> None:
    items = [
        rows("a", ["0", "0"]),
        rows("b", ["0"], first=4, l2="attribute - color"),
        rows("c", ["0"], first=5),
    ]
    answers = {(row.item_id, tile): {1: "yes", 2: "no"} for (row, *_) in items for tile in (0, 1)}
    l1 = score_items(items, answers, CORRECTED_V1, num_images=2).l1
    assert {name: (c.items, c.questions, c.answers, c.score) for name, c in l1.items()} == {
        "attribute": (1, 1, 2, 100),
        "entity": (2, 3, 6, pytest.approx(200 / 3)),
    }


def test_a_parent_further_down_is_no_warning_of_a_score() -> None:
    item = rows("a", ["2", "0", "9"])
    result = score_items(
        [item], {("a", 0): dict.fromkeys((1, 2, 3), "yes")}, CORRECTED_V1, num_images=1
    )
    assert result.warnings == {"unknown_parent": 1}


def test_each_kind_of_warning_has_its_name_and_number() -> None:
    items = [
        rows("a1", ["0", "7"]),
        rows("b1", ["0", "0"], first=4),
        rows("c1", ["0"], first=6),
        rows("d1", ["0"], first=7),
    ]
    answers = {
        ("a1", 0): {1: "yes", 2: "Yes"},
        ("b1", 0): {1: "maybe"},
        ("c1", 0): {1: "No"},
    }
    result = score_benchmark(
        benchmark_of(items),
        answers,
        DSG,
        num_images=1,
        items=["a1", "b1", "c1"],
        origin=Origin(num_read=5, num_invalid=6, num_strays=7, num_single_colour_tiles=8),
    )
    assert result.warnings == {
        "items_without_all_answers": 1,
        "items_lost_by_the_rule": 1,
        "answers_neither_yes_nor_no": 3,
        "items_not_chosen": 1,
        "invalid_answers": 6,
        "stray_answers": 7,
        "single_colour_tiles": 8,
        "answers_read": 5,
    }
    plain = score_items(items[2:], {("c1", 0): {1: "no"}, ("d1", 0): {1: "no"}}, DSG, num_images=1)
    assert plain.warnings == {}


def test_sources_are_over_their_own_items() -> None:
    items = [rows("a1", ["0", "0"]), rows("a2", ["0"], first=4), rows("b1", ["0"], first=5)]
    answers = {("a1", 0): {1: "yes", 2: "no"}, ("a2", 0): {1: "no"}, ("b1", 0): {1: "yes"}}
    result = score_items(items, answers, CORRECTED_V1, num_images=1)
    assert {name: (s.score, s.items) for name, s in result.sources.items()} == {
        "a": (25, 2),
        "b": (100, 1),
    }
    result = score_items(items, answers, ALL_RULES["ulmeval"], num_images=1)
    assert result.sources["a"].score == pytest.approx(100 / 3)
    assert result.overall == 50


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (None, ()),
        (0, ()),
        (1, ("1 answer was read as yes or no by --read-answers",)),
        (2, ("2 answers were read as yes or no by --read-answers",)),
    ],
)
def test_how_many_answers_were_read_is_said(number: int | None, says: tuple[str, ...]) -> None:
    result = score_benchmark(
        benchmark_of([rows("a", ["0"])]),
        {("a", 0): {1: "yes"}},
        CORRECTED_V1,
        num_images=1,
        origin=Origin(num_read=number),
    )
    assert result.notes == says
    assert result.warnings == ({"answers_read": number} if number else {})


def test_an_interval_of_few_items_is_left_out() -> None:
    for items, interval in ((7, None), (8, (1.0, 2.0)), (None, (1.0, 2.0))):
        assert Score(50.0, (1.0, 2.0), items).thinned().interval == interval


def test_a_table_of_no_items_has_no_tiles() -> None:
    result = Result("r", None, None, 0, 0, {}, {}, {}, {}, {})
    assert list(result.to_frame().columns) == ["source", "score", "questions", "failure"]
    assert result.coverage == 0


# What is read


def test_words_keep_all_but_the_first_article() -> None:
    assert plain_word("a cat on the mat") == "cat on the mat"
    assert plain_word("the the") == "the"
    assert [plain_word(text) for text in ("x", "\u0d74", "\u2460", "零", "Ⅻ", "九")] == [
        *("x", "\u0d74", "1", "0", "xii", "9")
    ]


def test_a_rule_that_asks_by_the_name_of_its_judge() -> None:
    assert rule_that_asks("hf:org/repo:vqascore") == ALL_RULES["vqascore"]
    for name in ("vqascore", "hf:org/vqascore:dsg", "hf:org/repo", "x:", ""):
        assert rule_that_asks(name) is None


def test_what_prompts_were_rewritten_from() -> None:
    assert OriginalBenchmark.from_cell("p q k a name") == ("p", "q", "k", "a name")
    assert OriginalBenchmark.from_cell("p q k") is None


def test_words_of_prompts() -> None:
    prompts = {"a": "one", "b": "one two", "c": "x " * 9, "d": "x " * 20}
    counts = replace(benchmark_of([rows("a", ["0"])]), prompts=prompts).counts()
    assert counts.words == WordCounts(mean=8, median=5.5, min=1, max=20)
    assert counts.lengths == {"0-19": 3, "20-39": 1}


def placed(item: list[QuestionRow], first: int) -> list[QuestionRow]:
    return [replace(row, position=first + n) for n, row in enumerate(item)]


def test_rows_that_stand_together_begin_with_the_files_first() -> None:
    item = placed(rows("a", ["0", "0", "0"], first=5), 0)
    assert [row.place for row in item] == [0, 1, 2]
    rule = replace(ELLA_REFERENCE, skip_first_row=False)
    assert [q.qid for q in plan_item(item, rule, 5).questions] == [1, 2, 3]
    apart = [item[0], item[1], replace(item[2], position=4)]
    assert [q.qid for q in plan_item(apart, rule, 5).questions] == [3]
