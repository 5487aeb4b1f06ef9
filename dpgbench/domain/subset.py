"""Results over part of a benchmark: which part, and in which words it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from dpgbench.errors import clipped, counted


class Subset(NamedTuple):
    """A result that is about `items` of the `of` items that its benchmark has.

    Attributes:
        choice: how they were chosen, such as ``first 10``; empty where it is not recorded.
        sha256: stands for the items; empty where it is not recorded.
    """

    items: int
    of: int
    choice: str = ""
    sha256: str = ""

    def __str__(self) -> str:
        text = f"{self.items:,} of {self.of:,} {'item' if self.of == 1 else 'items'}"
        says_more = self.choice not in ("", counted(self.items, "item"))
        return f"{text} ({self.choice})" if says_more else text


def read_subset(record: Mapping[str, Any], benchmark_items: object) -> Subset | None:
    """Return which part of the benchmark a score file is about; None where it is about all.

    Files that do not tell (older ones) are measured: by the items that were not chosen, or by
    `benchmark_items`, the manifest's count of the benchmark.

    Raises:
        TypeError: the field ``subset`` is not what it must be.
    """
    told = record.get("subset")
    if told is not None:
        items, of, choice = told["items"], told["of"], told.get("choice") or ""
        if not isinstance(items, int) or not isinstance(of, int) or not isinstance(choice, str):
            raise TypeError(f"{clipped(told, 80)} does not tell a subset")
        return Subset(items, of, choice, str(told.get("items_sha256") or ""))
    expected = record["items_expected"]
    others = record["warnings"].get("items_not_chosen", 0)
    if isinstance(others, int) and others > 0:
        return Subset(expected, expected + others)
    if isinstance(benchmark_items, int) and expected < benchmark_items:
        return Subset(expected, benchmark_items)
    return None
