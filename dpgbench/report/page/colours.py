"""Which colour a run has on the page: one of eight, or grey where there are more runs than colours.

Two runs never share a colour. Where there are too many, the best ones of the first table have
colours to begin with, and the reader gives them to others.
"""

from __future__ import annotations

from collections.abc import Sequence

from dpgbench.analysis.board import Board
from dpgbench.report.plots.axis import NUM_COLOURS

AT_FIRST = 5
"""How many of more than eight runs have a colour before the reader chooses."""


def coloured_runs(board: Board) -> list[int | None]:
    """Return the colour of each run by its place, 0 to 7; None for grey."""
    number = len(board.records)
    if number <= NUM_COLOURS:
        return list(range(number))
    colours: list[int | None] = [None] * number
    largest = max(board.groups, key=lambda group: len(group.rows))
    best = dict.fromkeys(row.index for row in largest.rows)
    for colour, index in enumerate(list(best)[:AT_FIRST]):
        colours[index] = colour
    return colours


def chosen_runs(colours: Sequence[int | None]) -> list[int]:
    """Return the places of runs that have a colour, in the colours' order."""
    coloured = [(colour, run) for run, colour in enumerate(colours) if colour is not None]
    return [run for _, run in sorted(coloured)]


def colour_style(colours: Sequence[int | None]) -> str:
    """Return the rules that give each run its colour: ``.r3`` is the fourth run's class."""
    marks = "".join(
        f"--run-{run}:var(--{'grey' if colour is None else f'c{colour}'});"
        for run, colour in enumerate(colours)
    )
    classes = "".join(
        f".r{run},.s-r{run},.f-r{run}{{--mark:var(--run-{run})}}" for run in range(len(colours))
    )
    return f":root{{{marks}}}{classes}\n"
