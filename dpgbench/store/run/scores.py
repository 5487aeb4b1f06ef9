"""Score files of a run: `<rule>.json` and its table of items, written and read here alone.

Nothing is computed here; a file that is not what it must be ends in an error that names it. Files
of earlier versions, which hold less, are read too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypedDict, cast

from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import AnswerCensus, CategoryScore, ItemFigure, Result, Score
from dpgbench.domain.rows import item_source
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS, Interval
from dpgbench.errors import DataError, reason_of
from dpgbench.store.csv_rows import as_written, csv_text, read_table
from dpgbench.store.files import read_json, write_atomic, write_json
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import Manifest, read_manifest
from dpgbench.store.typed_json import Range, check_json

SCHEMA = 1
# Why a rule gives an answered item no score, in the words of `domain.score`; any other reason is
# that pictures or answers are not there.
_LOST_BY_THE_RULE = (
    "which is not among the questions that this rule sees",
    "its only row is the file's first, which this rule skips",
)
_TILE = re.compile(r"tile_\d+")


Count = Annotated[int, Range(0)]


class SubsetJson(TypedDict):
    """Which part of the benchmark a result is about.

    Attributes:
        items: how many there are.
        of: how many the benchmark has.
        items_sha256: over the sorted ids.
        choice: how they were chosen, in words.
    """

    items: int
    of: int
    items_sha256: NotRequired[str | None]
    choice: NotRequired[str | None]


class CategoryJson(TypedDict):
    """The score of one category.

    Attributes:
        score: 0 to 100; null where there was nothing to average.
        interval: 95% of bootstrap draws of the items lie in it; null on fewer than 8 items.
        questions: of the category.
        answers: that are averaged.
        items: that it is over.
        raw: the score before zeroing, where the rule reports both.
        gated: the score after zeroing, likewise.
    """

    score: float | None
    interval: NotRequired[list[float] | None]
    questions: Count
    answers: NotRequired[Annotated[int | None, Range(0)]]
    items: NotRequired[Annotated[int | None, Range(0)]]
    raw: NotRequired[float | None]
    gated: NotRequired[float | None]


class SourceJson(TypedDict):
    """The overall of the items of one source.

    Attributes:
        score: 0 to 100; null where there was nothing to average.
        interval: 95% of bootstrap draws of the items lie in it; null on fewer than 8 items.
        items: how many there are.
    """

    score: float | None
    interval: NotRequired[list[float] | None]
    items: Count


class AnswersJson(TypedDict, total=False):
    """What kinds of answers there were.

    Attributes:
        all: answers that hold something.
        neither: of these, other texts than ``yes`` and ``no``.
        readable: of `neither`, those that can be read as yes or no.
        example: the most common text of `neither`.
        read: answers that were read before any rule saw them; absent where none were to be.
    """

    all: int
    neither: int
    readable: int
    example: str | None
    read: int


class ResultJson(TypedDict):
    """A score file: one judge's answers about one model's images, scored under one rule.

    Attributes:
        schema: version of this format.
        rule: name of the scoring rule.
        judge: whose answers.
        benchmark: its name.
        benchmark_sha256: over the rows of its file.
        model: whose images.
        num_tiles: images per prompt.
        subset: which part of the benchmark; null where all of it.
        overall: mean score, 0 to 100; null where no item has one.
        interval: 95% of bootstrap draws of the items lie in it; null on fewer than 8 items.
        items_scored: items that have a score.
        items_expected: items that were to be scored.
        coverage: share of the expected items that have a score.
        failed_items: ids of the others.
        failures: why these have no score, by id.
        unanswered_items: ids of those that lack images or answers.
        l1: by category of the first level.
        l2: by category of the second level.
        sources: by source of items.
        answers: what kinds of answers there were.
        warnings: how often each kind of warning occurred; files of earlier versions hold
            sentences too.
        notes: sentences that must stand where the number stands.
    """

    schema: int
    rule: str
    judge: str
    benchmark: str
    benchmark_sha256: NotRequired[str | None]
    model: NotRequired[str | None]
    num_tiles: NotRequired[Annotated[int | None, Range(0)]]
    subset: NotRequired[SubsetJson | None]
    overall: float | None
    interval: list[float] | None
    items_scored: Count
    items_expected: Count
    coverage: NotRequired[float]
    failed_items: NotRequired[list[str]]
    failures: dict[str, Any]
    unanswered_items: NotRequired[list[str] | None]
    l1: dict[str, CategoryJson]
    l2: dict[str, CategoryJson]
    sources: dict[str, SourceJson]
    answers: NotRequired[AnswersJson]
    warnings: dict[str, Any]
    notes: NotRequired[list[str] | str | None]


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


def result_json(result: Result) -> ResultJson:
    """Return a result as its score file holds it."""
    return {
        "schema": SCHEMA,
        "rule": result.rule,
        "judge": result.judge,
        "benchmark": result.benchmark,
        "benchmark_sha256": result.benchmark_sha256,
        "model": result.model,
        "num_tiles": result.num_tiles,
        "subset": _subset_json(result.subset),
        "overall": result.overall,
        "interval": _ends(result),
        "items_scored": result.items_scored,
        "items_expected": result.items_expected,
        "coverage": result.coverage,
        "failed_items": list(result.failures),
        "failures": dict(result.failures),
        "unanswered_items": list(result.unanswered),
        "l1": {name: _category_json(score) for name, score in result.l1.items()},
        "l2": {name: _category_json(score) for name, score in result.l2.items()},
        "sources": {
            name: {"score": score.score, "interval": _ends(score), "items": score.number}
            for name, score in result.sources.items()
        },
        "answers": _answers_json(result),
        "warnings": dict(result.warnings),
        "notes": list(result.notes),
    }


def _answers_json(result: Result) -> AnswersJson:
    census = result.answers
    answers: AnswersJson = {}
    if census is not None:
        answers = {
            "all": census.all,
            "neither": census.neither,
            "readable": census.readable,
            "example": census.example,
        }
    if result.num_read is not None:
        answers["read"] = result.num_read
    return answers


def _subset_json(subset: Subset | None) -> SubsetJson | None:
    if subset is None:
        return None
    return {
        "items": subset.items,
        "of": subset.of,
        "items_sha256": subset.items_sha256,
        "choice": subset.choice,
    }


def _ends(score: Result | Score) -> list[float] | None:
    return None if score.interval is None else list(score.interval)


def _category_json(score: CategoryScore) -> CategoryJson:
    category: CategoryJson = {
        "score": score.score,
        "interval": _ends(score),
        "questions": score.questions,
        "answers": score.answers,
        "items": score.items,
    }
    if score.raw is not None and score.gated is not None:
        category["raw"] = score.raw
        category["gated"] = score.gated
    return category


def items_csv(result: Result) -> str:
    """Return the table of items: id, source, score and each tile's score times 100, failure."""
    figures = result.item_figures
    num_images = max((len(figure.tile_scores) for figure in figures.values()), default=0)
    tiles = [f"tile_{tile}" for tile in range(num_images)]
    header = ["item_id", "source", "score", *tiles, "questions", "failure"]
    rows: list[list[object]] = []
    for item_id, figure in figures.items():
        scores = figure.tile_scores or (None,) * num_images
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
        check_json(record, ResultJson)
        return _result(path, cast("ResultJson", record), benchmark_items)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path} is damaged ({reason_of(error)}); score the run again") from None


