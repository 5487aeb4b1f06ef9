"""Graphs of captions of shapes, read by rules: no model, no cost, the same each time."""

from __future__ import annotations

from dpgbench.domain.draft import DraftQuestion, mended
from dpgbench.domain.draft_checks import draft_faults
from dpgbench.domain.draft_flags import flags_of
from dpgbench.domain.rows import parse_dependency
from dpgbench.jobs.make.conversation import MadeGraph
from dpgbench.shapes.parse import parse_caption


def make_shapes_graph(item_id: str, prompt: str, max_questions: int) -> MadeGraph:
    """Return the graph of a caption, or why it has none."""
    try:
        rows = parse_caption(prompt)
    except ValueError as error:
        return MadeGraph(reason=f"no caption of shapes: {error}", mode="shapes")
    draft = [_question(row) for row in rows]
    questions, repairs = mended(draft, prompt)
    faults = draft_faults(questions, prompt, max_questions=max_questions, item_id=item_id)
    if faults:
        reason = "; ".join(faults[:3])
        return MadeGraph(reason=reason, faults=tuple(faults), mode="shapes")
    return MadeGraph(questions, flags_of(questions, prompt), "", (), repairs, "shapes")


def _question(row: dict[str, str]) -> DraftQuestion:
    broad, detailed = row["category_broad"], row["category_detailed"]
    return DraftQuestion(
        number=int(row["proposition_id"]),
        category=f"{broad} - {detailed}" if detailed else broad,
        arguments=row["tuple"].partition("(")[2].strip().removesuffix(")"),
        question=row["question_natural_language"],
        parents=tuple(parse_dependency(row["dependency"])[0]),
        span=row.get("keywords", ""),
    )
