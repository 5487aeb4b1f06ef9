"""Questions that a judge makes of prompts itself, as rows of a benchmark.

A judge of T2I-CompBench asks a prompt's noun chunks, or gives the whole prompt a number; a
benchmark's own questions are not for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.rows import QUESTION_SLOT, QuestionRow, item_source

FIRST_ROW = 2
PROMPT_SLOT = "{prompt}"
CHUNK = "noun chunk"
PROMPT = "prompt"
WHOLE = "whole prompt"
"""What a question of a judge, or of a rule, is about."""


class OwnQuestion(NamedTuple):
    """A question that a judge made.

    Attributes:
        item_id: of the prompt.
        qid: number within the item, from 1.
        question: as it is asked; empty where there is nothing to ask.
        category: of the item.
        about: `CHUNK`, `PROMPT`, or `WHOLE`, which a rule asks and words itself.
    """

    item_id: str
    qid: int
    question: str
    category: str
    about: str


def category_of(item_id: str) -> str:
    """Return the category of an item that its id names: ``non_spatial_001`` is non-spatial."""
    return item_source(item_id).replace("_", "-")


def prompt_questions(benchmark: Benchmark, items: Iterable[str]) -> list[OwnQuestion]:
    """Return one question an item, which is the prompt."""
    return [
        OwnQuestion(item_id, 1, benchmark.prompts[item_id], category_of(item_id), PROMPT)
        for item_id in items
    ]


def whole_prompt_questions(
    benchmark: Benchmark, items: Iterable[str], question: str
) -> list[OwnQuestion]:
    """Return one question an item: `question` with the prompt in place of ``{prompt}``."""
    return [
        OwnQuestion(
            item_id,
            1,
            question.replace(PROMPT_SLOT, benchmark.prompts[item_id]),
            category_of(item_id),
            WHOLE,
        )
        for item_id in items
    ]


def chunk_questions(chunks: Mapping[str, Sequence[str]]) -> list[OwnQuestion]:
    """Return a question for each of an item's chunks, in order.

    An item without a chunk has one empty question, for its image counts all the same.

    Args:
        chunks: questions by item id.
    """
    return [
        OwnQuestion(item_id, qid, question, category_of(item_id), CHUNK)
        for item_id, questions in chunks.items()
        for qid, question in enumerate(questions or ("",), 1)
    ]


def with_own_questions(benchmark: Benchmark, questions: Sequence[OwnQuestion]) -> Benchmark:
    """Return the benchmark with these questions in place of its own."""
    items: dict[str, list[QuestionRow]] = {}
    for place, asked in enumerate(questions):
        row = QuestionRow(
            row=FIRST_ROW + place,
            item_id=asked.item_id,
            text=benchmark.prompts.get(asked.item_id, ""),
            keywords="",
            qid=asked.qid,
            dependency="0",
            category_broad=asked.category,
            category_detailed=asked.about,
            tuple=f"{asked.category} - {asked.about}",
            question=asked.question,
            template=QUESTION_SLOT if asked.about == WHOLE else "",
        )
        items.setdefault(asked.item_id, []).append(row)
    rows = {item_id: tuple(of_item) for item_id, of_item in items.items()}
    return replace(benchmark, items=rows, is_list=False)
