"""The leaderboard as CSV: unrounded, a row for each measured result and each published one."""

from __future__ import annotations

from dpgbench.analysis.board import Board
from dpgbench.report.tables.frame import SHOWN_ONLY, leaderboard_frame
from dpgbench.store.csv_rows import csv_text


def leaderboard_csv(board: Board) -> str:
    """Return the columns of `leaderboard_frame` that programs read.

    An empty cell means that there is no such figure. A text that a spreadsheet would take for a
    formula has an apostrophe before it, as in every CSV file of the toolkit.
    """
    frame = leaderboard_frame(board)
    columns = [name for name in frame.columns if name not in SHOWN_ONLY]
    return csv_text(columns, frame[columns].itertuples(index=False, name=None))
