"""The leaderboard as Markdown, for a README or an issue: every cell escaped.

Lines are joined here: pandas would need another package for them, and pads cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from dpgbench.analysis.board import Board
from dpgbench.analysis.compbench import CompbenchFigure
from dpgbench.analysis.leaderboard import OVERALL, coverage_text
from dpgbench.analysis.learning import LearningCurve
from dpgbench.analysis.ranking import Group
from dpgbench.domain.result import Score
from dpgbench.report.benchmark_terms import benchmark_terms
from dpgbench.report.beside_published import BesidePublished
from dpgbench.report.tables.frame import (
    category_names,
    figures,
    group_frame,
    is_best,
    leaderboard_frame,
    quoted,
)
from dpgbench.report.text import (
    BESIDE_WARNING,
    NOTHING,
    PUBLISHED_ELSEWHERE,
    PUBLISHED_WARNING,
    compbench_notes,
    compbench_text,
    in_field_order,
    interval_text,
    number_text,
    rank_text,
    rewritten_note,
    row_warnings,
    rule_summary,
    score_text,
    shown,
)
from dpgbench.store.published import CATEGORIES
from dpgbench.store.published_compbench import CATEGORIES as COMPBENCH_CATEGORIES

if TYPE_CHECKING:
    import pandas as pd

_SPECIAL = re.compile(r"([\\`*_\[\]#!|~$]|^[-+=])")
_NUMBERED = re.compile(r"^(\d+)([.)])")
_CELL_LIMIT = 300


def leaderboard_markdown(board: Board, beside: Sequence[BesidePublished] = ()) -> str:
    """Return a table for each group, then published scores apart; what is surely best in bold.

    Args:
        beside: published scores of the models that were measured.
    """
    frame = leaderboard_frame(board)
    parts = ["# DPG-Bench leaderboard", _INTRODUCTION]
    for place, group in enumerate(board.groups):
        parts += _group(group, group_frame(frame, place))
    parts += _beside_part(beside)
    for curve in board.learning:
        parts += _learning(curve)
    parts += _rewritten_part(board)
    parts += _compbench_part(board)
    parts += _terms_part(board)
    published = frame[frame["kind"] == "published"]
    parts += _published_part(published, board.is_on_published_benchmark)
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = (
    "Scores are times 100, with 95% bootstrap intervals over prompts. Only rows of one table are "
    "ranked against each other: they share benchmark, items, judge and rule. A rank such as 1-2 "
    "says that the order of these models is not settled. n counts a category's questions; coverage "
    "says over how many items an overall is. Bold: above every other row of its "
    "table by paired differences (after Holm's correction in categories)."
)


def _terms_part(board: Board) -> list[str]:
    """Return whose the benchmarks are, and under which licence."""
    lines = [f"- {escaped(str(terms), 1000)}" for terms in benchmark_terms(board)]
    return ["## Benchmarks and their licences", "\n".join(lines)] if lines else []


def escaped(text: str, limit: int = _CELL_LIMIT) -> str:
    """Return `text` as one line of Markdown that shows it and does nothing else."""
    line = shown(text, limit)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", line))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of cells that are escaped already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _group(group: Group, frame: pd.DataFrame) -> list[str]:
    key = group.key
    title = f"## {escaped(key.benchmark)}, judge {escaped(key.judge)}, rule {escaped(key.rule)}"
    if group.subset:
        title += f", {escaped(str(group.subset))}"
    names = in_field_order(category_names(row.l1 for row in group.rows))
    header = ["rank", "model", "overall", *map(escaped, names), "coverage", "run"]
    rows = zip(*_columns(frame, names), strict=True)
    remarks = [*dict.fromkeys(_remarks(group))]
    parts = [title, f"Rule: {escaped(rule_summary(key.rule))}", table(header, rows)]
    return [*parts, "\n".join(f"- {remark}" for remark in remarks)] if remarks else parts


def _learning(curve: LearningCurve) -> list[str]:
    key = curve.group.key
    title = (
        f"## Learning curve of {escaped(curve.training)}: {escaped(key.benchmark)}, judge "
        f"{escaped(key.judge)}, rule {escaped(key.rule)}"
    )
    rows = [
        (
            f"{point.look.step}",
            NOTHING if point.look.samples is None else f"{point.look.samples}",
            f"{score_text(point.row.overall)} {interval_text(point.row.interval)}".rstrip(),
            NOTHING if point.look.held_out_loss is None else f"{point.look.held_out_loss:.4f}",
        )
        for point in curve.points
    ]
    return [title, table(("step", "pairs seen", "overall", "held-out loss"), rows)]


def _columns(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[Iterator[str]]:
    yield map(_rank, frame["rank"], frame["rank_best"], frame["rank_worst"])
    yield map(escaped, frame["model"])
    yield map(_figure, figures(frame, "overall"), is_best(frame, OVERALL))
    for name in names:
        yield map(_category, figures(frame, f"l1_{name}"), is_best(frame, name))
    numbers = (frame[f"items_{what}"] for what in ("scored", "expected", "covered"))
    yield map(_coverage, *numbers, frame["subset"])
    yield map(escaped, frame["run"])


def _rank(rank: int | None, best: int | None, worst: int | None) -> str:
    ends = None if best is None or worst is None else (best, worst)
    return rank_text(rank, ends)


def _coverage(scored: int, expected: int, covered: int, subset: str | None) -> str:
    flag = "" if scored == expected else "**incomplete** "
    flag += "**subset** " if subset else ""
    return f"{flag}{coverage_text(scored, covered)} ({scored} of {covered})"


def _figure(figure: Score, best: bool) -> str:
    score = score_text(figure.score)
    ends = interval_text(figure.interval)
    return f"{f'**{score}**' if best else score} {ends}".rstrip()


def _category(figure: Score, best: bool) -> str:
    """Return a category's score and over how many questions and items it is."""
    score = _figure(Score(figure.score), best)
    number = number_text(figure)
    return score if figure.score is None or not number else f"{score} ({number})"


