"""Score files of a run: `<rule>.json` and its table of items, written and read here alone.

Nothing is computed here; a file that is not what it must be ends in an error that names it. Files
of earlier versions, which hold less, are read too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import AnswerCensus, CategoryScore, ItemFigure, Result, Score
from dpgbench.domain.rows import item_source
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS, Interval
from dpgbench.errors import DataError, clipped, reason_of
from dpgbench.store.csv_rows import as_written, csv_text, read_table
from dpgbench.store.files import read_json, write_atomic, write_json
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import Manifest, read_manifest

SCHEMA = 1
# Why a rule gives an answered item no score, in the words of `domain.score`; any other reason is
# that pictures or answers are not there.
_LOST_BY_THE_RULE = (
    "which is not among the questions that this rule sees",
    "its only row is the file's first, which this rule skips",
)
_TILE = re.compile(r"tile_\d+")


@dataclass(frozen=True)
class RunRecord:
    """A run with everything that the report says about it.

    Attributes:
        notes: what must be read beside its scores and stands in none of its files.
    """

    run: RunDir
    manifest: Manifest
    results: tuple[Result, ...]
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
    return RunRecord(run, manifest, tuple(read_result(path, whole) for path in paths))


def _is_hidden(path: Path, run: RunDir) -> bool:
    """Return whether a file is what a killed write left, or an editor's or a system's own."""
    return any(part.startswith(".") for part in path.relative_to(run.path).parts)


def write_result(run: RunDir, result: Result, part: str = "") -> None:
    """Write a result and its table of items into the run.

    Args:
        run: that the files go to.
        result: that they hold.
        part: `Subset.file_part` where the result is about fewer items than the run set out to do,
            so that it never replaces the result over all of them; else "".
    """
    place = (result.judge, result.rule, part)
    write_json(run.scores(*place), result_json(result), scratch=run.path)
    write_atomic(run.item_scores(*place), items_csv(result), scratch=run.path)


def result_json(result: Result) -> dict[str, Any]:
    """Return a result as its score file holds it."""
    answers = {} if result.answers is None else result.answers._asdict()
    if result.num_read is not None:
        answers["read"] = result.num_read
    return {
        "schema": SCHEMA,
        "rule": result.rule,
        "judge": result.judge,
        "benchmark": result.benchmark,
        "benchmark_sha256": result.benchmark_sha256,
        "model": result.model,
        "num_tiles": result.num_tiles,
        "subset": None if result.subset is None else asdict(result.subset),
        "overall": result.overall,
        "interval": result.interval,
        "items_scored": result.items_scored,
        "items_expected": result.items_expected,
        "coverage": result.coverage,
        "failed_items": list(result.failures),
        "failures": dict(result.failures),
        "unanswered_items": list(result.unanswered),
        "l1": {name: _category_json(score) for name, score in result.l1.items()},
        "l2": {name: _category_json(score) for name, score in result.l2.items()},
        "sources": {
            name: {"score": score.score, "interval": score.interval, "items": score.items}
            for name, score in result.sources.items()
        },
        "answers": answers,
        "warnings": dict(result.warnings),
        "notes": list(result.notes),
    }


def _category_json(score: CategoryScore) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "score": score.score,
        "interval": score.interval,
        "questions": score.questions,
        "answers": score.answers,
        "items": score.items,
    }
    stages = {"raw": score.raw, "gated": score.gated}
    return fields | {name: value for name, value in stages.items() if value is not None}


def items_csv(result: Result) -> str:
    """Return the table of items: id, source, score and each tile's score times 100, failure."""
    figures = result.item_figures
    num_tiles = max((len(figure.tile_scores) for figure in figures.values()), default=0)
    tiles = [f"tile_{tile}" for tile in range(num_tiles)]
    header = ["item_id", "source", "score", *tiles, "questions", "failure"]
    rows: list[list[object]] = []
    for item_id, figure in figures.items():
        scores = figure.tile_scores or (None,) * num_tiles
        start = [item_id, item_source(item_id), figure.score]
        rows.append([*start, *scores, figure.questions, figure.failure])
    return csv_text(header, rows)


