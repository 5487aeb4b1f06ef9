"""Result files of a run: `<rule>.json` and `<rule>.items.csv`."""

from __future__ import annotations

import csv
import io
from typing import Any

from dpgbench.domain.aggregate import SCHEMA, Result
from dpgbench.domain.rows import item_source
from dpgbench.jobs.subject import Subject
from dpgbench.store.files import write_atomic, write_json


def write_result(subject: Subject, judge: str, result: Result) -> dict[str, Any]:
    """Write a result and its table of items into the run, and return the result's fields."""
    record = {
        "schema": SCHEMA,
        "rule": result.rule.name,
        "judge": judge,
        "benchmark": subject.benchmark.name,
        "benchmark_sha256": subject.benchmark.graphs_sha256,
        "model": subject.manifest.model,
        "num_tiles": subject.num_tiles,
        **result.body,
        "notes": subject.manifest.notes,
    }
    write_json(subject.run.scores(judge, result.rule.name), record)
    write_atomic(subject.run.item_scores(judge, result.rule.name), items_csv(result))
    return record


def items_csv(result: Result) -> str:
    """Return the table of items: id, source, score and each tile's score times 100, failure."""
    num_tiles = max((len(item.tiles) for item in result.items), default=0)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    tiles = [f"tile_{tile}" for tile in range(num_tiles)]
    writer.writerow(["item_id", "source", "score", *tiles, "questions", "failure"])
    for item in result.items:
        scores = [str(100 * score) for score in item.tile_scores] or [""] * num_tiles
        failure = result.body["failures"].get(item.item_id, "")
        total = str(100 * item.score) if item.tiles else ""
        row = [item.item_id, item_source(item.item_id), total, *scores, len(item.plan), failure]
        writer.writerow(row)
    return buffer.getvalue()
