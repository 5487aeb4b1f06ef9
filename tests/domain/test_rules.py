"""What sets the rules apart, on benchmarks small enough to score by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.result import Result
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import CORRECTED_V1, DSG, ELLA_REFERENCE, RULES, ULMEVAL, ScoringRule
from dpgbench.errors import DataError, UsageError
from tests.domain.question_rows import rows, score_items

Tiles = Sequence[str]


def score(rule: ScoringRule, items: list[list[QuestionRow]], *answers: Tiles) -> Result:
    """`answers`: for each item, a word of y and n for each tile."""
    names = {"y": "yes", "n": "no", "Y": "Yes"}
    table = {
        (item[0].item_id, tile): {row.qid: names[c] for row, c in zip(item, word, strict=True)}
        for item, tiles in zip(items, answers, strict=True)
        for tile, word in enumerate(tiles)
    }
    return score_items(items, table, rule, num_images=max(len(tiles) for tiles in answers))


SPARE = rows("spare1", ["0"])  # takes the first row, which the reference skips


def with_spare(*items: list[QuestionRow]) -> list[list[QuestionRow]]:
    return [SPARE, *items]


def test_chain_cascades_in_file_order_and_over_ancestors_but_not_in_dsg() -> None:
    chain = rows("a1", ["0", "1", "2"], first=3)
    assert score(ELLA_REFERENCE, with_spare(chain), ["y"], ["nyy"]).items[1].score == 0
    assert score(CORRECTED_V1, with_spare(chain), ["y"], ["nyy"]).items[1].score == 0
    assert score(DSG, with_spare(chain), ["y"], ["nyy"]).items[1].score == pytest.approx(1 / 3)
    assert score(ULMEVAL, with_spare(chain), ["y"], ["nyy"]).items[1].score == 0


def test_parent_after_its_child() -> None:
    # 1 <- 2 <- 3: question 3 stands last, is answered no, and is the root
    backwards = rows("a1", ["2", "3", "0"], first=3)
    assert score(ELLA_REFERENCE, with_spare(backwards), ["y"], ["yyn"]).items[1].score == (
        pytest.approx(1 / 3)  # question 1 looked at 2 before 3 zeroed it
    )
    assert score(CORRECTED_V1, with_spare(backwards), ["y"], ["yyn"]).items[1].score == 0
    assert score(ULMEVAL, with_spare(backwards), ["y"], ["yyn"]).items[1].score == (
        pytest.approx(2 / 3)  # an unseen parent counts as passed
    )


def test_reference_takes_categories_from_the_last_tile_before_zeroing() -> None:
    item = rows("a1", ["0", "1"], first=3)
    result = score(ELLA_REFERENCE, with_spare(item), ["y", "y"], ["yy", "ny"])
    assert result.l1["entity"].score == 50.0
    corrected = score(CORRECTED_V1, with_spare(item), ["y", "y"], ["yy", "ny"]).l1["entity"]
    assert corrected.raw == pytest.approx(100 * 5 / 6)
    assert corrected.gated == corrected.score == pytest.approx(100 * 4 / 6)


def test_reference_drops_the_item_whose_parent_it_skipped() -> None:
    item = rows("a1", ["0", "1"])
    other = rows("b1", ["0"], first=4)
    result = score(ELLA_REFERENCE, [item, other], ["yy"], ["y"])
    assert result.failures.keys() == {"a1"}
    assert result.overall == 100.0
    assert result.complete  # nothing is missing: the rule itself loses the item
    assert result.warnings == {"items_lost_by_the_rule": 1}


def test_reference_takes_the_last_run_of_an_item_that_comes_back() -> None:
    first = rows("a1", ["0", "0"], first=3)
    again = rows("a1", ["0"], first=6)
    between = rows("b1", ["0"], first=5)
    table = {("spare1", 0): {1: "yes"}, ("a1", 0): {1: "no", 2: "yes"}, ("b1", 0): {1: "yes"}}
    result = score_items([SPARE, first + again, between], table, ELLA_REFERENCE, num_images=1)
    assert result.items[1].score == 0.0


def test_unknown_parent_fails_the_item_only_if_it_is_reached() -> None:
    item = rows("a1", ["0", "1,9"], first=3)
    spared = score(ELLA_REFERENCE, with_spare(item), ["y"], ["ny"])
    assert spared.items[1].score == 0.0
    failed = score(ELLA_REFERENCE, with_spare(item), ["y"], ["yy"])
    assert failed.failures.keys() == {"a1", "spare1"}
    assert score(CORRECTED_V1, with_spare(item), ["y"], ["yy"]).overall == 100.0


def test_a_word_in_a_dependency() -> None:
    item = rows("a1", ["0", "1, right"], first=3)
    with pytest.raises(DataError, match=r"row 4 \(item a1: '1, right'\)"):
        score(ELLA_REFERENCE, with_spare(item), ["y"], ["ny"])
    assert score(DSG, with_spare(item), ["y"], ["ny"]).items[1].score == 0.5  # not zeroed at all
    corrected = score(CORRECTED_V1, with_spare(item), ["y"], ["ny"])
    assert corrected.items[1].score == 0.0
    assert corrected.warnings == {"dependency_word": 1}


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_yes_counts_exactly_or_read_as_the_rule_says(rule: ScoringRule) -> None:
    items = with_spare(rows("a1", ["0", "0"], first=3))
    expected = 100.0 if rule.answers == "read" else 50.0
    assert score(rule, items, ["y"], ["yY"]).items[1].score * 100 == expected


def test_which_rules_read() -> None:
    reading = {name for name, rule in RULES.items() if rule.answers == "read"}
    assert reading == {"corrected-v1", "corebench"}


def test_item_means_against_question_means() -> None:
    items = [rows("a1", ["0"]), rows("b1", ["0", "0", "0"], first=3)]
    assert score(CORRECTED_V1, items, ["n"], ["yyy"]).overall == 50.0
    assert score(ULMEVAL, items, ["n"], ["yyy"]).overall == 75.0


def test_missing_items() -> None:
    items = [rows("a1", ["0"]), rows("b1", ["0"], first=3)]
    table = {("a1", 0): {1: "yes"}}
    corrected = score_items(items, table, CORRECTED_V1, num_images=1)
    assert corrected.overall == 100.0
    assert corrected.unanswered == ("b1",)
    assert corrected.failures == {"b1": "no answers for tile 0"}
    # DSG's zero is for items that the rule loses, not for images that are not there
    assert score_items(items, table, DSG, num_images=1).overall == 100.0
    assert corrected.unanswered == ("b1",)
    assert score_items(items, {}, CORRECTED_V1, num_images=1).overall is None


def test_unknown_rule_offers_near_names() -> None:
    from dpgbench.domain.rules import find_rule

    with pytest.raises(UsageError, match="did you mean ella-reference"):
        find_rule("ella-refrence")


dependency = st.sampled_from(["0", "1", "2", "3", "1,2", "3,1", "4", "2, 4"])


@given(
    st.lists(dependency, min_size=1, max_size=4),
    st.lists(st.text("yn", min_size=4, max_size=4), min_size=1, max_size=4),
)
def test_zeroing_never_raises_a_score(dependencies: list[str], words: list[str]) -> None:
    item = rows("a1", dependencies, first=3)
    words = [word[: len(item)] for word in words]
    for rule in RULES.values():
        result = score(rule, with_spare(item), ["y"] * len(words), words)
        if result.items[1].failure is None:
            raw = sum(word.count("y") / len(word) for word in words) / len(words)
            assert 0 <= result.items[1].score <= raw + 1e-12


@given(st.permutations(range(5)), st.text("yn", min_size=5, max_size=5))
def test_corrected_rule_does_not_depend_on_file_order(order: list[int], word: str) -> None:
    dependencies = ["0", "1", "1", "2,3", "4"]
    plain = rows("a1", dependencies)
    by_qid = dict(zip(range(1, 6), word, strict=True))
    shuffled = [
        QuestionRow(
            **{
                **{name: getattr(plain[i], name) for name in QuestionRow.__dataclass_fields__},
                "row": 2 + position,
            }
        )
        for position, i in enumerate(order)
    ]
    answers = {("a1", 0): {q: "yes" if a == "y" else "no" for q, a in by_qid.items()}}
    one = score_items([plain], answers, CORRECTED_V1, num_images=1)
    two = score_items([shuffled], answers, CORRECTED_V1, num_images=1)
    assert one.overall == two.overall
    assert {q.qid for q in PromptGraph.from_rows(shuffled).questions} == set(range(1, 6))


def test_a_word_in_the_row_that_the_reference_skips_does_not_refuse_the_file() -> None:
    first, later = rows("a1", ["red"]), rows("b1", ["0", "red"], first=3)
    assert score(ELLA_REFERENCE, [first, rows("b1", ["0"], first=3)], ["y"], ["y"]).overall == 100.0
    with pytest.raises(DataError, match="refuses"):
        score(ELLA_REFERENCE, [rows("a1", ["0"]), later], ["y"], ["yy"])


def test_a_category_is_over_the_items_that_have_it() -> None:
    items = [rows("a1", ["0", "0"]), rows("b1", ["0"], first=4, l2="attribute - color")]
    result = score(CORRECTED_V1, items, ["yy"], ["n"])
    assert (result.l1["entity"].items, result.l1["attribute"].items) == (1, 1)
    assert result.l2["entity - whole"].questions == 2


def test_an_answer_is_valid_unless_its_judge_says_otherwise() -> None:
    from dpgbench.domain.score import Answer

    assert Answer("a1", 0, 1, "yes") == Answer("a1", 0, 1, "yes", None, False)
