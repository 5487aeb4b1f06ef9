"""How figures and findings are put into words; one wording for CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dpgbench.analysis.comparison import Comparison
from dpgbench.analysis.compbench import CompbenchFigure, CompbenchRow
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import Group
from dpgbench.domain.result import Score
from dpgbench.domain.rules import ALL_RULES
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS, Interval
from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.errors import counted
from dpgbench.store.published import CATEGORIES
from dpgbench.store.run.manifest_summary import MEANINGLESS

NOTHING = "—"
UNIDET_JUDGE = "spatial"
_DIRECTIONS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
PUBLISHED_WARNING = (
    "Figures quoted from papers, model cards and issue threads. They were not measured here: "
    "settings, prompts used, image sizes, seeds and judges differ and are often unknown, and "
    "several disagree with each other about the same model. Most come from the reference script, "
    "which the rule ella-reference follows. They carry no rank, and a difference to a run above "
    "does not show which model is better."
)
BESIDE_WARNING = (
    "Scores of the same model as others published them. A difference says nothing about the model "
    "as long as settings differ or are unknown; what each had is said beside it."
)
PUBLISHED_ELSEWHERE = (
    "No run in this report is on the benchmark dpg, which these figures are about: "
    "nothing above can be compared with them."
)

_WARNINGS = {
    "dependency_word": (
        "{} dependency part that is no number was ignored",
        "{} dependency parts that are no numbers were ignored",
    ),
    "self_parent": (
        "{} question named as its own parent: ignored",
        "{} questions named as their own parents: ignored",
    ),
    "unknown_parent": (
        "{} parent that is no question of its item was ignored",
        "{} parents that are no questions of their items were ignored",
    ),
    "forward_parent": (
        "{} parent stands after its child in the file",
        "{} parents stand after their children in the file",
    ),
    "cycle_edge": (
        "{} dependency edge that closes a cycle was ignored",
        "{} dependency edges that close a cycle were ignored",
    ),
    "duplicate_question": (
        "{} repeated question row: the first counts",
        "{} repeated question rows: the first counts",
    ),
    "split_item": (
        "{} item whose rows do not stand together",
        "{} items whose rows do not stand together",
    ),
    "conflicting_text": (
        "{} row whose prompt differs from its item's first",
        "{} rows whose prompts differ from their items' first",
    ),
    "empty_text": ("{} item with an empty prompt", "{} items with an empty prompt"),
    "empty_question": ("{} question without text", "{} questions without text"),
    "empty_category": ("{} question without a category", "{} questions without a category"),
    "items_not_chosen": (
        "{} item of the benchmark was not chosen for this run",
        "{} items of the benchmark were not chosen for this run",
    ),
    "items_without_all_answers": (
        "{} item without all answers: the result is incomplete",
        "{} items without all answers: the result is incomplete",
    ),
    "items_lost_by_the_rule": (
        "{} item gets no score under this rule although all is answered",
        "{} items get no score under this rule although all is answered",
    ),
    "answers_neither_yes_nor_no": (
        "{} answer is neither yes nor no: it counts as no unless the rule reads it",
        "{} answers are neither yes nor no: they count as no unless the rule reads them",
    ),
    "invalid_answers": (
        "{} answer is neither yes nor no: it counts as no",
        "{} answers are neither yes nor no: they count as no",
    ),
    "single_colour_tiles": (
        "{} tile is of one single colour: look at it",
        "{} tiles are of one single colour: look at them",
    ),
    "stray_answers": (
        "{} answer about no item, tile or question of the benchmark: not counted",
        "{} answers about no item, tile or question of the benchmark: not counted",
    ),
}


def score_text(score: float | None) -> str:
    """Return a score of 0..100 with two digits after the point."""
    return NOTHING if score is None else f"{score:.2f}"


def interval_text(interval: Interval) -> str:
    """Return an interval as ``[73.2, 76.5]``, or nothing."""
    return "" if interval is None else f"[{interval[0]:.1f}, {interval[1]:.1f}]"


def with_interval(score: float | None, interval: Interval) -> str:
    """Return a score and its interval."""
    return f"{score_text(score)} {interval_text(interval)}".rstrip()


def too_few(items: int) -> str:
    """Return why a difference on so few items has no interval and no p-value."""
    return (
        f"{counted(items, 'common item')}: fewer than {LEAST_ITEMS} do not tell a difference "
        "from chance, so there is no interval and no p-value"
    )


def apart_text(difference: PairedDifference) -> str:
    """Return whether two results differ by more than chance, in words."""
    interval = difference.interval
    if interval is None:
        return "too few"
    if difference.significant:
        return "yes"
    return "no" if interval[0] <= 0 <= interval[1] else "not after Holm"


def in_field_order(names: Iterable[str]) -> list[str]:
    """Return L1 or L2 categories as tables of the field have them, others sorted behind."""
    places = {name: place for place, name in enumerate(CATEGORIES)}
    return sorted(names, key=lambda name: (places.get(_parts(name)[0], len(places)), name))


def category_title(name: str) -> str:
    """Return a category with capitals: ``Global``, ``Attribute: Color``."""
    return ": ".join(part[:1].upper() + part[1:] for part in _parts(name) if part)


def _parts(name: str) -> tuple[str, str]:
    l1, _, l2 = name.partition(" - ")
    return l1.strip().removesuffix("-").strip(), l2.strip()


def number_text(figure: Score) -> str:
    """Return over how many things a figure is, as ``n=312``; nothing where it is over nothing."""
    if not figure.number:
        return ""
    few = figure.items is not None and figure.items < LEAST_ITEMS
    return f"n={figure.number:,}" + (f", {counted(figure.items or 0, 'item')}" if few else "")


def rank_text(rank: int | None, rank_range: tuple[int, int] | None) -> str:
    """Return ``1`` or, where other places are possible, ``1-2``."""
    if rank is None or rank_range is None:
        return NOTHING if rank is None else str(rank)
    low, high = rank_range
    return str(low) if low == high else f"{low}-{high}"


def row_warnings(row: LeaderboardRow) -> list[str]:
    """Return what went wrong or is odd about a result, as sentences."""
    counts = dict(row.warnings)
    if row.subset:
        counts.pop("items_not_chosen", None)  # told by the part's own words
    texts = warning_texts(counts)
    if row.truncated_questions:
        texts.append(
            f"{counted(row.truncated_questions, 'question')} longer than the judge reads: "
            "it did not see the end"
        )
    cut = row.truncation
    if cut and cut.truncated:
        texts.append(
            f"the text encoder cut {cut.truncated} of {cut.prompts} prompts at {cut.limit} tokens"
        )
    return texts


def remarks(row: LeaderboardRow) -> list[str]:
    """Return everything that must be read beside a score, as sentences, the weightiest first."""
    part = [f"only {row.subset}"] if row.subset else []
    part += [note] if (note := rewritten_note(row)) else []
    unranked = [row.unranked] if row.unranked else []
    return [*part, *row.notes, *unranked, *row_warnings(row)]


def rewritten_note(row: LeaderboardRow) -> str:
    """Return what is said of a score on rewritten prompts; "" of one on their original."""
    original = row.asked.original
    return f"its prompts were rewritten from those of {original.name}" if original else ""


def warning_texts(warnings: Mapping[str, int]) -> list[str]:
    """Return each counted warning as a sentence."""
    return [_warning_text(kind, number) for kind, number in sorted(warnings.items()) if number]


def _warning_text(kind: str, number: int) -> str:
    forms = _WARNINGS.get(kind)
    if forms is None:
        return f"{kind.replace('_', ' ')}: {number:,}"
    return forms[number != 1].format(f"{number:,}")


def compbench_text(figure: CompbenchFigure) -> str:
    """Return a figure of T2I-CompBench with its interval, and over what it is.

    On UniDet's detections the ceiling that its labels leave stands beside it.
    """
    if figure.score is None:
        return NOTHING
    ends = figure.interval
    interval = f" [{ends[0]:.4f}, {ends[1]:.4f}]" if ends else ""
    over = f"{counted(figure.items, 'prompt')}, {counted(figure.num_images, 'image')} each"
    ceiling = ", can reach 0.6667 at most" if figure.judge == UNIDET_JUDGE else ""
    return f"{figure.score:.4f}{interval} ({over}{ceiling})"


def compbench_notes(rows: Sequence[CompbenchRow]) -> list[str]:
    """Return what must be read beside figures of T2I-CompBench, each once, with its judge."""
    notes = (
        f"{figure.judge}: {note}" for row in rows for figure in row.figures for note in figure.notes
    )
    return list(dict.fromkeys(notes))


def rule_summary(rule: str) -> str:
    """Return a rule's one-line explanation."""
    named = ALL_RULES.get(rule)
    return named.summary if named else "a rule that this version of the toolkit does not know"


