"""The leaderboard as LaTeX that goes into a paper as it is, compiled by pdflatex.

Each leaderboard has three tables: ``table`` for one column, without intervals; ``table*`` for both
columns, with them; and one of L2 categories for the appendix. What is surely best is bold, what is
second underlined; published scores are not in them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import OVERALL, LeaderboardRow, coverage_text
from dpgbench.analysis.ranking import Group
from dpgbench.domain.result import Score
from dpgbench.errors import counted
from dpgbench.report.benchmark_terms import benchmark_terms
from dpgbench.report.group_names import group_names
from dpgbench.report.tables.frame import category_names
from dpgbench.report.tables.latex_text import PREAMBLE, breakable, latex, lines, unprintable
from dpgbench.report.text import (
    category_title,
    in_field_order,
    interval_text,
    label,
    row_warnings,
    score_text,
    shown,
)
from dpgbench.store.published import BENCHMARK

Kind = Literal["column", "wide", "l2"]
KINDS: Mapping[Kind, str] = {
    "column": "for one column, without intervals",
    "wide": "for both columns, with intervals",
    "l2": "L2 categories, for the appendix",
}
_NAME_WIDTH = 22  # printed characters a line of a model's name
_NAME_LIMIT = 60
_MOST_LINES = 4  # of a name
_HEADING_WIDTH = 11
_MOST_COLUMNS = 9  # of figures side by side; further ones go below
_MOST_SEEDS = 3
_NOTHING = "--"


def leaderboard_latex(board: Board) -> str:
    """Return all tables of all leaderboards, one below the other."""
    tables = latex_tables(board)
    return PREAMBLE + _terms_note(board) + _unicode_note(board) + "\n" + "\n".join(tables.values())


def latex_files(board: Board) -> dict[str, str]:
    """Return each table as a file of its own, by file name."""
    head = PREAMBLE + _terms_note(board) + _unicode_note(board) + "\n"
    return {f"{name}.tex": head + table for name, table in latex_tables(board).items()}


def latex_tables(board: Board) -> dict[str, str]:
    """Return each table of each leaderboard, by a name that is its label without ``tab:``."""
    names = group_names([group.key for group in board.groups])
    tables = {}
    for group in board.groups:
        name = _ascii(names[group.key])
        for kind, what in KINDS.items():
            if kind == "l2" and not any(row.l2 for row in group.rows):
                continue
            key = name if kind == "column" else f"{name}-{kind}"
            tables[key] = f"% {key}: {what}\n{_table(group, kind, key)}"
    return tables


def texts_without_letters(board: Board) -> dict[str, str]:
    """Return the characters that pdflatex cannot print, by the text that has them.

    Texts are the names of models, benchmarks, judges and rules, and the notes.
    """
    texts = [
        text
        for row in board.rows
        for text in (row.model, row.benchmark, row.judge, row.rule, *row.notes)
    ]
    missing = {shown(text): unprintable([shown(text, 2000)]) for text in texts}
    return {text: characters for text, characters in missing.items() if characters}


def escaped(text: str, limit: int = 60) -> str:
    """Return `text` on one line as LaTeX that prints it."""
    return latex(shown(text, limit))


def _terms_note(board: Board) -> str:
    """Return whose the benchmarks are, as comments: what to say of them is in the report's .bib."""
    return "".join(f"% {shown(str(terms), 1000)}\n" for terms in benchmark_terms(board))


def _unicode_note(board: Board) -> str:
    missing = "".join(dict.fromkeys("".join(texts_without_letters(board).values())))
    if not missing:
        return ""
    return (
        f"% pdflatex has no letters for {missing}: their code points are printed. To print them,\n"
        "% say before \\input, with the package CJKutf8:\n"
        "%   \\newcommand{\\dpgunicode}[2]{\\begin{CJK}{UTF8}{gbsn}#1\\end{CJK}}\n"
        "% or, with XeLaTeX or LuaLaTeX and a font that has them:\n"
        "%   \\newcommand{\\dpgunicode}[2]{#1}\n"
    )


