"""Whose benchmarks a report's numbers are of, and under which licence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dpgbench.analysis.board import Board
from dpgbench.store.benchmark_table import NamedBenchmark


class BenchmarkTerms(NamedTuple):
    """A benchmark of a report and what must stand beside its numbers.

    Attributes:
        name: as the report calls it.
        title: as its authors call it.
        text: licence, whose it is, what it forbids.
        address: of its repository; empty for one that ships with the toolkit.
        note: what else a reader must know.
    """

    name: str
    title: str
    text: str
    address: str
    note: str

    def __str__(self) -> str:
        """Return it as a sentence."""
        where = f", {self.address}" if self.address else ""
        note = f" {self.note[:1].upper()}{self.note[1:]}." if self.note else ""
        return f"{self.name} is {self.title}: {self.text}{where}.{note}"


def benchmark_terms(board: Board) -> list[BenchmarkTerms]:
    """Return the terms of each benchmark of a board that is one of the table, sorted by name."""
    terms = {
        BenchmarkTerms(
            board.records[run].manifest.benchmark.get("name", entry.name),
            entry.title,
            entry.terms,
            entry.repository,
            entry.note,
        )
        for run, entry in board.named.items()
    }
    return sorted(terms)


def entries_of(board: Board) -> Sequence[NamedBenchmark]:
    """Return the benchmarks of a board that are of the table, each once, in the board's order."""
    return list({entry.name: entry for entry in board.named.values()}.values())
