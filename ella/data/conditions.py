"""Conditions on columns: which rows of an index training may use."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ella.data.index import Index
from ella.errors import TrainingDataError

OF_PICTURES = ("width", "height", "shorter", "aspect")
"""What an index knows of every picture; `aspect` is the longer side over the shorter one."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*(?P<column>[^<>=!]+?)\s*(?P<sign>[<>=!]=|[<>])\s*(?P<number>\S+)\s*")


class ColumnCondition(NamedTuple):
    """`column sign number`, such as `aesthetic >= 5`."""

    column: str
    sign: str
    number: float

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """For each value; never for one that is not there (NaN)."""
        with np.errstate(invalid="ignore"):
            kept: NDArray[np.bool_] = _OPERATORS[self.sign](values, self.number)
        return kept & ~np.isnan(values)


def parse_conditions(words: str) -> tuple[ColumnCondition, ...]:
    """From `width>=512, aesthetic>5`; all must hold.

    Raises:
        ValueError: If a part is no condition.
    """
    conditions = []
    for word in filter(str.strip, words.split(",")):
        match = _CONDITION.fullmatch(word)
        try:
            if match is None:
                raise ValueError
            conditions.append(
                ColumnCondition(match["column"], match["sign"], float(match["number"]))
            )
        except ValueError:
            raise ValueError(
                f"`filter` must be like width>=512,aesthetic>5, got {words!r}"
            ) from None
    return tuple(conditions)


def check_conditions(
    conditions: Collection[ColumnCondition], columns: Collection[str], where: str
) -> None:
    """Raise unless every column is there.

    Raises:
        TrainingDataError: Naming the column and those that there are.
    """
    there = sorted({*OF_PICTURES, *columns})
    for condition in conditions:
        if condition.column not in there:
            near = difflib.get_close_matches(condition.column, there, n=1)
            hint = f"; did you mean {near[0]}" if near else ""
            raise TrainingDataError(
                f"{where}: no column of numbers is called {condition.column!r}{hint} (there are:"
                f" {', '.join(there)}); change --filter"
            )


def column_values(
    index: Index, column: str, start: int, stop: int, records: NDArray[Any]
) -> NDArray[np.float64]:
    """A column's numbers of the rows from `start` to `stop`, whose records are `records`."""
    if column not in OF_PICTURES:
        return index.numbers(column, start, stop)
    width, height = records["width"].astype(np.float64), records["height"].astype(np.float64)
    width[width == 0] = np.nan
    height[height == 0] = np.nan
    shorter = np.minimum(width, height)
    of_pictures = {
        "width": width,
        "height": height,
        "shorter": shorter,
        "aspect": np.maximum(width, height) / shorter,
    }
    return of_pictures[column]
