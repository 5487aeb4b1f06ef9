"""Runs whose right answers are known: all drawn right, or one attribute of a scene changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import pytest

from dpgbench import Answer, Benchmark, load_benchmark, score_answers
from dpgbench.shapes import (
    Item,
    Question,
    Scene,
    answer,
    benchmark_items,
    dependents,
    hard_negative,
)
from tests.embedded.graded_answers import JUDGE, AskedScene, GradedAnswer, confusion, graded_answers
from tests.embedded.own_classes import items_by_id
from tests.helpers import Run

ORACLE = ("generate", "--model", "tests.embedded.own_classes:Oracle", "--bench", "shapes")
ONLY_ITEMS = "few_001,few_030,many_005,many_041,nested_002,nested_050"
LEAST_SCORE = 95
EVERY = 4  # one in so many items is shown to the judge
CHANGES_AN_ITEM = 3
LEAST_CHANGED_SEEN = 0.95
LEAST_REST_KEPT = 0.98


class Changed(NamedTuple):
    """An item's question, and a scene that differs in one respect and fails it."""

    item: Item
    question: Question
    scene: Scene

    @property
    def lost(self) -> frozenset[int]:
        """The question, and what depends on it."""
        return dependents(self.item.questions, self.question.number)


def changed(item: Item, question: Question) -> Changed:
    other = hard_negative(item.scene, question, item.questions)
    assert other is not None
    return Changed(item, question, other)


@cache
def shapes() -> Benchmark:
    return load_benchmark("shapes")


def kept_by(item: Item, texts: Sequence[str], rule: str) -> set[int]:
    """The questions that still count under a rule when one tile of an item is answered so."""
    numbered = zip(item.questions, texts, strict=True)
    answers = [Answer(item.item_id, 0, question.number, text) for question, text in numbered]
    result = score_answers(shapes(), answers, rule, items=[item.item_id])
    return {qid for qid, verdict in result.items[0].tiles[0].items() if verdict.gated}


@pytest.mark.parametrize("rule", ["corrected-v1", "ella-reference", "ulmeval"])
@pytest.mark.parametrize("item_id", ONLY_ITEMS.split(","))
def test_with_true_answers_one_change_loses_its_question_and_what_depends_on_it(
    item_id: str, rule: str
) -> None:
    item = items_by_id()[item_id]
    every = {question.number for question in item.questions}
    assert kept_by(item, [answer(q, item.scene) for q in item.questions], rule) == every
    for question in item.questions:
        change = changed(item, question)
        true = [answer(q, change.scene) for q in item.questions]
        assert kept_by(item, true, rule) == every - change.lost


def test_a_run_of_right_pictures_read_without_fault_scores_100(run: Run) -> None:
    drawn = run(*ORACLE, "--out", "r", "--num-images", 1, "--items", ONLY_ITEMS)
    assert drawn.code == 0, drawn.err
    ended = run("score", "r", "--judge", "tests.embedded.own_classes:Detector", "--json")
    assert ended.code == 0, ended.err
    results = json.loads(ended.out)["results"]
    assert [result["overall"] for result in results] == [100, 100]
    assert [result["items_scored"] for result in results] == [6, 6]


def test_a_run_of_right_pictures_scores_at_least_95(run: Run) -> None:
    """`ella-reference` loses the first item of every file, by its own defect."""
    items = [item.item_id for item in benchmark_items()[::EVERY]]
    assert run(*ORACLE, "--out", "r", "--items", ",".join(items)).code == 0
    ended = run("score", "r", "--judge", JUDGE, "--device", "cpu", "--json")
    assert ended.code == 0, ended.err
    reference, corrected = json.loads(ended.out)["results"]
    assert (reference["rule"], corrected["rule"]) == ("ella-reference", "corrected-v1")
    assert reference["failed_items"] == ["few_000"]
    assert reference["items_scored"] == corrected["items_scored"] - 1 == len(items) - 1
    assert reference["overall"] >= LEAST_SCORE
    assert corrected["overall"] >= LEAST_SCORE


@pytest.fixture(scope="module")
def asked() -> list[tuple[Changed, list[GradedAnswer]]]:
    """Everything asked about pictures of changed scenes."""
    edits = []
    for number, item in enumerate(benchmark_items()[::EVERY]):
        graph = item.questions
        steps = [step * len(graph) // CHANGES_AN_ITEM for step in range(CHANGES_AN_ITEM)]
        edits += [changed(item, graph[(number + step) % len(graph)]) for step in steps]
    scenes: list[AskedScene] = [(edit.scene, edit.item.questions) for edit in edits]
    return list(zip(edits, graded_answers(scenes), strict=True))


def test_the_judge_sees_one_change(asked: list[tuple[Changed, list[GradedAnswer]]]) -> None:
    matching = [
        reply
        for change, answered in asked
        for reply in answered
        if reply.question == change.question
    ]
    assert len(matching) == len(asked) == 150
    share = sum(reply.text == "no" for reply in matching) / len(matching)
    assert share >= LEAST_CHANGED_SEEN, confusion(matching)


def test_the_judge_keeps_what_was_not_changed(
    asked: list[tuple[Changed, list[GradedAnswer]]],
) -> None:
    matching = [
        reply
        for change, answered in asked
        for reply in answered
        if reply.question.number not in change.lost
    ]
    assert len(matching) >= 1000
    assert {reply.truth for reply in matching} == {"yes"}
    share = sum(reply.text == "yes" for reply in matching) / len(matching)
    assert share >= LEAST_REST_KEPT, confusion(matching)


def test_what_depends_on_a_change_that_was_seen_is_lost(
    asked: list[tuple[Changed, list[GradedAnswer]]],
) -> None:
    for change, answered in asked:
        texts = [reply.text for reply in answered]
        if texts[change.question.number - 1] == "no":
            assert not kept_by(change.item, texts, "corrected-v1") & change.lost
