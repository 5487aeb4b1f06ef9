"""What makes the proposed questions of a prompt unusable, in words that say how to mend it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from dpgbench.domain.benchmark_findings import check_benchmark
from dpgbench.domain.draft import CATEGORIES, DraftQuestion, draft_rows, has_cycle
from dpgbench.domain.graph import PromptGraph, find_problems
from dpgbench.errors import clipped

_VERBS = (
    "am are can could did do does had has have is may might must shall should was were will would"
)
_FIRST_WORDS = frozenset(_VERBS.split())
_QUOTED = re.compile(r'"([^"]+)"|(?<!\w)\'([^\']+)\'(?!\w)')
_QUOTES = str.maketrans(
    {"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"'}
    | {"\u2018": "'", "\u2019": "'"}
)
_LONGEST_QUESTION, _LONGEST_ARGUMENTS = 400, 300


def draft_faults(
    questions: Sequence[DraftQuestion], prompt: str, *, max_questions: int, item_id: str = "item"
) -> list[str]:
    """Return all that is wrong with a draft, none where it can be used as it is.

    Args:
        questions: after `draft.mended`.
        prompt: that they are about.
        max_questions: how many there may be.
        item_id: of the prompt.
    """
    if not questions:
        return ["there is no question"]
    faults = []
    if len(questions) > max_questions:
        faults.append(f"there are {len(questions)} questions; at most {max_questions} are allowed")
    faults += _of_numbers(questions)
    for question in questions:
        faults += (f"question {question.number}: {fault}" for fault in _of_one(question, prompt))
    faults += _of_repeats(questions)
    if not faults:  # the benchmark's own checks have the last word
        rows = draft_rows(item_id, prompt, questions)
        problems = find_problems([PromptGraph.from_rows(rows)])
        findings = check_benchmark({item_id: prompt}, [rows], problems)
        faults += [finding.message for finding in findings]
    return faults


def quoted_texts(text: str) -> list[str]:
    """Return what stands in quotation marks of any kind; apostrophes are none."""
    return [first or second for first, second in _QUOTED.findall(text.translate(_QUOTES))]


def _of_numbers(questions: Sequence[DraftQuestion]) -> Iterator[str]:
    numbers = [question.number for question in questions]
    for number in sorted({number for number in numbers if numbers.count(number) > 1}):
        yield f"number {number} is used for {numbers.count(number)} questions"
    for question in questions:
        number = question.number
        if number < 1:
            yield f"number {number} is below 1; count questions from 1"
        for parent in question.parents:
            if parent == number:
                yield f"question {number} is its own parent"
            elif parent not in numbers:
                yield f"question {number} has parent {parent}, and there is no question {parent}"
    parents = {q.number: [p for p in q.parents if p != q.number] for q in questions}
    if has_cycle(parents):
        yield "the parents form a cycle: some questions need each other"
    else:
        for place, question in enumerate(questions):
            for parent in question.parents:
                if parent in numbers[place + 1 :]:
                    yield f"question {question.number} comes before its parent {parent}"


def _of_one(question: DraftQuestion, prompt: str) -> Iterator[str]:
    if question.category not in CATEGORIES:
        yield (
            f"category {clipped(question.category)} is none; the categories are "
            f"{', '.join(CATEGORIES)}"
        )
    if not question.arguments.strip(" ,"):
        yield "it does not name what it is about"
    text = question.question
    words = text.split()
    if not words or words[0].casefold() not in _FIRST_WORDS or not text.endswith("?"):
        yield (
            f"{clipped(text)} is not a yes-or-no question: begin with a verb such as Is, Are, Does "
            "or Has, and end with a question mark"
        )
    if text.count("?") > 1:
        yield f"{clipped(text)} asks more than one question"
    if len(text) > _LONGEST_QUESTION or len(question.arguments) > _LONGEST_ARGUMENTS:
        yield "it is far too long; ask about one thing alone"
    if not (text + question.arguments).isprintable():
        yield "it holds characters that cannot be printed"
    seen = _comparable(prompt)
    quoted = dict.fromkeys(quoted_texts(text) + quoted_texts(question.arguments))
    for quote in quoted:
        if _comparable(quote) not in seen:
            yield f"the quoted text {clipped(quote)} is not in the prompt"


def _of_repeats(questions: Sequence[DraftQuestion]) -> Iterator[str]:
    by_tuple: dict[str, int] = {}
    by_text: dict[str, int] = {}
    for question in questions:
        first = by_tuple.setdefault(_comparable(question.tuple), question.number)
        if first != question.number:
            yield f"question {question.number} is about the same as {first}: {question.tuple}"
        first = by_text.setdefault(_comparable(question.question), question.number)
        if first != question.number:
            yield f"question {question.number} asks what {first} asks"


def _comparable(text: str) -> str:
    """Return a text without what typing adds: case, width, kinds of quotation marks, spaces."""
    plain = unicodedata.normalize("NFKC", text.translate(_QUOTES)).casefold()
    return " ".join(plain.split()).strip(" .,;:!")