def shown(text: str, limit: int = 60) -> str:
    """Return `text` on one line, cut to `limit` characters where it is longer.

    Words stay whole where they are not long themselves. Characters that a terminal or a page would
    obey (controls, changes of direction) are escaped.
    """
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(_visible(character) for character in line)
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    if line[limit - 1] != " " and cut.rfind(" ") > limit // 2:
        cut = cut[: cut.rfind(" ")]
    return cut.rstrip() + "…"


def _visible(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cs") or character in _DIRECTIONS:
        return character.encode("unicode_escape").decode()
    return character


def listed(names: list[str]) -> str:
    """Return names as ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


class Lead(NamedTuple):
    """Who leads whom, by how much, and whether that is settled: ``FIRST is ahead of SECOND by``.

    Attributes:
        tied: the score that both have, to two digits; then nobody leads. Empty otherwise.
    """

    first: str
    second: str
    how_much: str
    tied: str = ""


def lead(group: Group) -> Lead | None:
    """Return what the two best of a group show; None without two, or where one means nothing."""
    ranked = [row for row in group.rows if row.rank is not None]
    if len(ranked) < 2:
        return None
    first, second = ranked[:2]
    if any(MEANINGLESS in note for row in (first, second) for note in row.notes):
        return None
    pair = group.comparisons[0] if group.comparisons else None
    same = score_text(first.overall) == score_text(second.overall)
    return Lead(
        label(first, group),
        label(second, group),
        _how_much(first, second, pair),
        score_text(first.overall) if same else "",
    )


def _how_much(first: LeaderboardRow, second: LeaderboardRow, pair: Comparison | None) -> str:
    if pair is None or pair.overall is None:
        gap = (first.overall or 0.0) - (second.overall or 0.0)
        return f"{gap:.2f} points; the two could not be compared item by item."
    gap = pair.overall.difference
    if pair.overall.interval is None:
        return f"{gap:.2f} points; {too_few(pair.items)}."
    points = f"{gap:.2f} points {interval_text(pair.overall.interval)}"
    if pair.overall.significant:
        return f"{points}, item by item."
    return f"{points}: on these items the two cannot be told apart."


def row_sentence(row: LeaderboardRow, group: Group) -> str:
    """Return what one result is: its score, its place among those of its table, its extremes."""
    if row.overall is None:
        return f"No score: {row.unranked or 'no item has one'}."
    text = (
        f"{with_interval(row.overall, row.interval)} of 100 on {counted(row.items_scored, 'item')}"
    )
    ranked = sum(other.rank is not None for other in group.rows)
    if row.rank is not None and ranked > 1:
        text += f", place {rank_text(row.rank, row.rank_range)} of {ranked}"
    return f"{text}{extremes(row)}."


def extremes(row: LeaderboardRow) -> str:
    """Return in which L1 categories a result is highest and lowest, as the end of a sentence."""
    scores = {name: figure.score for name, figure in row.l1.items() if figure.score is not None}
    if len(scores) < 2:
        return ""
    best, worst = max(scores, key=lambda n: scores[n]), min(scores, key=lambda n: scores[n])
    if scores[best] == scores[worst]:
        return ""
    return (
        f"; highest in {best} ({score_text(scores[best])}), "
        f"lowest in {worst} ({score_text(scores[worst])})"
    )


def difference_text(difference: PairedDifference) -> str:
    """Return a difference with its interval, in points."""
    if difference.interval is None:
        return f"{difference.difference:+.2f} points"
    low, high = difference.interval
    return f"{difference.difference:+.2f} points [{low:+.1f}, {high:+.1f}]"


def label(row: LeaderboardRow, group: Group, limit: int = 60) -> str:
    """Return the model's name, with the run's where the group has the model twice."""
    twice = sum(other.model == row.model for other in group.rows) > 1
    name = shown(row.model, limit)
    return f"{name} ({shown(row.run, limit)})" if twice else name


def labels(rows: Sequence[LeaderboardRow], group: Group) -> str:
    """Return the labels of several rows of a group."""
    return ", ".join(label(row, group) for row in rows)