def read_result(path: Path, benchmark_items: object = None) -> Result:
    """Return the result in one score file.

    Args:
        path: of the file; its table of items lies beside it.
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
        return _result(path, record, benchmark_items)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DataError(
            f"{path} is damaged ({reason_of(error, with_type=True)}); score the run again"
        ) from None


def _result(path: Path, record: Mapping[str, Any], benchmark_items: object) -> Result:
    tiles, answers = record.get("num_tiles"), record.get("answers")
    unanswered = record.get("unanswered_items")
    scored = _count(record["items_scored"])
    warnings, sentences = _warnings(record["warnings"])
    return Result(
        rule=_text(record["rule"]),
        judge=_text(record["judge"]),
        model=str(record.get("model") or ""),
        benchmark=_text(record["benchmark"]),
        benchmark_sha256=str(record.get("benchmark_sha256") or ""),
        overall=_number(record["overall"]),
        interval=_enough(_interval(record["interval"]), scored),
        items_scored=scored,
        items_expected=_count(record["items_expected"]),
        failures={_text(key): str(reason) for key, reason in record["failures"].items()},
        unanswered=tuple(map(str, unanswered)) if isinstance(unanswered, list) else (),
        l1=_categories(record["l1"], scored),
        l2=_categories(record["l2"], scored),
        sources={_text(n): _source(entry, scored) for n, entry in record["sources"].items()},
        warnings=warnings,
        num_tiles=None if tiles is None else _count(tiles),
        item_figures=read_item_figures(path.with_suffix(".items.csv"), unanswered),
        notes=(*_sentences(record.get("notes")), *sentences),
        answers=_census(answers),
        num_read=answers.get("read") if isinstance(answers, dict) else None,
        subset=_subset(record, benchmark_items),
    )


def _census(record: object) -> AnswerCensus | None:
    """Return the census; None where it is not recorded as such."""
    names = AnswerCensus._fields
    if not isinstance(record, dict) or any(name not in record for name in names):
        return None
    return AnswerCensus(*(record[name] for name in names))


def _subset(record: Mapping[str, Any], benchmark_items: object) -> Subset | None:
    """Return which part of the benchmark a score file is about; None where it is about all.

    Files that do not tell (older ones) are measured: by the items that were not chosen, or by
    `benchmark_items`, the manifest's count of the benchmark.

    Raises:
        TypeError: the field ``subset`` is not what it must be.
    """
    recorded = record.get("subset")
    if recorded is not None:
        items, of, choice = recorded["items"], recorded["of"], recorded.get("choice") or ""
        if not isinstance(items, int) or not isinstance(of, int) or not isinstance(choice, str):
            raise TypeError(f"{clipped(recorded, 80)} does not tell a subset")
        return Subset(items, of, str(recorded.get("items_sha256") or ""), choice)
    expected = record["items_expected"]
    others = record["warnings"].get("items_not_chosen", 0)
    if isinstance(others, int) and others > 0:
        return Subset(expected, expected + others)
    if isinstance(benchmark_items, int) and expected < benchmark_items:
        return Subset(expected, benchmark_items)
    return None


def _warnings(record: Mapping[str, Any]) -> tuple[dict[str, int], list[str]]:
    """Return the warnings that are counts, and those that are sentences."""
    counts: dict[str, int] = {}
    sentences: list[str] = []
    for kind, value in record.items():
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


def read_item_figures(path: Path, unanswered: object = None) -> dict[str, ItemFigure]:
    """Return each line of a table of items by its id; nothing where there is no such table.

    Args:
        path: of the table.
        unanswered: ids of items that lack pictures or answers, where the score file lists them;
            else the table's own words tell.

    Raises:
        DataError: it lacks a column, or a figure is not a number.
    """
    if not path.exists():
        return {}
    figures: dict[str, ItemFigure] = {}
    absent = set(map(str, unanswered)) if isinstance(unanswered, list) else None
    for number, cells in read_table(path, ("item_id", "score", "questions")):
        item_id, reason = as_written(cells["item_id"]), as_written(cells.get("failure", ""))
        lost = item_id not in absent if absent is not None else _lost(reason)
        try:
            score = _cell(cells["score"])
            figures[item_id] = ItemFigure(
                score,
                int(cells["questions"]),
                score is None and not lost,
                _tile_scores(cells),
                reason,
            )
        except (TypeError, ValueError, OverflowError):
            raise DataError(
                f"{path} row {number} (item {cells['item_id']}): {cells['score']!r} or "
                f"{cells['questions']!r} is not a number; score the run again"
            ) from None
    return figures


def _tile_scores(cells: Mapping[str, str]) -> tuple[float, ...]:
    scores = [_cell(text) for name, text in cells.items() if _TILE.fullmatch(name)]
    return tuple(score for score in scores if score is not None)


def _cell(text: str) -> float | None:
    return _number(float(text)) if text else None


def _lost(reason: str) -> bool:
    return any(words in reason for words in _LOST_BY_THE_RULE)


def _categories(entries: Mapping[str, Any], scored: int) -> dict[str, CategoryScore]:
    return {_text(name): _category(entry, scored) for name, entry in entries.items()}


def _category(entry: Mapping[str, Any], scored: int) -> CategoryScore:
    questions, items, answers = _count(entry["questions"]), entry.get("items"), entry.get("answers")
    return CategoryScore(
        _number(entry["score"]),
        _enough(_interval(entry.get("interval")), min(questions, scored)),
        None if items is None else _count(items),
        _number(entry.get("raw")),
        questions,
        None if answers is None else _count(answers),
        _number(entry.get("gated")),
    ).thinned()


def _source(entry: Mapping[str, Any], scored: int) -> Score:
    items = _count(entry["items"])
    interval = _enough(_interval(entry.get("interval")), min(items, scored))
    return Score(_number(entry["score"]), interval, items)


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