def _remarks(group: Group) -> Iterable[str]:
    for caveat in group.caveats:
        yield escaped(caveat)
    for row in group.rows:
        model, run = escaped(row.model), escaped(row.run)
        name = model if model == run else f"{model} ({run})"
        notes = [*filter(None, [rewritten_note(row)]), *row.notes]
        yield from (f"**{name}: {escaped(note)}**" for note in notes)
        if row.unranked:
            yield f"{name}: {escaped(row.unranked)}"
        yield from (f"{name}: {escaped(warning)}" for warning in row_warnings(row))


def beside_text(one: BesidePublished) -> str:
    """Return a published score of a run's model in one sentence, escaped, its source as a link."""
    quote = one.quote
    source = escaped(quote.source)
    if quote.address:
        source = f"[{source}]({quote.address})"
    gap = "" if one.difference is None else f" (measured here: {one.difference:+.2f})"
    figure = quote.average or NOTHING
    text = f"published as {escaped(quote.model)} {figure}{gap}, {source}"
    ends = [f"differs: {escaped(one.differs_text)}"] if one.differs_text else []
    ends += [f"unknown: {escaped(one.unknown_text)}"] if one.unknown_text else []
    return "; ".join([text, *ends]) + "."


def _beside_part(beside: Sequence[BesidePublished]) -> list[str]:
    """Return measured scores beside published ones of the same model."""
    if not beside:
        return []
    header = ["model", "rule", "judge", "measured", "published", "difference", "source"]
    header += ["settings that differ", "settings that are unknown"]
    rows = [
        [
            escaped(one.row.model),
            escaped(one.row.rule),
            escaped(one.row.judge),
            score_text(one.row.overall),
            f"{one.quote.average or NOTHING} as {escaped(one.quote.model)}",
            NOTHING if one.difference is None else f"{one.difference:+.2f}",
            f"[{escaped(one.quote.source)}]({one.quote.address})"
            if one.quote.address
            else escaped(one.quote.source),
            escaped(one.differs_text or "none that is recorded"),
            escaped(one.unknown_text or "none"),
        ]
        for one in beside
    ]
    return ["## Measured beside published", f"> {BESIDE_WARNING}", table(header, rows)]


def _rewritten_part(board: Board) -> list[str]:
    """Return each model on rewritten prompts beside its result on the originals."""
    lines = []
    for pair in board.rewritten:
        one, other = board.rows[pair.first], board.rows[pair.second]
        if pair.scores is None or pair.overall is None:
            continue
        difference = f"{pair.overall.difference:+.2f} {interval_text(pair.overall.interval)}"
        names = (one.model, one.benchmark, other.benchmark, one.judge, one.rule)
        scores = (score_text(pair.scores[0]), score_text(pair.scores[1]))
        lines.append([*map(escaped, names), *scores, difference.strip(), str(pair.items)])
    if not lines:
        return []
    header = ["model", "rewritten", "original", "judge", "rule"]
    header += ["on rewritten", "on originals", "difference", "items"]
    return [
        "## Rewritten prompts",
        "The same model, items, judge and questions (those of the originals); differences are "
        "paired.",
        table(header, lines),
    ]


def _compbench_part(board: Board) -> list[str]:
    """Return T2I-CompBench's table beside the paper's; nothing where no run is about it."""
    if not board.compbench:
        return []
    rows: list[list[str]] = []
    for row in board.compbench:
        figures = ["<br>".join(map(_compbench_figure, row.of(n))) for n in COMPBENCH_CATEGORIES]
        rows.append([escaped(row.model), *figures, escaped(row.seeds), escaped(row.run)])
    for quote in board.compbench_published:
        figures = [f"*{quote.scores[name]}*" for name in COMPBENCH_CATEGORIES]
        rows.append([f"*{escaped(quote.model)}*", *figures, "*not stated*", escaped(quote.source)])
    header = ["model", *COMPBENCH_CATEGORIES, "seeds", "run or source"]
    notes = "\n".join(f"- {escaped(note, 400)}" for note in compbench_notes(board.compbench))
    title = "## T2I-CompBench, beside the ELLA paper's Table 3 (quoted rows in italics)"
    return [title, table(header, rows), *([notes] if notes else [])]


def _compbench_figure(figure: CompbenchFigure) -> str:
    return f"{escaped(compbench_text(figure))} {escaped(figure.judge)}"


def _published_part(frame: pd.DataFrame, comparable: bool) -> list[str]:
    if frame.empty:
        return []
    title = "## Published scores (quoted, not measured here, not ranked)"
    if not comparable:
        return [title, f"{PUBLISHED_ELSEWHERE} They stand in the CSV file."]
    header = ["*model*", "*overall*", *(f"*{name}*" for name in CATEGORIES), "*source*", "*note*"]
    scores: list[Iterable[str | None]] = [
        frame["overall"],
        *(quoted(frame, name) for name in CATEGORIES),
    ]
    columns: list[Iterable[str]] = [
        [f"*{escaped(model)}*" for model in frame["model"]],
        *([score or NOTHING for score in column] for column in scores),
        *(map(escaped, frame[f"published_{what}"]) for what in ("source", "note")),
    ]
    return [title, f"> {PUBLISHED_WARNING}", table(header, zip(*columns, strict=True))]
