"""DPG-Bench, DSG-1k and `shapes` give the numbers that they gave before right answers had a column.

`golden/figures.json` was written by the release before; a figure is a hash of all there are.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import dpgbench
from dpgbench import Answer, Benchmark
from dpgbench.errors import DataError
from dpgbench.store.recorded_answers import read_recorded_answers
from tests.helpers import GOLDEN

RULES = ("ella-reference", "corrected-v1", "dsg", "ulmeval", "diffusionbench")
TILES = 4


def drawn(benchmark: Benchmark, seed: int) -> list[Answer]:
    """Return an answer to each question of each of four tiles."""
    draw = random.Random(seed)
    texts = ["no", "no", "Yes", "maybe", "1"]
    return [
        Answer(row.item_id, tile, row.qid, "yes" if draw.random() < 0.8 else draw.choice(texts))
        for row in benchmark.rows
        for tile in range(TILES)
    ]


def figures(benchmark: Benchmark, answers: Iterable[Answer], tiles: int) -> dict[str, Any]:
    """Return the hashes of a benchmark, and under each rule the overall and a hash of the rest."""
    answers = list(answers)
    of_all: dict[str, Any] = {
        name: getattr(benchmark, name)
        for name in ("prompts_sha256", "questions_sha256", "graphs_sha256")
    }
    for rule in RULES:
        try:
            result = dpgbench.score_answers(benchmark, answers, rule, num_tiles=tiles)
        except DataError:
            of_all[rule] = "refused"
            continue
        rest = {
            "interval": result.interval,
            "l1": {name: [v.score, v.interval] for name, v in sorted(result.l1.items())},
            "l2": {name: v.score for name, v in sorted(result.l2.items())},
            "items": [[i, v.score, v.failure] for i, v in sorted(result.item_figures.items())],
        }
        text = json.dumps(rounded(rest), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        of_all[rule] = {"overall": result.overall, "sha256": digest}
    return of_all


def rounded(value: Any) -> Any:
    """Return nested data with figures of six digits, which no platform's sums differ in."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    return value


def check(name: str, present: dict[str, Any]) -> None:
    before = json.loads((GOLDEN / "figures.json").read_text(encoding="utf-8"))[name]
    for rule in RULES:
        if before[rule] != "refused":
            assert present[rule].pop("overall") == pytest.approx(before[rule].pop("overall"))
    assert present == before


def test_shapes() -> None:
    benchmark = dpgbench.load_benchmark("shapes")
    check("shapes", figures(benchmark, drawn(benchmark, 16), TILES))


def test_dpg_bench(shared: Path) -> None:
    path = shared / "data/dpg_bench_100/dpg_bench_100.csv"
    benchmark = dpgbench.load_benchmark(str(path))
    check("dpg_bench_100", figures(benchmark, drawn(benchmark, 17), TILES))


def test_dsg_1k(shared: Path) -> None:
    benchmark = dpgbench.load_benchmark(str(shared / "data/dsg1k/dsg-1k-anns.csv"))
    answers = read_recorded_answers(shared / "data/dsg1k/mplug_dsg.csv", {"t2i_model": "sd2dot1"})
    check("dsg1k", figures(benchmark, answers, 1))
