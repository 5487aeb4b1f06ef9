"""What lies in a run directory, read and checked: the manifest, score files, tables of items.

Nothing is computed here; a file that is not what it must be ends in an error that names it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.domain.aggregate import SCHEMA, Interval
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS
from dpgbench.domain.subset import Subset, read_subset
from dpgbench.errors import DataError, reason_of
from dpgbench.store.csv_rows import as_written, read_table
from dpgbench.store.files import read_json
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import Manifest, read_manifest

# Why a rule gives an answered item no score, in the words of `domain.score`; any other reason is
# that pictures or answers are not there.
_LOST_BY_THE_RULE = (
    "which is not among the questions that this rule sees",
    "its only row is the file's first, which this rule skips",
)


@dataclass(frozen=True)
class Figure:
    """A score of 0 to 100 with its interval, and how many things it is over.

    Attributes:
        score: None where there was nothing to average.
        number: questions of a category, or items of a source.
        raw: the same before zeroing, where the rule reports both.
        items: items that it is over; None where that is not known.
    """

    score: float | None
    interval: Interval = None
    number: int = 0
    raw: float | None = None
    items: int | None = None

    def thinned(self) -> Figure:
        """Return the same without an interval where it is known to be over too few items."""
        return replace(self, interval=_enough(self.interval, self.items))


class ItemFigure(NamedTuple):
    """One item's score, 0 to 100, None where it has none; `questions` were asked of each tile.

    `absent` tells that there is no score because pictures or answers are not there: such an item
    counts for nothing under any rule. Without it, an item that has none was lost by the rule.
    """

    score: float | None
    questions: int
    absent: bool = False


@dataclass(frozen=True)
class ScoreFile:
    """One judge's result under one rule.

    Attributes:
        interval: None on fewer than 8 items; figures of categories and sources likewise.
        warnings: how often each kind of warning occurred.
        notes: sentences that the file holds.
        subset: which part of the benchmark it is about; None where about all of it.
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
    notes: tuple[str, ...] = ()
    subset: Subset | None = None


@dataclass(frozen=True)
class RunRecord:
    """A run with everything that the report says about it.

    Attributes:
        notes: what must be read beside its scores and stands in none of its files.
    """

    run: RunDir
    manifest: Manifest
    results: tuple[ScoreFile, ...]
    notes: tuple[str, ...] = ()


def read_record(run: RunDir) -> RunRecord:
    """Return what `run` holds.

    Raises:
        DataError: it is no run, was not scored yet, or holds a damaged file.
    """
    manifest = read_manifest(run.manifest)
    paths = [path for path in run.score_files() if not _is_hidden(path, run)]
    if not paths:
        raise DataError(
            f"{run.path} has no scores yet; make them with 'dpgbench score {run.path}', "
            "then report again"
        )
    whole = manifest.benchmark.get("items")
    return RunRecord(run, manifest, tuple(read_score_file(path, whole) for path in paths))


def _is_hidden(path: Path, run: RunDir) -> bool:
    """Return whether a file is what a killed write left, or an editor's or a system's own."""
    return any(part.startswith(".") for part in path.relative_to(run.path).parts)


def read_score_file(path: Path, benchmark_items: object = None) -> ScoreFile:
    """Return the result in one score file.

    Args:
        benchmark_items: how many items the benchmark has, for files that do not tell whether they
            are about all of it; None where it is not known.

    Raises:
        DataError: it is not JSON, of another schema, or a field is absent or of another type.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise DataError(
            f"{path} is not a score file of schema {SCHEMA}; score the run again with this version"
        )
    try:
        return _score_file(path, record, benchmark_items)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path} is damaged ({reason_of(error, with_type=True)}); score the run again"
        ) from None


def _score_file(path: Path, record: Mapping[str, Any], benchmark_items: object) -> ScoreFile:
    tiles = record.get("num_tiles")
    scored = _count(record["items_scored"])
    warnings, sentences = _warnings(record["warnings"])
    return ScoreFile(
        path=path,
        rule=_text(record["rule"]),
        judge=_text(record["judge"]),
        benchmark=_text(record["benchmark"]),
        overall=_number(record["overall"]),
        interval=_enough(_interval(record["interval"]), scored),
        items_scored=scored,
        items_expected=_count(record["items_expected"]),
        failures={_text(key): str(reason) for key, reason in record["failures"].items()},
        l1=_figures(record["l1"], "questions", scored),
        l2=_figures(record["l2"], "questions", scored),
        sources=_figures(record["sources"], "items", scored),
        warnings=warnings,
        num_tiles=None if tiles is None else _count(tiles),
        items=read_item_scores(path.with_suffix(".items.csv"), record.get("unanswered_items")),
        notes=(*_sentences(record.get("notes")), *sentences),
        subset=read_subset(record, benchmark_items),
    )


def _warnings(told: Mapping[str, Any]) -> tuple[dict[str, int], list[str]]:
    """Return the warnings that are counts, and those that are sentences."""
    counts: dict[str, int] = {}
    sentences: list[str] = []
    for kind, value in told.items():
        if isinstance(value, str | list):
            sentences += _sentences(value)
        elif isinstance(value, Mapping):
            parts = ", ".join(f"{key} {part}" for key, part in value.items())
            sentences.append(f"{kind}: {parts}")
        else:
            counts[_text(kind)] = _count(value)
    return counts, sentences


def _sentences(value: object) -> list[str]:
    if value is None:
        return []
    return [_text(part) for part in (value if isinstance(value, list) else [value]) if part]


def _enough(interval: Interval, number: int | None) -> Interval:
    """Return an interval, or None where it is over too few items to tell anything."""
    return None if number is not None and number < LEAST_ITEMS else interval


def read_item_scores(path: Path, unanswered: object = None) -> dict[str, ItemFigure]:
    """Return the score of each item in a table of items; nothing where there is no such table.

    Args:
        unanswered: ids of items that lack pictures or answers, where the score file lists them;
            else the table's own words tell.

    Raises:
        DataError: it lacks a column, or a figure is not a number.
    """
    if not path.exists():
        return {}
    found: dict[str, ItemFigure] = {}
    known = set(map(str, unanswered)) if isinstance(unanswered, list) else None
    for number, cells in read_table(path, ("item_id", "score", "questions")):
        try:
            item_id = as_written(cells["item_id"])
            score = _number(float(cells["score"])) if cells["score"] else None
            reason = cells.get("failure", "")
            lost = item_id not in known if known is not None else _lost(reason)
            absent = score is None and not lost
            found[item_id] = ItemFigure(score, int(cells["questions"]), absent)
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"{path} row {number} (item {cells['item_id']}): {cells['score']!r} or "
                f"{cells['questions']!r} is not a number; score the run again"
            ) from None
    return found


def _lost(reason: str) -> bool:
    return any(words in reason for words in _LOST_BY_THE_RULE)


def _figures(entries: Mapping[str, Any], number: str, scored: int) -> dict[str, Figure]:
    return {_text(name): _figure(entry, number, scored) for name, entry in entries.items()}


def _figure(entry: Mapping[str, Any], number: str, scored: int) -> Figure:
    over = _count(entry[number])
    items = entry.get("items")
    return Figure(
        _number(entry["score"]),
        _enough(_interval(entry.get("interval")), min(over, scored)),
        over,
        _number(entry.get("raw")),
        None if items is None else _count(items),
    ).thinned()


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
