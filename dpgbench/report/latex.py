"""The leaderboard as LaTeX (booktabs), for a paper: measured rows only, the surely best in bold."""

from __future__ import annotations

from collections.abc import Sequence

from dpgbench.report import wording
from dpgbench.report.cautions import label
from dpgbench.report.csvtable import category_names
from dpgbench.report.row import LeaderboardRow
from dpgbench.report.rows import Group

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


def leaderboard_latex(groups: Sequence[Group]) -> str:
    """Return a table for each group; needs the package booktabs."""
    return "% needs \\usepackage{booktabs}\n" + "\n".join(map(_table, groups))


def escaped(text: str) -> str:
    """Return `text` as LaTeX that prints it."""
    return "".join(_SPECIAL.get(character, character) for character in wording.shown(text))


def _table(group: Group) -> str:
    key = group.key
    names = category_names(row.l1 for row in group.rows)
    notes = dict.fromkeys(note for row in group.rows for note in row.notes)
    caption = ". ".join(
        [
            f"{key.benchmark}, judge {key.judge}, rule {key.rule}",
            "Mean times 100 with 95% bootstrap interval over prompts",
            "bold: above every other row of the table by a paired interval",
            *notes,
        ]
    )
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{''.join(_SPECIAL.get(c, c) for c in caption)}.}}",
        rf"\begin{{tabular}}{{lr{'r' * len(names)}r}}",
        r"\toprule",
        _line(["Model", "Overall", *map(escaped, names), "Coverage"]),
        r"\midrule",
        *(_line(_cells(row, names, group)) for row in group.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cells(row: LeaderboardRow, names: Sequence[str], group: Group) -> list[str]:
    overall = wording.score_text(row.overall).replace(wording.NOTHING, "--")
    best = row.rank_range == (1, 1) and sum(r.rank is not None for r in group.rows) > 1
    figures = [row.l1.get(name) for name in names]
    scores = [wording.score_text(figure.score if figure else None) for figure in figures]
    return [
        escaped(label(row, group)),
        (rf"\textbf{{{overall}}}" if best else overall)
        + (f" {{\\scriptsize {wording.interval_text(row.interval)}}}" if row.interval else ""),
        *(score.replace(wording.NOTHING, "--") for score in scores),
        escaped(wording.coverage_text(row.items_scored, row.items_expected)),
    ]
