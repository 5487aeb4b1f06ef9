"""Scores that people gave to images, from a CSV."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpgbench.domain.aggregate import mean_of
from dpgbench.errors import DataError, UsageError, shortened
from dpgbench.store.csv_rows import read_table

NAMES = ("item", "model", "score")
_DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "item": ("item", "item_id"),
    "model": ("model",),
    "score": ("score",),
}
UNNAMED = ""


@dataclass(frozen=True)
class HumanScores:
    """What people said of images.

    Attributes:
        scores: mean of the ratings by (model, item); the model is "" where no column names it.
        num_ratings: rows that were averaged.
    """

    path: Path
    scores: Mapping[tuple[str, str], float]
    num_ratings: int

    @property
    def models(self) -> list[str]:
        """The models whose images were rated, sorted."""
        return sorted({model for model, _ in self.scores})


def read_human_scores(
    path: Path, columns: Mapping[str, str] | None = None, where: Mapping[str, str] | None = None
) -> HumanScores:
    """Return the human scores in a CSV; several rows of one image are averaged.

    Args:
        path: columns `item` (or `item_id`), `model` and `score`; `model` may be absent where all
            rows are about one model.
        columns: other names of these three, by `item`, `model`, `score`.
        where: only rows in which each of these columns has this value.

    Raises:
        DataError: a column is absent, or a score is no finite number; names the row.
        UsageError: no row is left by `where`.
    """
    ratings: dict[tuple[str, str], list[float]] = {}
    for image, score in _ratings(path, columns or {}, where or {}):
        ratings.setdefault(image, []).append(score)
    if not ratings:
        chosen = ", ".join(f"{column}={value}" for column, value in (where or {}).items())
        raise UsageError(f"{path} has no row with {chosen}; check --human-where")
    means = {image: mean_of(scores) for image, scores in ratings.items()}
    return HumanScores(path, means, sum(map(len, ratings.values())))


def parse_columns(text: str | None) -> dict[str, str]:
    """Return column names from ``item=COLUMN,model=COLUMN,score=COLUMN``; all may be left out.

    Raises:
        UsageError: a part has another form.
    """
    columns: dict[str, str] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, column = part.partition("=")
        if name not in NAMES or not equals or not column:
            raise UsageError(
                f"--human-columns {part}: write item=COLUMN, model=COLUMN or score=COLUMN, "
                "separated by commas"
            )
        columns[name] = column
    return columns


def _ratings(
    path: Path, columns: Mapping[str, str], where: Mapping[str, str]
) -> Iterator[tuple[tuple[str, str], float]]:
    chosen: dict[str, str | None] | None = None
    for number, cells in read_table(path, tuple(where)):
        if chosen is None:
            chosen = {name: _column(path, name, columns, list(cells)) for name in NAMES}
        if any(cells[column] != value for column, value in where.items()):
            continue
        model = chosen["model"]
        image = (cells[model] if model else UNNAMED, cells[str(chosen["item"])])
        yield image, _score(path, number, cells[str(chosen["score"])])


def _column(path: Path, name: str, columns: Mapping[str, str], header: Sequence[str]) -> str | None:
    wanted = (columns[name],) if name in columns else _DEFAULTS[name]
    present = [column for column in wanted if column in header]
    if present:
        return present[0]
    if name == "model" and name not in columns:
        return None
    raise DataError(
        f"{path} has no column {' or '.join(wanted)} for the {name}; its columns are "
        f"{shortened(list(header), 12)}; name it with --human-columns {name}=COLUMN"
    )


def _score(path: Path, number: int, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise DataError(f"{path} row {number}: score {text!r} is not a number; leave the row out")
    return score
