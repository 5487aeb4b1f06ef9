"""The graphs that a language model is shown before it makes one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from dpgbench.domain.draft import DraftQuestion, mended
from dpgbench.domain.draft_checks import draft_faults
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.spec import canonical_json
from dpgbench.errors import DataError
from dpgbench.store.benchmarks import load_csv

OWN_EXAMPLES = Path(__file__).parent / "examples.csv"
"""Two long prompts with a question of every category between them."""
_MOST_QUESTIONS = 1_000


@dataclass(frozen=True)
class Example:
    """A prompt and its graph."""

    prompt: str
    questions: tuple[DraftQuestion, ...]

    @property
    def as_json(self) -> str:
        """The graph as a model is to write it, an object with a line a question."""
        lines = [
            json.dumps(_as_object(question), ensure_ascii=False) for question in self.questions
        ]
        return '{"questions": [\n' + ",\n".join(lines) + "\n]}"

    @property
    def tuple_lines(self) -> str:
        """The tuples, a numbered line each."""
        return numbered((question.number, question.tuple) for question in self.questions)

    @property
    def question_lines(self) -> str:
        """The questions, a numbered line each."""
        return numbered((question.number, question.question) for question in self.questions)

    @property
    def parent_lines(self) -> str:
        """The parents, a numbered line each."""
        return numbered(
            (question.number, ", ".join(map(str, question.parents)) or "-")
            for question in self.questions
        )


def numbered(lines: Iterable[tuple[int, str]]) -> str:
    """Return (number, text) pairs as lines such as ``1 | text``."""
    return "\n".join(f"{number} | {text}" for number, text in lines)


def load_examples(path: Path | None = None) -> tuple[Example, ...]:
    """Return the examples of a file of questions in DPG-Bench's columns; None is our own.

    Raises:
        DataError: it cannot be read, or a graph in it is not what a model should learn.
    """
    path = path or OWN_EXAMPLES
    benchmark = load_csv(path, path.stem)
    examples = []
    for item_id, rows in benchmark.items.items():
        prompt = benchmark.prompts[item_id]
        questions = mended(draft_of(rows), prompt).questions
        faults = draft_faults(questions, prompt, max_questions=_MOST_QUESTIONS)
        if faults:
            raise DataError(
                f"{path} item {item_id} is no example of a good graph: {faults[0]}; mend it, or "
                "leave the item out"
            )
        examples.append(Example(prompt, questions))
    return tuple(examples)


def draft_of(rows: Iterable[QuestionRow]) -> list[DraftQuestion]:
    """Return the rows of an item as proposed questions."""
    return [_question(row) for row in rows]


def digest_of(examples: tuple[Example, ...]) -> str:
    """Return a SHA-256 over examples."""
    value = [[example.prompt, example.as_json] for example in examples]
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def _question(row: QuestionRow) -> DraftQuestion:
    return DraftQuestion(
        number=row.qid,
        category=row.meant_category.l2,
        arguments=row.tuple.partition("(")[2].strip().removesuffix(")"),
        question=row.question,
        parents=row.parents.numbers,
        span=row.keywords,
    )


def _as_object(question: DraftQuestion) -> dict[str, object]:
    return {
        "id": question.number,
        "span": question.span,
        "category": question.category,
        "about": question.arguments,
        "question": question.question,
        "parents": list(question.parents),
    }
