"""Result files of a run: `<rule>.json` and `<rule>.items.csv`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dpgbench.domain.aggregate import SCHEMA, Result
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.rows import item_source
from dpgbench.domain.spec import canonical_json
from dpgbench.errors import counted
from dpgbench.jobs.target import Target
from dpgbench.store.csv_rows import csv_text
from dpgbench.store.files import write_atomic, write_json


@dataclass(frozen=True)
class Subset:
    """Items of a benchmark that are not all of it, and what a result over them is called.

    Attributes:
        items: how many there are.
        of: how many the benchmark has.
        items_sha256: over the sorted ids: the same items, however they were chosen.
        choice: in words: ``first 10``, ``source COCO``, or ``3 items``.
    """

    items: int
    of: int
    items_sha256: str
    choice: str

    @property
    def file_part(self) -> str:
        """What the subset's result files have after the rule's name."""
        return f"@{self.items_sha256[:8]}"

    def __str__(self) -> str:
        """Return ``10 of 1,065 items (first 10)``."""
        return f"{self.items:,} of {self.of:,} items ({self.choice})"


def find_subset(benchmark: Benchmark, items: Sequence[str]) -> Subset | None:
    """Return what part of the benchmark `items` are; None where they are all of it."""
    chosen = set(items)
    if len(chosen) >= len(benchmark.prompts):
        return None
    text = canonical_json(sorted(chosen))
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return Subset(len(chosen), len(benchmark.prompts), digest, _choice(benchmark, chosen))


def _choice(benchmark: Benchmark, chosen: set[str]) -> str:
    """Return the shortest words for which items were chosen, by what they are."""
    if chosen == set(list(benchmark.prompts)[: len(chosen)]):
        return f"first {len(chosen):,}"
    sources = sorted({item_source(item_id) for item_id in chosen})
    whole = {item_id for item_id in benchmark.prompts if item_source(item_id) in sources}
    if chosen == whole:
        return f"source{'s' * (len(sources) > 1)} {', '.join(sources)}"
    return counted(len(chosen), "item")


def part_of_run(subject: Target) -> str:
    """Return what names a result over fewer items than the run set out to do, else "".

    So it never replaces the result over all of them.
    """
    subset = find_subset(subject.benchmark, subject.items)
    narrower = set(subject.items) < set(subject.manifest.items)
    return subset.file_part if subset and narrower else ""


def write_result(subject: Target, judge: str, result: Result) -> dict[str, Any]:
    """Write a result and its table of items into the run, and return the result's fields."""
    subset = find_subset(subject.benchmark, subject.items)
    record = {
        "schema": SCHEMA,
        "rule": result.rule.name,
        "judge": judge,
        "benchmark": subject.benchmark.name,
        "benchmark_sha256": subject.benchmark.graphs_sha256,
        "model": subject.manifest.model,
        "num_tiles": subject.num_images,
        "subset": subset and vars(subset),
        **result.body,
        "notes": [*subject.manifest.notes, *result.notes],
    }
    place = (judge, result.rule.name, part_of_run(subject))
    write_json(subject.run.scores(*place), record, scratch=subject.run.path)
    write_atomic(subject.run.item_scores(*place), items_csv(result), scratch=subject.run.path)
    return record


def items_csv(result: Result) -> str:
    """Return the table of items: id, source, score and each tile's score times 100, failure."""
    num_tiles = max((len(item.tiles) for item in result.items), default=0)
    tiles = [f"tile_{tile}" for tile in range(num_tiles)]
    header = ["item_id", "source", "score", *tiles, "questions", "failure"]
    rows: list[list[object]] = []
    for item in result.items:
        scores: list[object] = [100 * score for score in item.tile_scores]
        scores = scores or [None] * num_tiles
        failure = result.body["failures"].get(item.item_id, "")
        total = 100 * item.score if item.tiles else None
        rows.append(
            [item.item_id, item_source(item.item_id), total, *scores, len(item.plan), failure]
        )
    return csv_text(header, rows)