def _result(path: Path, record: ResultJson, benchmark_items: object) -> Result:
    scored, unanswered = record["items_scored"], record.get("unanswered_items")
    answers = record.get("answers", AnswersJson())
    warnings, sentences = _warnings(record["warnings"])
    table = path.with_suffix(".items.csv")
    return Result(
        rule=record["rule"],
        judge=record["judge"],
        model=record.get("model") or "",
        benchmark=record["benchmark"],
        benchmark_sha256=record.get("benchmark_sha256") or "",
        overall=_float(record["overall"]),
        interval=_interval(record["interval"], scored),
        items_scored=scored,
        items_expected=record["items_expected"],
        failures={item_id: str(reason) for item_id, reason in record["failures"].items()},
        unanswered=tuple(unanswered or ()),
        l1={name: _category(entry, scored) for name, entry in record["l1"].items()},
        l2={name: _category(entry, scored) for name, entry in record["l2"].items()},
        sources={name: _source(entry, scored) for name, entry in record["sources"].items()},
        warnings=warnings,
        num_tiles=record.get("num_tiles"),
        # A shard of few items can be empty: its table has a header alone.
        item_figures=read_item_figures(table, unanswered) if record["items_expected"] else {},
        notes=(*_sentences(record.get("notes")), *sentences),
        answers=_census(answers),
        num_read=answers.get("read"),
        subset=_subset(record, benchmark_items),
    )


def _census(answers: AnswersJson) -> AnswerCensus | None:
    """Return the census; None where it is not recorded."""
    if not answers.keys() >= set(AnswerCensus._fields):
        return None
    return AnswerCensus(answers["all"], answers["neither"], answers["readable"], answers["example"])


def _subset(record: ResultJson, benchmark_items: object) -> Subset | None:
    """Return which part of the benchmark a score file is about; None where it is about all.

    Files that do not tell (older ones) are measured: by the items that were not chosen, or by
    `benchmark_items`, the manifest's count of the benchmark.
    """
    recorded = record.get("subset")
    if recorded is not None:
        return Subset(
            recorded["items"],
            recorded["of"],
            recorded.get("items_sha256") or "",
            recorded.get("choice") or "",
        )
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
            sentences += _sentences(value, f"warnings.{kind}")
        elif isinstance(value, Mapping):
            parts = ", ".join(f"{key} {part}" for key, part in value.items())
            sentences.append(f"{kind}: {parts}")
        else:
            check_json(value, Count, f"warnings.{kind}")
            counts[kind] = value
    return counts, sentences


def _sentences(value: list[str] | str | None, where: str = "notes") -> list[str]:
    if value is None:
        return []
    parts = value if isinstance(value, list) else [value]
    check_json(parts, list[str], where)
    return [part for part in parts if part]


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _interval(ends: list[float] | None, number: int) -> Interval:
    """Return an interval; None where it is over too few items to tell anything."""
    if ends is None:
        return None
    low, high = map(float, ends)
    return None if number < LEAST_ITEMS else (low, high)


def _category(entry: CategoryJson, scored: int) -> CategoryScore:
    return CategoryScore(
        _float(entry["score"]),
        _interval(entry.get("interval"), min(entry["questions"], scored)),
        entry.get("items"),
        _float(entry.get("raw")),
        entry["questions"],
        entry.get("answers"),
        _float(entry.get("gated")),
    ).thinned()


def _source(entry: SourceJson, scored: int) -> Score:
    interval = _interval(entry.get("interval"), min(entry["items"], scored))
    return Score(_float(entry["score"]), interval, entry["items"])


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
    if not text:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a number")
    return value


def _lost(reason: str) -> bool:
    return any(words in reason for words in _LOST_BY_THE_RULE)
