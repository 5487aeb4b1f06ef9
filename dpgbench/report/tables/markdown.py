"""The leaderboard as Markdown, for a README or an issue: every cell escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import OVERALL, LeaderboardRow, coverage_text
from dpgbench.analysis.ranking import Group
from dpgbench.report import text as wording
from dpgbench.report.tables.csv_table import category_names
from dpgbench.store.published import CATEGORIES, PublishedScore
from dpgbench.store.run.scores import Figure

_SPECIAL = re.compile(r"([\\`*_\[\]#!|~$]|^[-+=])")
_NUMBERED = re.compile(r"^(\d+)([.)])")
_CELL_LIMIT = 300


def leaderboard_markdown(board: Board) -> str:
    """Return a table for each group, then published scores apart; what is surely best in bold."""
    parts = ["# DPG-Bench leaderboard", _INTRODUCTION]
    for group in board.groups:
        parts += _group(group)
    parts += _published_part(board.published, board.is_on_published_benchmark)
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = (
    "Scores are times 100, with 95% bootstrap intervals over prompts. Only rows of one table are "
    "ranked against each other: they share benchmark, items, judge and rule. A rank such as 1-2 "
    "says that the order of these models is not settled. n counts a category's questions; coverage "
    "says over how many items an overall is. Bold: above every other row of its "
    "table by paired differences (after Holm's correction in categories)."
)


def escaped(text: str, limit: int = _CELL_LIMIT) -> str:
    """Return `text` as one line of Markdown that shows it and does nothing else."""
    line = wording.shown(text, limit)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", line))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of cells that are escaped already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _group(group: Group) -> list[str]:
    key = group.key
    title = f"## {escaped(key.benchmark)}, judge {escaped(key.judge)}, rule {escaped(key.rule)}"
    if group.subset:
        title += f", {escaped(str(group.subset))}"
    names = category_names(row.l1 for row in group.rows)
    header = ["rank", "model", "overall", *map(escaped, names), "coverage", "run"]
    rows = [_cells(row, names) for row in group.rows]
    remarks = [*dict.fromkeys(_remarks(group))]
    parts = [title, f"Rule: {escaped(wording.rule_summary(key.rule))}", table(header, rows)]
    return [*parts, "\n".join(f"- {remark}" for remark in remarks)] if remarks else parts


def _cells(row: LeaderboardRow, names: Sequence[str]) -> list[str]:
    scored = coverage_text(row.items_scored, row.items_covered)
    flag = "" if row.items_scored == row.items_expected else "**incomplete** "
    flag += "**subset** " if row.subset else ""
    figures = [(name, row.l1.get(name, Figure(None))) for name in names]
    return [
        wording.rank_text(row.rank, row.rank_range),
        escaped(row.model),
        _figure(Figure(row.overall, row.interval), OVERALL in row.best),
        *(_category(figure, name in row.best) for name, figure in figures),
        f"{flag}{scored} ({row.items_scored} of {row.items_covered})",
        escaped(row.run),
    ]


def _figure(figure: Figure, best: bool) -> str:
    score = wording.score_text(figure.score)
    ends = wording.interval_text(figure.interval)
    return f"{f'**{score}**' if best else score} {ends}".rstrip()


def _category(figure: Figure, best: bool) -> str:
    """Return a category's score and over how many questions and items it is."""
    score = _figure(Figure(figure.score), best)
    number = wording.number_text(figure)
    return score if figure.score is None or not number else f"{score} ({number})"


def _remarks(group: Group) -> Iterable[str]:
    for caution in group.cautions:
        yield escaped(caution)
    for row in group.rows:
        model, run = escaped(row.model), escaped(row.run)
        name = model if model == run else f"{model} ({run})"
        yield from (f"**{name}: {escaped(note)}**" for note in row.notes)
        if row.unranked:
            yield f"{name}: {escaped(row.unranked)}"
        yield from (f"{name}: {escaped(warning)}" for warning in wording.row_warnings(row))


def _published_part(published: Sequence[PublishedScore], comparable: bool) -> list[str]:
    if not published:
        return []
    title = "## Published scores (quoted, not measured here, not ranked)"
    if not comparable:
        return [title, f"{wording.PUBLISHED_ELSEWHERE} They stand in the CSV file."]
    header = ["*model*", "*overall*", *(f"*{name}*" for name in CATEGORIES), "*source*", "*note*"]
    rows = [
        [
            f"*{escaped(score.model)}*",
            score.average or wording.NOTHING,
            *(score.l1[name] or wording.NOTHING for name in CATEGORIES),
            escaped(score.source),
            escaped(score.note),
        ]
        for score in published
    ]
    return [title, f"> {wording.PUBLISHED_WARNING}", table(header, rows)]
