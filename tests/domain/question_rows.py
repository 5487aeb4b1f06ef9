"""Question rows of made-up items, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.result import Result
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answers, score_benchmark


def rows(item: str, dependencies: Sequence[str], first: int = 2, l2: str = "entity - whole"):
    return [
        QuestionRow(
            row=first + index,
            item_id=item,
            text="a prompt",
            keywords="",
            qid=index + 1,
            dependency=dependency,
            category_broad="entity",
            category_detailed="whole",
            tuple=f"{l2} (x)",
            question="?",
        )
        for index, dependency in enumerate(dependencies)
    ]


def benchmark_of(items: Sequence[Sequence[QuestionRow]]) -> Benchmark:
    by_id = {item[0].item_id: tuple(item) for item in items}
    prompts = {item_id: item[0].text for item_id, item in by_id.items()}
    return Benchmark("made-up", Path("made-up.csv"), prompts, by_id)


def score_items(
    items: Sequence[Sequence[QuestionRow]],
    answers: Answers,
    rule: ScoringRule,
    *,
    num_images: int,
    selected: Sequence[str] | None = None,
) -> Result:
    benchmark = benchmark_of(items)
    return score_benchmark(benchmark, answers, rule, num_images=num_images, items=selected)
