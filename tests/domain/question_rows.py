"""Question rows of one made-up item."""

from __future__ import annotations

from collections.abc import Sequence

from dpgbench.domain.rows import QuestionRow


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
