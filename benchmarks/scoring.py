"""How long scoring takes: 1,065 made-up items x 4 tiles x 13 questions, all rules.

    python -m benchmarks.scoring

Answers are random; only the time counts.
"""

from __future__ import annotations

import argparse
import random
import time

from dpgbench.domain.aggregate import score_answers
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import RULES

L2 = ("entity - whole", "attribute - color", "relation - spatial", "global -", "other - count")


def make(num_items: int, num_questions: int) -> list[list[QuestionRow]]:
    rng = random.Random(0)
    items, row = [], 2
    for number in range(num_items):
        rows = []
        for qid in range(1, num_questions + 1):
            parents = "0" if qid < 3 else str(rng.randrange(1, qid))
            category = rng.choice(L2)
            rows.append(
                QuestionRow(
                    row, f"item{number}", "a prompt", "", qid, parents,
                    category.split(" ")[0], "x", f"{category} (x)", "?",
                )
            )  # fmt: skip
            row += 1
        items.append(rows)
    return items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1065)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--questions", type=int, default=13)
    options = parser.parse_args()
    items = make(options.items, options.questions)
    rng = random.Random(1)
    answers = {
        (rows[0].item_id, tile): {r.qid: rng.choice(("yes", "yes", "no")) for r in rows}
        for rows in items
        for tile in range(options.tiles)
    }
    for rule in RULES.values():
        started = time.perf_counter()
        result = score_answers(items, answers, rule, num_tiles=options.tiles)
        print(f"{rule.name}: {time.perf_counter() - started:.2f} s, overall {result.overall:.2f}")


if __name__ == "__main__":
    main()
