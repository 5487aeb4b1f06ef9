"""BibTeX of what a report's numbers rest on: benchmark, judge, rule, and the toolkit itself."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from typing import Any

from dpgbench.analysis.board import Board
from dpgbench.report.benchmark_terms import entries_of
from dpgbench.store.benchmark_table import named_benchmarks
from dpgbench.store.paths import data_folder
from dpgbench.store.run.manifest import toolkit_version


def citations(board: Board) -> str:
    """Return a BibTeX entry for each benchmark, judge and rule that has one, and the toolkit's."""
    table = _table()
    keys: dict[str, None] = {}
    for group in board.groups:
        benchmark = named_benchmarks().get(group.key.benchmark)
        keys |= dict.fromkeys(benchmark.cites if benchmark else ())
        keys |= dict.fromkeys(table["judge"].get(group.key.judge, ()))
        keys |= dict.fromkeys(table["rule"].get(group.key.rule, ()))
    for entry in entries_of(board):
        keys |= dict.fromkeys(entry.cites)
    entries = [table["entries"][key].strip() for key in keys]
    return "\n\n".join([*entries, _toolkit()]) + "\n"


@functools.cache
def _table() -> Mapping[str, Mapping[str, Any]]:
    with (data_folder("reports") / "citations.toml").open("rb") as file:
        return tomllib.load(file)


def _toolkit() -> str:
    return (
        "@software{dpgbench,\n"
        "  title   = {{DPG-Bench} toolkit},\n"
        "  author  = {{The DPG-Bench toolkit developers}},\n"
        f"  version = {{{toolkit_version()}}},\n"
        "  note    = {Name the scoring rule with every number}\n"
        "}"
    )
