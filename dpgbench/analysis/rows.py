"""Runs to leaderboard rows: a row for each run, judge and rule, ranked among its like only.

Two rows are ranked against each other only where benchmark (with its hash), items, judge (with its
weights) and rule are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dpgbench.analysis.leaderboard import GroupKey, LeaderboardRow, row_of
from dpgbench.analysis.ranking import Difference, Entry, differences, rank_ranges, ranks
from dpgbench.analysis.subset import Subset
from dpgbench.domain.rules import RULES
from dpgbench.errors import UsageError, counted
from dpgbench.report.page.images import verified
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.scores import RunRecord, read_record


@dataclass(frozen=True)
class Group:
    """Rows that may be ranked against each other, best first, the unranked last.

    Attributes:
        differences: of each two ranked rows, the better first; empty where the runs have no
            tables of items to pair.
        apart: what other tables are about other items of the same benchmark, judge and rule.
    """

    key: GroupKey
    rows: tuple[LeaderboardRow, ...]
    differences: tuple[Difference, ...] = ()
    apart: str = ""

    @property
    def subset(self) -> Subset | None:
        """Which part of the benchmark the rows are about; None where about all of it."""
        return next((row.subset for row in self.rows if row.subset), None)


def load_rows(runs: Sequence[RunDir], *, verify: bool = True) -> list[LeaderboardRow]:
    """Return the rows of `runs`, group by group, best first.

    Args and errors are those of `load_records`.
    """
    return [row for group in group_records(load_records(runs, verify=verify)) for row in group.rows]


def load_records(runs: Sequence[RunDir], *, verify: bool = True) -> list[RunRecord]:
    """Return what each run holds, in the order given; a run that is named twice counts once.

    Args:
        verify: check pictures against the hashes in the run's log; without, a note tells that they
            were not.

    Raises:
        UsageError: no run was given.
        DataError: a run has no scores, or a damaged file.
        ResumeMismatchError: a picture is another one than was drawn or judged.
    """
    if not runs:
        raise UsageError("no run to report; name run directories: dpgbench report RUN...")
    unique = {run.path.resolve(): run for run in runs}
    return [verified(read_record(run), verify=verify) for run in unique.values()]


def group_records(records: Iterable[RunRecord]) -> list[Group]:
    """Return the results of `records` in groups, sorted by benchmark, judge and rule."""
    found: dict[GroupKey, list[LeaderboardRow]] = {}
    for index, record in enumerate(records):
        for result in record.results:
            row = row_of(index, record, result)
            found.setdefault(row.key, []).append(row)
    order = sorted(found, key=lambda key: _group_order(key, found[key]))
    return [_ranked(key, found[key], _apart(key, found)) for key in order]


def _group_order(
    key: GroupKey, rows: Sequence[LeaderboardRow]
) -> tuple[str, str, str, int, bool, GroupKey]:
    known = list(RULES)
    place = known.index(key.rule) if key.rule in RULES else len(known)
    part = any(row.subset for row in rows)
    return key.benchmark, key.benchmark_hash, key.judge, place, part, key


def _apart(key: GroupKey, found: Mapping[GroupKey, Sequence[LeaderboardRow]]) -> str:
    """Return the sentence on tables that are like this one but for the items."""
    sizes = [
        counted(max(row.items_expected for row in rows), "item")
        for other, rows in found.items()
        if other != key and other._replace(items_hash=key.items_hash) == key
    ]
    if not sizes:
        return ""
    return (
        f"Another table is about other items of this benchmark ({', '.join(sorted(sizes))}): "
        "means over different items are not ranked against each other; "
        "'dpgbench compare' sets two runs side by side on the items that both have."
    )


def _ranked(key: GroupKey, found: Sequence[LeaderboardRow], apart: str) -> Group:
    rows = [
        replace(row, unranked=row.unranked or _why_unranked(row, found))
        for row in sorted(found, key=_order)
    ]
    fair = [row for row in rows if not row.unranked]
    entries = [Entry(row.overall or 0.0, row.interval, row.items) for row in fair]
    pairs = differences(entries, RULES.get(key.rule))
    ranges = rank_ranges(entries, pairs)
    ranked = [
        replace(row, rank=rank, rank_range=possible)
        for row, rank, possible in zip(fair, ranks(entries), ranges, strict=True)
    ]
    return Group(key, (*ranked, *(row for row in rows if row.unranked)), tuple(pairs), apart)


def _why_unranked(row: LeaderboardRow, rows: Sequence[LeaderboardRow]) -> str:
    """Return why a row has no rank among `rows`.

    Complete rows are ranked; where there are none, those that lack the same items as the one
    that lacks fewest.
    """
    if row.overall is None:
        return "not ranked: no item has a score"
    best = min((other for other in rows if other.overall is not None), key=lambda o: o.missing)
    alike = row.failures.keys() == best.failures.keys()
    if row.missing and not (best.missing and alike):
        return f"not ranked: {row.missing} of {row.items_expected} items lack answers"
    return ""


def _order(row: LeaderboardRow) -> tuple[float, str, int]:
    return (float("inf") if row.overall is None else -row.overall, row.model, row.index)