def _ascii(name: str) -> str:
    """Return a name that can be a label and a file's name whatever the author's encoding is."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^\w.-]+", "-", plain).strip("-") or "leaderboard"


class _Column(NamedTuple):
    """A column of figures.

    Attributes:
        heading: of the column; `above` of the columns that it stands with, empty for none.
        figures: a figure a row.
        best: which rows are surely best.
    """

    heading: str
    figures: Sequence[Score]
    best: Sequence[bool]
    above: str = ""


@dataclass(frozen=True)
class _Style:
    """What kinds of tables differ in."""

    environment: str
    size: str
    intervals: bool


_STYLES: Mapping[Kind, _Style] = {
    "column": _Style("table", r"\footnotesize", intervals=False),
    "wide": _Style("table*", r"\small", intervals=True),
    "l2": _Style("table*", r"\footnotesize", intervals=False),
}


def _table(group: Group, kind: Kind, name: str) -> str:
    style = _STYLES[kind]
    blocks = _blocks(_l2_columns(group) if kind == "l2" else _l1_columns(group))
    text = "\n\\par\\medskip\n".join(_tabular(group, block, style) for block in blocks)
    return "\n".join(
        [
            rf"\begin{{{style.environment}}}",
            r"\centering",
            _caption(group, kind),
            rf"\label{{tab:{name}}}",
            r"\par\smallskip",
            style.size,
            r"\setlength{\tabcolsep}{3pt}",
            text,
            *_footnotes(group),
            rf"\end{{{style.environment}}}",
            "",
        ]
    )


def _l1_columns(group: Group) -> list[_Column]:
    rows = group.rows
    overall = [Score(row.overall, row.interval, row.items_scored) for row in rows]
    columns = [_Column("Overall", overall, [OVERALL in row.best for row in rows])]
    for name in in_field_order(category_names(row.l1 for row in rows)):
        figures = [row.l1.get(name, Score(None)) for row in rows]
        best = [name in row.best for row in rows]
        columns.append(_Column(category_title(name), figures, best))
    return columns


def _l2_columns(group: Group) -> list[_Column]:
    columns = []
    for name in in_field_order(category_names(row.l2 for row in group.rows)):
        l1, _, l2 = category_title(name).partition(": ")
        figures = [row.l2.get(name, Score(None)) for row in group.rows]
        columns.append(_Column(l2, figures, [False] * len(figures), l1))
    return columns


def _blocks(columns: Sequence[_Column]) -> list[list[_Column]]:
    """Return the columns in blocks that stand one below the other, groups of columns whole."""
    blocks: list[list[_Column]] = [[]]
    for place, column in enumerate(columns):
        starts = place == 0 or not column.above or columns[place - 1].above != column.above
        together = [c for c in columns[place:] if column.above and c.above == column.above]
        size = min(max(1, len(together)), _MOST_COLUMNS) if starts else 1
        if blocks[-1] and len(blocks[-1]) + size > _MOST_COLUMNS:
            blocks.append([])
        blocks[-1].append(column)
    return [block for block in blocks if block]


def _tabular(group: Group, columns: Sequence[_Column], style: _Style) -> str:
    names = [label(row, group, _NAME_LIMIT) for row in group.rows]
    body = []
    ranked = [row.rank is not None for row in group.rows]
    cells = [_cells(column, ranked) for column in columns]
    for place, name in enumerate(names):
        body.append([_stacked(_name_lines(name), "l"), *(column[place] for column in cells)])
        intervals = [interval_text(column.figures[place].interval) for column in columns]
        if style.intervals and any(intervals):
            body.append(["", *(rf"{{\scriptsize {text}}}" if text else "" for text in intervals)])
    rows = [
        r"\toprule",
        *_above(columns),
        _row(["Model", *(_stacked(_heading(column.heading), "r") for column in columns)]),
        r"\midrule",
        *map(_row, body),
        r"\midrule",
        _row([r"\textit{n}", *map(_numbers, columns)]),
        r"\bottomrule",
    ]
    alignment = f"@{{}}l{'r' * len(columns)}@{{}}"
    inner = "\n".join([rf"\begin{{tabular}}{{{alignment}}}", *rows, r"\end{tabular}"])
    return f"\\dpgfit{{%\n{inner}}}"


def _name_lines(name: str) -> list[str]:
    """Return a model's name in a few lines; one that would be longer is cut."""
    broken = lines(name, _NAME_WIDTH)
    if len(broken) > _MOST_LINES:
        broken = [*broken[: _MOST_LINES - 1], broken[_MOST_LINES - 1] + "…"]
    return broken


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _above(columns: Sequence[_Column]) -> list[str]:
    """Return the heading over groups of columns, with its rules; nothing where there are none."""
    if not any(column.above for column in columns):
        return []
    groups: list[tuple[str, int, int]] = []  # heading, first column, last column, as LaTeX counts
    for place, column in enumerate(columns, 2):
        if groups and groups[-1][0] == column.above:
            groups[-1] = (column.above, groups[-1][1], place)
        else:
            groups.append((column.above, place, place))
    heads = [
        rf"\multicolumn{{{last - first + 1}}}{{r}}{{{latex(shown(name))}}}"
        for name, first, last in groups
    ]
    rules = " ".join(rf"\cmidrule(l){{{first}-{last}}}" for _, first, last in groups)
    return [_row(["", *heads]), rules]


def _heading(text: str) -> list[str]:
    """Return a column's heading in lines that are no wider than figures need, words whole."""
    broken = [""]
    for word in shown(text).split(" "):
        if broken[-1] and len(broken[-1]) + 1 + len(word) > _HEADING_WIDTH:
            broken.append(word)
        else:
            broken[-1] = f"{broken[-1]} {word}".strip()
    return [part for line in broken for part in lines(line, 2 * _HEADING_WIDTH)]


