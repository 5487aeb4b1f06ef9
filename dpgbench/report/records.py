"""What lies in a run directory, read and checked: the manifest, score files, tables of items.

Nothing is computed here; a file that is not what it must be ends in an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.domain.aggregate import SCHEMA, Interval
from dpgbench.errors import DataError
from dpgbench.store.files import read_json
from dpgbench.store.manifest import Manifest, read_manifest
from dpgbench.store.rundir import RunDir
from dpgbench.store.tables import read_table

_MANIFEST_FIELDS: Mapping[str, type] = {
    "model": str,
    "num_images": int,
    "items": list,
    "notes": list,
    "commands": list,
    "identity": dict,
    "benchmark": dict,
    "generation": dict,
    "judges": dict,
    "environment": dict,
}


@dataclass(frozen=True)
class Figure:
    """A score of 0 to 100 with its interval, and how many things it is over.

    Attributes:
        score: None where there was nothing to average.
        number: questions of a category, or items of a source.
        raw: the same before zeroing, where the rule reports both.
    """

    score: float | None
    interval: Interval = None
    number: int = 0
    raw: float | None = None


class ItemFigure(NamedTuple):
    """One item's score, 0 to 100, None where it has none; `questions` were asked of each tile."""

    score: float | None
    questions: int


@dataclass(frozen=True)
class ScoreFile:
    """One judge's result under one rule.

    Attributes:
        warnings: how often each kind of warning occurred.
        num_tiles: images per prompt that were scored; None where the file does not tell.
        items: each expected item's score; empty where the table of items is not at hand.
    """

    path: Path
    rule: str
    judge: str
    benchmark: str
    overall: float | None
    interval: Interval
    items_scored: int
    items_expected: int
    failures: Mapping[str, str]
    l1: Mapping[str, Figure]
    l2: Mapping[str, Figure]
    sources: Mapping[str, Figure]
    warnings: Mapping[str, int]
    num_tiles: int | None = None
    items: Mapping[str, ItemFigure] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class RunRecord:
    """A run with everything that the report says about it."""

    run: RunDir
    manifest: Manifest
    results: tuple[ScoreFile, ...]


def read_record(run: RunDir) -> RunRecord:
    """Return what `run` holds.

    Raises:
        DataError: it is no run, was not scored yet, or holds a damaged file.
    """
    manifest = read_manifest(run)
    _check(run, manifest)
    paths = run.score_files()
    if not paths:
        raise DataError(
            f"{run.path} has no scores yet; make them with 'dpgbench score {run.path}', "
            "then report again"
        )
    return RunRecord(run, manifest, tuple(read_score_file(path) for path in paths))


def _check(run: RunDir, manifest: Manifest) -> None:
    for name, kind in _MANIFEST_FIELDS.items():
        value = getattr(manifest, name)
        parts = manifest.judges.values() if name == "judges" and isinstance(value, dict) else ()
        if not isinstance(value, kind) or not all(isinstance(part, dict) for part in parts):
            raise DataError(f"{run.manifest} is damaged: {name} is {value!r:.60}; restore it")


def read_score_file(path: Path) -> ScoreFile:
    """Return the result in one score file.

    Raises:
        DataError: it is not JSON, of another schema, or a field is absent or of another type.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise DataError(
            f"{path} is not a score file of schema {SCHEMA}; score the run again with this version"
        )
    try:
        return _score_file(path, record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path} is damaged ({type(error).__name__}: {error}); score the run again"
        ) from None


def _score_file(path: Path, record: Mapping[str, Any]) -> ScoreFile:
    tiles = record.get("num_tiles")
    return ScoreFile(
        path=path,
        rule=_text(record["rule"]),
        judge=_text(record["judge"]),
        benchmark=_text(record["benchmark"]),
        overall=_number(record["overall"]),
        interval=_interval(record["interval"]),
        items_scored=_count(record["items_scored"]),
        items_expected=_count(record["items_expected"]),
        failures={_text(key): str(reason) for key, reason in record["failures"].items()},
        l1=_figures(record["l1"], "questions"),
        l2=_figures(record["l2"], "questions"),
        sources=_figures(record["sources"], "items"),
        warnings={_text(kind): _count(number) for kind, number in record["warnings"].items()},
        num_tiles=None if tiles is None else _count(tiles),
        items=read_item_scores(path.with_suffix(".items.csv")),
    )


def read_item_scores(path: Path) -> dict[str, ItemFigure]:
    """Return the score of each item in a table of items; nothing where there is no such table.

    Raises:
        DataError: it lacks a column, or a figure is not a number.
    """
    if not path.exists():
        return {}
    found: dict[str, ItemFigure] = {}
    for number, cells in read_table(path, ("item_id", "score", "questions")):
        try:
            score = _number(float(cells["score"])) if cells["score"] else None
            found[cells["item_id"]] = ItemFigure(score, int(cells["questions"]))
        except (TypeError, ValueError):
            raise DataError(
                f"{path} row {number} (item {cells['item_id']}): {cells['score']!r} or "
                f"{cells['questions']!r} is not a number; score the run again"
            ) from None
    return found


def _figures(entries: Mapping[str, Any], number: str) -> dict[str, Figure]:
    return {
        _text(name): Figure(
            _number(entry["score"]),
            _interval(entry.get("interval")),
            _count(entry[number]),
            _number(entry.get("raw")),
        )
        for name, entry in entries.items()
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _number(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise TypeError(f"{value!r} is not a count")
    return value


def _interval(value: Any) -> Interval:
    if value is None:
        return None
    low, high = (_number(end) for end in value)
    if low is None or high is None:
        raise TypeError(f"{value!r} is not an interval")
    return low, high
