"""An item's plan: the graph that is at hand is taken only where the rule sees all of its rows."""

from __future__ import annotations

from dataclasses import replace

from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.plan import plan_item
from dpgbench.domain.result import CategoryScore, Score
from dpgbench.domain.rules import find_rule
from tests.domain.question_rows import rows


def test_a_graph_at_hand_changes_no_plan() -> None:
    item = rows("a1", ["0", "1", "2", "0"])
    graph = PromptGraph.from_rows(item)
    rule = find_rule("corrected-v1")
    for walks in (rule, replace(rule, skip_first_row=True)):
        for first_row in (2, 99):
            alone = plan_item(item, walks, first_row)
            assert plan_item(item, walks, first_row, graph) == alone
    skipped = plan_item(item, replace(rule, skip_first_row=True), 2, graph)
    assert [question.qid for question in skipped.questions] == [2, 3, 4]


def test_over_how_many_things_a_score_is() -> None:
    assert Score(50.0, items=7).number == 7
    assert Score(50.0).number == 0
    assert CategoryScore(50.0, items=7, questions=3).number == 3
