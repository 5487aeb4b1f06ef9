"""Agreement of judges: textbook kappas, categories, degenerate tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgbench.domain.aggregate import overall_part, scored_item
from dpgbench.domain.plan import plan_item
from dpgbench.domain.result import ItemScore
from dpgbench.domain.rules import find_rule
from dpgbench.domain.statistics.agreement import Agreement, Booleans, agreements, fleiss
from tests.domain.question_rows import rows


def table(both: int, first: int, second: int, neither: int) -> tuple[Booleans, Booleans]:
    one = [True] * both + [True] * first + [False] * second + [False] * neither
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return np.array(one, dtype=bool), np.array(other, dtype=bool)


def agree(one: Booleans, other: Booleans) -> Agreement:
    items = np.arange(len(one)) // 2
    return agreements(one, other, items, {"all": np.ones(len(one), dtype=bool)})["all"]


def test_cohens_kappa() -> None:
    agreement = agree(*table(20, 5, 10, 15))  # the example of Wikipedia's article
    assert agreement.counts == (20, 5, 10, 15)
    assert agreement.agreement.value == pytest.approx(0.7)
    assert agreement.kappa.value == pytest.approx(0.4)
    assert agreement.kappa.interval
    assert agreement.kappa.interval[0] < 0.4 < agreement.kappa.interval[1]
    # 45 15 25 15 and 25 35 5 35: the same agreement, another kappa
    assert agree(*table(45, 15, 25, 15)).kappa.value == pytest.approx(0.1304, abs=1e-4)
    assert agree(*table(25, 35, 5, 35)).kappa.value == pytest.approx(0.2593, abs=1e-4)


def test_where_chance_alone_agrees_kappa_is_not_defined() -> None:
    agreement = agree(*table(10, 0, 0, 0))
    assert agreement.agreement == (1.0, (1.0, 1.0))
    assert agreement.kappa == (None, None)
    assert agree(*table(8, 2, 0, 0)).kappa.value == 0.0  # one judge is constant
    assert agree(*table(5, 0, 0, 5)).kappa.value == 1.0


def test_groups_and_clusters() -> None:
    one, other = table(4, 1, 1, 4)
    groups = {name: np.arange(10) % 2 == n for n, name in enumerate("ab")}
    by_group = agreements(one, other, np.arange(10), groups)
    assert [sum(entry.counts) for entry in by_group.values()] == [5, 5]
    assert by_group["a"].counts == tuple(np.array(by_group["a"].counts))
    alone = agreements(one[groups["a"]], other[groups["a"]], np.arange(5), {"a": np.ones(5, bool)})
    assert alone["a"].kappa.value == by_group["a"].kappa.value
    # all questions in one item: there is nothing to draw
    single = agreements(one, other, np.zeros(10, dtype=int), {"a": np.ones(10, dtype=bool)})
    assert single["a"].agreement == (0.8, None)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
@settings(max_examples=30, deadline=None)
def test_agreement_does_not_depend_on_who_is_first(pairs: list[tuple[bool, bool]]) -> None:
    one, other = (np.array(column) for column in zip(*pairs, strict=True))
    forth, back = agree(one, other), agree(other, one)
    assert forth.agreement == back.agreement
    assert forth.kappa.value == pytest.approx(back.kappa.value)
    if forth.kappa.value is not None:
        assert -1 <= forth.kappa.value <= 1


def test_fleiss() -> None:
    one, other = table(20, 5, 10, 15)
    group = fleiss(one.astype(int) + other, 2, np.arange(50))
    assert group.questions == 50
    assert group.all_agree.value == pytest.approx(0.7)
    # with two judges it is Scott's pi: (0.7 - 0.505) / (1 - 0.505)
    assert group.kappa.value == pytest.approx(0.195 / 0.495)
    # three judges, four questions with 3, 2, 1 and 0 yes: P = (1 + 1/3 + 1/3 + 1) / 4, chance 1/2
    three = fleiss(np.array([3, 2, 1, 0]), 3, np.arange(4))
    assert three.kappa.value == pytest.approx((2 / 3 - 1 / 2) / (1 / 2))
    assert three.all_agree.value == 0.5
    assert fleiss(np.array([3, 3]), 3, np.arange(2)).kappa == (None, None)


def test_what_an_item_adds_to_the_overall() -> None:
    plan = plan_item(rows("a", ["0", "0"]), find_rule("corrected-v1"), 0)
    item = scored_item(plan, [(True, True)] * 2, [(True, True), (True, False)])
    assert overall_part(item, find_rule("corrected-v1")) == (0.75, 1)
    assert overall_part(item, find_rule("ulmeval")) == (3.0, 4)
    lost = ItemScore("b", (), failure="no answers")
    assert overall_part(lost, find_rule("dsg")) == (0.0, 1)