def _stacked(texts: Sequence[str], alignment: str) -> str:
    """Return lines as one cell."""
    cell = r" \\ ".join(map(latex, texts))
    if len(texts) == 1:
        return cell
    return rf"\begin{{tabular}}[b]{{@{{}}{alignment}@{{}}}}{cell}\end{{tabular}}"


def _cells(column: _Column, ranked: Sequence[bool]) -> list[str]:
    """Return a column's figures, the surely best in bold, the second of the ranked underlined."""
    scores = [figure.score for figure in column.figures]
    fair = zip(scores, ranked, strict=True)
    there = sorted((score for score, has in fair if has and score is not None), reverse=True)
    second = there[1] if len(there) > 1 and there[1] < there[0] else None
    cells = []
    for score, best, has in zip(scores, column.best, ranked, strict=True):
        text = _NOTHING if score is None else score_text(score)
        if best:
            text = rf"\textbf{{{text}}}"
        elif has and score is not None and score == second:
            text = rf"\underline{{{text}}}"
        cells.append(text)
    return cells


def _numbers(column: _Column) -> str:
    """Return over how many things a column's figures are: one number, or the least and the most."""
    numbers = sorted({figure.number for figure in column.figures if figure.number})
    if not numbers:
        return ""
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,}--{numbers[-1]:,}"


def _caption(group: Group, kind: Kind) -> str:
    key = group.key
    name = "DPG-Bench" if key.benchmark == BENCHMARK else key.benchmark
    what = "L2 categories" if kind == "l2" else "overall and L1 categories"
    measured = "Mean times 100"
    if kind == "wide":
        measured += "; brackets: 95% bootstrap intervals over items"
    bold = "bold: above every other row by paired differences, after Holm in categories; "
    sentences = [
        f"{name}, {what}: judge {key.judge}, rule {key.rule}, {_items(group)}, "
        f"{_images(group.rows)}, {_seeds(group)}",
        f"{measured}; {'' if kind == 'l2' else bold}underlined: second; "
        f"n: questions{'' if kind == 'l2' else ', overall items'}",
        *(note.rstrip(". ") for note in dict.fromkeys(n for row in group.rows for n in row.notes)),
    ]
    short = latex(shown(f"{name}, {what}, judge {key.judge}, rule {key.rule}", 200))
    text = ". ".join(breakable(shown(part, 2000)) for part in sentences)
    return rf"\caption[{{{short}}}]{{{text}.}}"


def _items(group: Group) -> str:
    if group.subset:
        return str(group.subset)
    expected = max(row.items_expected for row in group.rows)
    short = [row for row in group.rows if row.items_scored != expected]
    if not short:
        return f"{expected:,} item{'s' if expected != 1 else ''}"
    return f"{expected:,} items (not all scored, see below)"


def _images(rows: Sequence[LeaderboardRow]) -> str:
    numbers = sorted({row.num_images for row in rows})
    if len(numbers) == 1:
        return f"{counted(numbers[0], 'image')} an item"
    return f"{' or '.join(map(str, numbers))} images an item"


def _seeds(group: Group) -> str:
    """Return the seeds of the images, and whose they are where they differ."""
    by_seeds: dict[str, list[str]] = {}
    for row in group.rows:
        by_seeds.setdefault(_seeds_of(row), []).append(label(row, group, _NAME_LIMIT))
    if len(by_seeds) == 1:
        (only,) = by_seeds
        return only
    if len(by_seeds) > _MOST_SEEDS:
        return "seeds differ from row to row"
    return ", ".join(f"{seeds} ({', '.join(names)})" for seeds, names in by_seeds.items())


def _seeds_of(row: LeaderboardRow) -> str:
    if not row.seed_rule or row.base_seed is None:
        return "seeds not recorded"
    if row.seed_rule != "per-tile":
        return f"seeds {row.seed_rule} from {row.base_seed}"
    last = row.base_seed + row.num_images - 1
    return f"seed {last}" if row.num_images == 1 else f"seeds {row.base_seed} to {last}"


def _footnotes(group: Group) -> list[str]:
    """Return what must be read beside rows, a small line for each."""
    texts = [caveat for caveat in (group.apart,) if caveat]
    about: dict[str, list[str]] = {}
    for row in group.rows:
        for text in filter(None, [row.unranked, _coverage(row), *row_warnings(row)]):
            about.setdefault(text, []).append(label(row, group))
    for text, names in about.items():
        every = len(names) == len(group.rows) > 1
        texts.append(f"{'all rows' if every else ', '.join(names)}: {text}")
    return [
        rf"\par{{\footnotesize\raggedright {breakable(shown(text, 1000))}\par}}" for text in texts
    ]


def _coverage(row: LeaderboardRow) -> str:
    """Return over how many items a row is, where that is not all."""
    if row.items_scored == row.items_covered:
        return ""
    share = coverage_text(row.items_scored, row.items_covered)
    return f"{share} of the items ({row.items_scored} of {row.items_covered})"
