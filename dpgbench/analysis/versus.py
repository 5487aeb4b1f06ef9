"""Two runs against each other, in the order in which they were named: for the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from dpgbench.analysis.answers import item_sets
from dpgbench.analysis.comparison import CategoryDifference, Comparison, all_rows, comparisons
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.rows import group_records, load_records
from dpgbench.domain.statistics.paired import Outcomes, PairedDifference
from dpgbench.errors import DataError, UsageError, counted
from dpgbench.report.tables.json_table import comparison_json
from dpgbench.report.text import shown, too_few
from dpgbench.store.run.directory import RunDir

FEW_ITEMS = 40  # docs/statistics.md; `reports/compare.js` has it too


class Versus(NamedTuple):
    """Two results under one judge and one rule; the comparison is first less second."""

    first: LeaderboardRow
    second: LeaderboardRow
    comparison: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        told = replace(self.comparison, first=0, second=1)
        return comparison_json(told, (self.first, self.second))


def compare_runs(
    first: RunDir, second: RunDir, rule: str | None = None, *, verify: bool = True
) -> list[Versus]:
    """Return the two runs side by side for each judge and rule that both have.

    Args:
        rule: this rule only.
        verify: check pictures against the hashes in each run's log.

    Raises:
        UsageError: it is the same run twice.
        ResumeMismatchError: a picture is another one than was drawn or judged.
        DataError: a run has no scores, or the two share no judge and rule.
    """
    records = load_records([first, second], verify=verify)
    if len(records) < 2:
        raise UsageError(f"{first.path} and {second.path} are the same run; name two")
    rows = _widest(all_rows(group_records(records)))
    found = []
    for comparison in comparisons(rows, item_sets(records)):
        one, other = rows[comparison.first], rows[comparison.second]
        if rule in (None, one.rule):
            told = (one, other, comparison)
            found.append(
                Versus(*told) if one.index == 0 else Versus(other, one, turned(comparison))
            )
    if not found:
        raise DataError(
            f"{first.path} and {second.path} have no judge and rule in common"
            f"{f' (--rule {rule})' if rule else ''}: {_has(rows, 0)} against {_has(rows, 1)}; "
            "score both with the same --judge and --rule"
        )
    return found


def _widest(rows: list[LeaderboardRow]) -> list[LeaderboardRow]:
    """Return of each run, judge and rule the result over most items."""
    best: dict[tuple[int, str, str], LeaderboardRow] = {}
    for row in rows:
        place = (row.index, row.judge, row.rule)
        if place not in best or best[place].items_expected < row.items_expected:
            best[place] = row
    return [row for row in rows if best[row.index, row.judge, row.rule] is row]


def _has(rows: list[LeaderboardRow], index: int) -> str:
    return ", ".join(f"{row.judge}/{row.rule}" for row in rows if row.index == index)


def turned(found: Comparison) -> Comparison:
    """Return a comparison with its two sides exchanged."""
    wins, ties, losses = found.outcomes
    return replace(
        found,
        first=found.second,
        second=found.first,
        reasons=tuple(r._replace(first=r.second, second=r.first) for r in found.reasons),
        scores=None if found.scores is None else (found.scores[1], found.scores[0]),
        overall=None if found.overall is None else _turned(found.overall),
        outcomes=Outcomes(losses, ties, wins),
        l1=tuple(map(_turned_category, found.l1)),
        l2=tuple(map(_turned_category, found.l2)),
    )


def _turned(found: PairedDifference) -> PairedDifference:
    ends = None if found.interval is None else (0.0 - found.interval[1], 0.0 - found.interval[0])
    return PairedDifference(0.0 - found.difference, ends, found.p_value)


def _turned_category(found: CategoryDifference) -> CategoryDifference:
    return found._replace(
        first=found.second, second=found.first, difference=_turned(found.difference)
    )


def table(found: Versus) -> list[list[str]]:
    """Return overall and categories as rows of text, a header first."""
    names = [shown(row.run, 24) for row in (found.first, found.second)]
    lines = [["", *names, "difference", "95% interval", "p", "p (Holm)", "told apart", "items"]]
    comparison = found.comparison
    if comparison.overall is not None and comparison.scores is not None:
        verdict = _verdict(comparison.overall, comparison.overall.told_apart)
        cells = _line("overall", comparison.scores, comparison.overall, "", verdict)
        lines.append([*cells, f"{comparison.items:,}"])
    for category in (*comparison.l1, *comparison.l2):
        scores = (category.first, category.second)
        verdict = _verdict(category.difference, category.told_apart)
        adjusted = _chance(category.adjusted)
        cells = _line(category.name, scores, category.difference, adjusted, verdict)
        lines.append([*cells, f"{category.items:,}"])
    return lines


def _verdict(found: PairedDifference, told_apart: bool) -> str:
    if found.interval is None:
        return "too few"
    return "yes" if told_apart else "no"


def _line(
    name: str, scores: tuple[float, float], found: PairedDifference, adjusted: str, verdict: str
) -> list[str]:
    ends = "" if found.interval is None else "[{:+.2f}, {:+.2f}]".format(*found.interval)
    return [
        shown(name, 40),
        *(f"{score:.2f}" for score in scores),
        f"{found.difference:+.2f}",
        ends,
        _chance(found.p_value),
        adjusted,
        verdict,
    ]


def _chance(p_value: float | None) -> str:
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def sentences(found: Versus) -> Iterator[str]:
    """Yield what is not alike, and what the comparison shows."""
    comparison = found.comparison
    yield f"judge {shown(found.first.judge)}, rule {found.first.rule}"
    if any(reason.decides for reason in comparison.reasons):
        yield "not comparable, so no difference is computed:"
    elif comparison.reasons:
        yield "not strictly comparable:"
    yield from (f"  {shown(str(reason), 200)}" for reason in comparison.reasons)
    if comparison.overall is not None:
        wins, ties, losses = comparison.outcomes
        yield (
            f"{counted(comparison.items, 'item')} that both have: "
            f"{shown(found.first.run, 40)} is better on {wins}, equal on {ties}, worse on {losses}"
        )
    if comparison.overall is not None and comparison.overall.interval is None:
        yield too_few(comparison.items)
    elif 0 < comparison.items < FEW_ITEMS:
        yield "so few items: the intervals are too narrow and p is too small"
    if comparison.overall is not None and not comparison.l1 and found.first.l1:
        yield "no categories: the answers or questions at hand are not those that were scored"
    yield from _notes(found)


def _notes(found: Versus) -> Iterator[str]:
    """Yield what must be read beside the scores, with the run that it is about, each once."""
    about: dict[str, list[str]] = {}
    for row in (found.first, found.second):
        for note in row.remarks:
            about.setdefault(note, []).append(shown(row.run, 40))
    for note, runs in about.items():
        name = "both" if len(runs) == 2 else runs[0]
        yield f"note: {name}: {shown(note, 300)}"
