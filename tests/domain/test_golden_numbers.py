"""Numbers that must never move: seeds, hashes, bootstrap draws, intervals of uneven items.

Runs on disk were made with them: another seed draws other pictures, another hash refuses to go
on, another draw changes every interval that was ever published.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.result import Result, Score
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import RULES, find_rule
from dpgbench.domain.score import Answer, collect
from dpgbench.domain.spec import GenerationSpec, canonical_json, identity_hash, seed_for
from dpgbench.domain.statistics import bootstrap as stats
from dpgbench.domain.statistics.correlation import pearson, rank_draws
from dpgbench.domain.statistics.paired import difference_of, outcomes
from dpgbench.errors import UsageError
from dpgbench.store.benchmarks import load_benchmark
from tests.domain.question_rows import rows, score_items


def test_seeds_of_items() -> None:
    assert seed_for("per-item", 0, "a", 0) == 6152854164166434909
    assert seed_for("per-item", 0, "COCOval12", 3) == 6929427580720027913
    assert seed_for("per-item", 17, "12", 1) == 1334909656084088284
    # base, item and tile stay apart whatever their digits
    assert seed_for("per-item", 1, "2", 3) != seed_for("per-item", 12, "", 3)
    assert seed_for("per-item", 1, "2", 3) != seed_for("per-item", 1, "23", 0)


def test_a_seed_below_0_is_refused() -> None:
    with pytest.raises(UsageError, match="--seed -1"):
        GenerationSpec("m", 64, 64, "float32", base_seed=-1)


def test_identities() -> None:
    spec = GenerationSpec(
        "ella-sd15",
        512,
        512,
        "float16",
        steps=50,
        guidance_scale=7.5,
        scheduler="DDIMScheduler",
        scheduler_config={"b": 1, "a": "é"},
        seed_rule="per-item",
        base_seed=3,
        options={"length": "fixed"},
    )
    assert identity_hash(spec.to_json()) == "740a62986d2b"
    assert canonical_json({"b": [1, 2.5, None], "a": {"é": 1}}) == '{"a":{"é":1},"b":[1,2.5,null]}'
    shapes = load_benchmark("shapes")
    assert shapes.prompts_sha256 == SHAPES["prompts"]
    assert shapes.questions_sha256 == SHAPES["questions"]
    assert shapes.graphs_sha256 == SHAPES["graphs"]


SHAPES = {
    "prompts": "186e20a43e29486e25f97d7822825ff1cab00bc71712923c09c7076c8e3141b9",
    "questions": "732471e7db7ab9328e170ee4d61a529ba6337434b013354ef7c3d689e14e057a",
    "graphs": "16f9868636bc969899b37efac0937de6c4c10e8d513a5c3dc79fde94830d11b1",
}
SUMS = np.array([[1.0, 0], [3, 1], [5, 1], [2, 0], [9, 3], [7, 0], [1, 1], [2, 1], [4, 0]])
COUNTS = np.array([[1.0, 0], [5, 1], [9, 1], [4, 1], [9, 4], [11, 3], [7, 1], [3, 1], [6, 2]])


def test_draws_and_intervals() -> None:
    draws = stats.ratio_draws(SUMS, COUNTS)
    assert draws.shape == (5000, 2)
    first = next(stats.bootstrap_weights(5))[:3].tolist()
    assert first == [[0, 3, 0, 0, 2], [1, 2, 0, 2, 0], [1, 3, 1, 0, 0]]
    ends_by_column = stats.intervals(SUMS, COUNTS)
    assert ends_by_column == [
        pytest.approx(ends, rel=1e-9)
        for ends in [
            (0.43636363636363634, 0.7894736842105263),
            (0.17647058823529413, 0.8573809523809489),
        ]
    ]
    assert stats.CONFIDENCE == 0.95
    for ends, column in zip(ends_by_column, draws.T, strict=True):
        assert ends == pytest.approx(np.quantile(column[~np.isnan(column)], [0.025, 0.975]))


def test_draws_of_any_number() -> None:
    for number in (1, 499, 500, 501):
        chunks = list(stats.bootstrap_weights(3, num_draws=number))
        assert sum(len(chunk) for chunk in chunks) == number
        assert (np.concatenate(chunks).sum(axis=1) == 3).all()
    one = stats.ratio_draws(SUMS, COUNTS, num_draws=1)
    assert one.shape == (1, 2)


def test_a_draw_with_one_question_counts() -> None:
    sums, counts = np.array([[1.0], [0.0]]), np.array([[1.0], [0.0]])
    draws = stats.ratio_draws(sums, counts)[:, 0]
    assert np.isnan(draws).mean() == pytest.approx(1 / 4, abs=0.03)  # only the empty item twice
    assert (draws[~np.isnan(draws)] == 1).all()


UNEVEN = {
    f"{letter}{n}": word
    for n in (1, 2, 3)
    for letter, word in (("a", "y"), ("b", "yyynn"), ("c", "yynnnnnnn"))
}


def uneven() -> list[list[QuestionRow]]:
    """Nine items of 1, 5 and 9 questions in one category."""
    items, first = [], 2
    for item, word in UNEVEN.items():
        items.append(rows(item, ["0"] * len(word), first=first))
        first += len(word)
    return items


def uneven_result(rule: str) -> Result:
    names = {"y": "yes", "n": "no"}
    answers = {
        (item, 0): {n: names[c] for n, c in enumerate(word, 1)} for item, word in UNEVEN.items()
    }
    return score_items(uneven(), answers, find_rule(rule), num_images=1)


def by_hand(sums: list[float], counts: list[float]) -> tuple[float, float]:
    weights = np.concatenate(list(stats.bootstrap_weights(len(sums))))
    numbers = weights @ np.array(counts)
    ratios = (weights @ np.array(sums))[numbers > 0] / numbers[numbers > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return 100 * float(low), 100 * float(high)


def test_intervals_of_a_category_weigh_items_by_their_questions() -> None:
    result = uneven_result("corrected-v1")
    for category in (result.l1["entity"], result.l2["entity - whole"]):
        assert category.score == pytest.approx(100 * 6 / 15)
        assert category.interval == pytest.approx(by_hand([1, 3, 2] * 3, [1, 5, 9] * 3))
        assert category.questions == category.answers == 45
        assert category.items == 9
    assert result.interval == pytest.approx(by_hand([1, 3 / 5, 2 / 9] * 3, [1] * 9))
    whole = uneven_result("ulmeval")
    assert whole.overall == pytest.approx(40.0)
    assert whole.interval == pytest.approx(by_hand([1, 3, 2] * 3, [1, 5, 9] * 3))


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_score_lies_in_its_interval(rule: str) -> None:
    result = uneven_result(rule)
    scores = [Score(result.overall, result.interval, 9)]
    scores += [s for level in (result.l1, result.l2, result.sources) for s in level.values()]
    assert len(scores) >= 5
    for score in scores:
        assert score.items is not None
        few = score.items < stats.LEAST_ITEMS
        assert few == (score.interval is None)
        if score.interval is not None:
            low, high = score.interval
            assert 0 <= low <= score.score <= high <= 100


@pytest.mark.parametrize("number", [1, 7, 8, 9])
def test_no_interval_from_a_few_items(number: int) -> None:
    sums, counts = np.ones((9, 1)), np.zeros((9, 1))
    counts[:number] = 2.0
    (interval,) = stats.intervals(sums * counts / 2, counts)
    assert (interval is None) == (number < 8)


def test_sources_have_the_scores_and_intervals_of_their_items() -> None:
    items = [rows(f"{source}{n}", ["0"], first=2 + 9 * k + n)
             for k, source in enumerate("ab") for n in range(9)]  # fmt: skip
    yes = {"a": 3, "b": 7}
    answers = {
        (item[0].item_id, 0): {1: "yes" if n % 9 < yes[item[0].item_id[0]] else "no"}
        for n, item in enumerate(items)
    }
    result = score_items(items, answers, find_rule("corrected-v1"), num_images=1)
    for source, number in yes.items():
        entry = result.sources[source]
        hits = [1.0 if n % 9 < number and n // 9 == "ab".index(source) else 0.0 for n in range(18)]
        there = [1.0 if n // 9 == "ab".index(source) else 0.0 for n in range(18)]
        assert entry.score == pytest.approx(100 * number / 9)
        assert entry.interval == pytest.approx(by_hand(hits, there))
        assert entry.items == 9


def test_a_word_in_a_dependency_leaves_the_other_parents_under_ulmeval() -> None:
    item = rows("a1", ["0", "1, red"])
    result = score_items(
        [item], {("a1", 0): {1: "no", 2: "yes"}}, find_rule("ulmeval"), num_images=1
    )
    assert result.items[0].score == 0.0


def test_the_last_of_two_answers_counts() -> None:
    texts = collect([Answer("a", 0, 1, "no"), Answer("a", 0, 1, "yes"), Answer("a", 1, 1, "no")])
    assert texts == {("a", 0): {1: "yes"}, ("a", 1): {1: "no"}}


def test_a_constant_column_correlates_with_nothing() -> None:
    dust = np.array([0.1] * 7 + [0.1 + 2e-17, 0.1 - 1e-16, 0.3 - 0.2])
    other = np.arange(10.0)
    assert len(set(dust)) > 1
    assert pearson(dust, other, np.arange(10)).value is None
    assert pearson(other, dust, np.arange(10)).value is None
    wave = np.array([0.0, 1, 0, 1, 1, 0, 0, 1, 1, 0])
    assert pearson(5 + 1e-8 * wave, other, np.arange(10)).value is None
    plain = pearson(wave, other, np.arange(10)).value
    far = pearson(1e7 + wave, 1e7 + other, np.arange(10))  # where scores lie costs no digits
    assert far.value == pytest.approx(plain, abs=1e-9)
    assert pearson(5 + 1e-4 * wave, other, np.arange(10)).value == pytest.approx(plain, abs=1e-6)
    assert rank_draws(dust, other, np.arange(10)).spearman[0] != 1  # NaN


@given(st.floats(0.001, 0.999))
def test_a_win_is_a_win_however_small(gap: float) -> None:
    first, second = np.array([50.0 + gap, 50.0, 50.0, np.nan]), np.array([50.0, 50.0, 50 + gap, 1])
    assert outcomes(first, second) == (1, 1, 1)


def test_a_difference_with_its_interval() -> None:
    drawn = np.linspace(-1, 3, 401)
    difference: Any = difference_of(1.0, drawn)
    assert difference.interval == pytest.approx((-0.9, 2.9))
    assert difference.p_value == pytest.approx(2 * (1 + 101) / 402)
    assert not difference.significant
