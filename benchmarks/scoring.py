"""How long scoring takes: 1,065 made-up items x 4 tiles x 13 questions, all rules, one core.

    python -m benchmarks.scoring
    python -m benchmarks.scoring --against ../other-checkout --rounds 5

Answers are random; only the time counts. With `--against`, processes of both checkouts take turns,
and the ratio is the median over rounds. The last commit that drew anew for each average and
planned each item for each rule (`dpgbench/domain/stats.py` was still there) took 3.0 s of
processor time for all rules on a core where 1.1 s are taken now: 2.7 times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import RULES

L2 = ("entity - whole", "attribute - color", "relation - spatial", "global -", "other - count")

Answers = dict[tuple[str, int], dict[int, str]]


def make_items(num_items: int, num_questions: int) -> list[list[QuestionRow]]:
    """Return the rows of made-up items, the same each time."""
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


def make_answers(items: list[list[QuestionRow]], num_images: int) -> Answers:
    """Return an answer to each question about each tile, two thirds of them yes."""
    rng = random.Random(1)
    return {
        (rows[0].item_id, tile): {row.qid: rng.choice(("yes", "yes", "no")) for row in rows}
        for rows in items
        for tile in range(num_images)
    }


def scorer(items: list[list[QuestionRow]], answers: Answers, num_images: int) -> Callable[..., Any]:
    """Return what scores under a rule, in this checkout or in one before results were typed."""
    try:
        from dpgbench.domain.benchmark import Benchmark
        from dpgbench.domain.score import score_benchmark
    except ImportError:
        from dpgbench.domain import aggregate

        old: Callable[..., Any] = vars(aggregate)["score_answers"]
        return lambda rule: old(items, answers, rule, num_tiles=num_images)
    by_id = {rows[0].item_id: tuple(rows) for rows in items}
    prompts = {item_id: rows[0].text for item_id, rows in by_id.items()}
    benchmark = Benchmark("made-up", Path("made-up.csv"), prompts, by_id)
    return lambda rule: score_benchmark(benchmark, answers, rule, num_images=num_images)


def measure(num_items: int, num_images: int, num_questions: int) -> dict[str, float]:
    """Return the seconds of processor time that each rule takes, in this process's checkout."""
    items = make_items(num_items, num_questions)
    score = scorer(items, make_answers(items, num_images), num_images)
    seconds = {}
    for rule in RULES.values():
        started = time.process_time()
        score(rule)
        seconds[rule.name] = time.process_time() - started
    return seconds


def measure_in(checkout: Path, sizes: list[str]) -> dict[str, float]:
    """Return what `measure` does in a new process on one core, with the code of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    command = [sys.executable, str(Path(__file__).resolve()), "--json", *sizes]
    done = subprocess.run(
        command, env=environment, cwd=checkout, check=True, capture_output=True, text=True
    )
    seconds: dict[str, float] = json.loads(done.stdout)
    return seconds


def compare(other: Path, rounds: int, sizes: list[str]) -> None:
    """Print the seconds of both checkouts, taking turns, and the median of their ratios."""
    here = Path(__file__).resolve().parents[1]
    ratios = []
    for number in range(1, rounds + 1):
        before, now = (sum(measure_in(code, sizes).values()) for code in (other, here))
        ratios.append(before / now)
        print(f"round {number}: {before:.2f} s there, {now:.2f} s here, ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}, lowest {min(ratios):.2f}")


def main() -> None:
    """Measure, and compare where another checkout is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=1065)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--questions", type=int, default=13)
    parser.add_argument("--against", type=Path, help="another checkout, for a paired run")
    parser.add_argument("--rounds", type=int, default=5, help="of the paired run")
    parser.add_argument("--json", action="store_true", help="print the seconds by rule alone")
    options = parser.parse_args()
    sizes = [f"--items={options.items}", f"--tiles={options.tiles}"]
    sizes += [f"--questions={options.questions}"]
    if options.against:
        compare(options.against, options.rounds, sizes)
        return
    if options.json:
        print(json.dumps(measure(options.items, options.tiles, options.questions)))
        return
    seconds = measure_in(Path(__file__).resolve().parents[1], sizes)
    for rule, taken in seconds.items():
        print(f"{rule}: {taken:.2f} s")
    print(f"all rules: {sum(seconds.values()):.2f} s of processor time")


if __name__ == "__main__":
    main()
