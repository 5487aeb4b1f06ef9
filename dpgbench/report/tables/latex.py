"""The leaderboard as LaTeX (booktabs), for a paper: measured rows only, the surely best in bold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import OVERALL, coverage_text
from dpgbench.analysis.ranking import Group
from dpgbench.domain.result import Score
from dpgbench.report.tables.frame import (
    category_names,
    figures,
    group_frame,
    is_best,
    leaderboard_frame,
)
from dpgbench.report.text import (
    NOTHING,
    interval_text,
    label,
    number_text,
    row_warnings,
    score_text,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


def leaderboard_latex(board: Board) -> str:
    """Return a table for each group; needs the package booktabs."""
    frame = leaderboard_frame(board)
    tables = (_table(group, group_frame(frame, place)) for place, group in enumerate(board.groups))
    return "% needs \\usepackage{booktabs}\n" + "\n".join(tables)


def escaped(text: str, limit: int = 60) -> str:
    """Return `text` on one line as LaTeX that prints it."""
    return "".join(_SPECIAL.get(character, character) for character in shown(text, limit))


def _table(group: Group, frame: pd.DataFrame) -> str:
    key = group.key
    names = category_names(row.l1 for row in group.rows)
    notes = dict.fromkeys(note for row in group.rows for note in row.notes)
    part = f", {group.subset}" if group.subset else ""
    caption = ". ".join(
        [
            f"{key.benchmark}, judge {key.judge}, rule {key.rule}{part}",
            "Mean times 100 with 95% bootstrap interval over prompts; n: questions",
            "Bold: above every other row by paired differences, after Holm in categories",
            *(note.rstrip(". ") for note in notes),
        ]
    )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption, len(caption) * 10)}.}}",
        _tabular(frame, names),
        *_footnotes(group),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tabular(frame: pd.DataFrame, names: Sequence[str]) -> str:
    import pandas as pd

    columns = [
        map(escaped, frame["label"]),
        map(_figure, figures(frame, "overall"), is_best(frame, OVERALL)),
        *(map(_figure, figures(frame, f"l1_{name}"), is_best(frame, name)) for name in names),
        map(_coverage, frame["items_scored"], frame["items_covered"]),
    ]
    cells = pd.DataFrame(dict(enumerate(map(list, columns))))
    cells.columns = pd.Index(["Model", "Overall", *map(escaped, names), "Coverage"])
    alignment = f"lr{'r' * len(names)}r"
    tabular: str = cells.style.hide(axis="index").to_latex(hrules=True, column_format=alignment)
    return tabular.rstrip("\n")


def _footnotes(group: Group) -> list[str]:
    """Return what must be read beside rows, a small line for each."""
    lines = [caveat for caveat in (group.apart,) if caveat]
    about: dict[str, list[str]] = {}
    for row in group.rows:
        for text in filter(None, [row.unranked, *row_warnings(row)]):
            about.setdefault(text, []).append(label(row, group))
    for text, names in about.items():
        every = len(names) == len(group.rows) > 1
        lines.append(f"{'all rows' if every else ', '.join(names)}: {text}")
    return [rf"\par{{\footnotesize {escaped(line, 1000)}\par}}" for line in lines]


def _coverage(scored: int, covered: int) -> str:
    return escaped(f"{coverage_text(scored, covered)} ({scored} of {covered})")


def _figure(figure: Score, best: bool) -> str:
    score = score_text(figure.score).replace(NOTHING, "--")
    figure_text = rf"\textbf{{{score}}}" if best else score
    number = number_text(figure) if figure.score is not None else ""
    ends = [text for text in (interval_text(figure.interval), number) if text]
    return rf"{figure_text} {{\scriptsize {' '.join(ends)}}}" if ends else figure_text
