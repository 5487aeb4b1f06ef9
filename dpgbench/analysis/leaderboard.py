"""A row of the leaderboard: what one run scored with one judge under one rule.

Two rows may be ranked against each other only where benchmark (with its hash), items, judge (with
its weights) and rule are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dpgbench.analysis.answers import SAME_SCORE, ItemSet, ScoredAnswers, scored_answers
from dpgbench.domain.aggregate import recorded_parts
from dpgbench.domain.benchmark import Subset
from dpgbench.domain.result import CategoryScore, ItemFigure, Result, Score
from dpgbench.domain.rules import ALL_RULES, ScoringRule
from dpgbench.domain.spec import identity_hash
from dpgbench.domain.statistics.bootstrap import Interval, RatioTable, ratios
from dpgbench.errors import UsageError, counted
from dpgbench.store.run import manifest_summary
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.images import verified
from dpgbench.store.run.manifest_summary import AskedBenchmark, TruncatedPrompts
from dpgbench.store.run.scores import RunRecord, read_record

OVERALL = ""  # in `LeaderboardRow.best`, where the other names are L1 categories


_NOT_RECORDED = AskedBenchmark()


class GroupKey(NamedTuple):
    """What two rows must share to be ranked against each other."""

    benchmark: str
    benchmark_hash: str
    items_hash: str
    judge: str
    judge_hash: str
    rule: str


@dataclass(frozen=True)
class LeaderboardRow:
    """What one run scored with one judge under one rule. Scores are times 100 and unrounded.

    Attributes:
        run: the run directory's name.
        index: the run's place among the runs of the board, from 0.
        l1: by category; the number of items where the answers are at hand, and then no interval
            over too few of them. `l2` and `sources` alike.
        failures: why items have no score, by id.
        date: when the run was completed, or else begun; ISO 8601.
        notes: sentences that must be shown beside the score.
        warnings: how often each kind of warning occurred.
        truncated_questions: questions longer than the judge reads.
        truncation: prompts that the text encoder cut; None where it has no limit.
        items: each item's score, where the run has a table of items.
        missing: how many items lack answers.
        answers: the answers that the result was scored from; None where they are not at hand.
        subset: which part of the benchmark the result is about; None where about all of it.
        narrow: whether the run set out to do more items than the result is about.
        releases: of the libraries that the judge ran with; empty where not recorded.
        asked: of which prompts and questions it is, by their hashes.
        unranked: why there is no rank; empty where there is one.
        rank: from 1 within the row's group; None where it would not be fair to give one.
        rank_range: the ranks that the intervals leave possible, best and worst.
        best: `OVERALL` and L1 categories in which the row is surely above every other ranked one.
    """

    run: str
    index: int
    model: str
    key: GroupKey
    overall: float | None
    interval: Interval
    l1: Mapping[str, CategoryScore]
    l2: Mapping[str, CategoryScore]
    sources: Mapping[str, Score]
    items_scored: int
    items_expected: int
    failures: Mapping[str, str]
    num_images: int
    seed_rule: str
    base_seed: int | None
    image_size: str
    date: str
    notes: tuple[str, ...]
    warnings: Mapping[str, int]
    truncated_questions: int
    truncation: TruncatedPrompts | None
    identity_hash: str
    items: Mapping[str, ItemFigure] = field(repr=False)
    missing: int
    answers: ScoredAnswers | None = field(default=None, repr=False, compare=False)
    subset: Subset | None = None
    releases: str = ""
    narrow: bool = False
    asked: AskedBenchmark = _NOT_RECORDED
    unranked: str = ""
    rank: int | None = None
    rank_range: tuple[int, int] | None = None
    best: frozenset[str] = frozenset()

    @property
    def benchmark(self) -> str:
        """Name of the benchmark."""
        return self.key.benchmark

    @property
    def benchmark_hash(self) -> str:
        """Stands for the benchmark's prompts and questions."""
        return self.key.benchmark_hash

    @property
    def judge(self) -> str:
        """Name of the judge."""
        return self.key.judge

    @property
    def judge_hash(self) -> str:
        """Stands for the judge's weights and decoding; empty where none are recorded."""
        return self.key.judge_hash

    @property
    def rule(self) -> str:
        """Name of the scoring rule."""
        return self.key.rule

    @property
    def coverage(self) -> float:
        """Share of the benchmark's items that have a score, 0..1."""
        return self.items_scored / self.items_covered if self.items_covered else 0.0

    @property
    def items_covered(self) -> int:
        """How many items full coverage takes: those expected, or all where they are a part."""
        return self.subset.of if self.subset else self.items_expected


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


def read_rows(
    records: Iterable[RunRecord], item_sets: Sequence[ItemSet]
) -> list[tuple[LeaderboardRow, ...]]:
    """Return the results of `records` as rows, those that may be ranked together side by side.

    Groups are sorted by benchmark, judge and rule; their rows best first, those that have no rank
    last, with the reason why. Ranks are given by `ranking`.
    """
    groups: dict[GroupKey, list[LeaderboardRow]] = {}
    for index, record in enumerate(records):
        for result in record.results:
            row = _row(index, record, result, scored_answers(item_sets, index, result))
            groups.setdefault(row.key, []).append(row)
    order = sorted(groups, key=lambda key: _group_order(key, groups[key]))
    return [_ordered(groups[key]) for key in order]


def overall_table(
    rows: Sequence[LeaderboardRow], rule: ScoringRule, items: Sequence[str]
) -> RatioTable:
    """Return what each item adds to the overall of each row: sums and counts, both [N, R]."""
    return recorded_parts([row.items for row in rows], items, rule)


def coverage_text(scored: int, expected: int) -> str:
    """Return the share of items that have a score; 100% only where not one is missing."""
    if not expected:
        return "0%"
    return "100%" if scored == expected else f"{min(99.9, 100 * scored / expected):.1f}%"


def _row(
    index: int, record: RunRecord, result: Result, answers: ScoredAnswers | None
) -> LeaderboardRow:
    manifest = record.manifest
    return LeaderboardRow(
        run=record.run.name,
        index=index,
        model=manifest.model,
        key=_key(record, result),
        overall=result.overall,
        interval=result.interval,
        l1=_with_items(result.l1, answers.num_items(0) if answers else {}),
        l2=_with_items(result.l2, answers.num_items(1) if answers else {}),
        sources=result.sources,
        items_scored=result.items_scored,
        items_expected=result.items_expected,
        failures=result.failures,
        num_images=result.num_tiles or manifest.num_images,
        seed_rule=manifest_summary.seed_rule(manifest),
        base_seed=manifest_summary.base_seed(manifest),
        image_size=manifest_summary.image_size(manifest),
        date=manifest.completed or manifest.created,
        notes=tuple(dict.fromkeys([*map(str, manifest.notes), *result.notes, *record.notes])),
        warnings=result.warnings,
        truncated_questions=manifest_summary.truncated_questions(manifest, result.judge),
        truncation=manifest_summary.truncation(manifest),
        identity_hash=manifest.identity_hash,
        items=result.item_figures,
        missing=_missing(result),
        answers=answers,
        subset=result.subset,
        narrow=result.items_expected < len(manifest.items),
        asked=manifest_summary.asked_benchmark(manifest, result.judge),
        releases=manifest_summary.releases(manifest, result.judge),
        unranked=_absent_as_zero(result),
    )


def _with_items(
    figures: Mapping[str, CategoryScore], num_items: Mapping[str, int]
) -> Mapping[str, CategoryScore]:
    """Return the figures of categories with their items; those over too few lose their intervals.

    Score files count a category's questions; an interval draws items.
    """
    if not num_items:
        return figures
    return {
        name: replace(figure, items=num_items[name]).thinned() for name, figure in figures.items()
    }


def _key(record: RunRecord, result: Result) -> GroupKey:
    manifest = record.manifest
    expected: object = sorted(result.item_figures)
    if not expected:
        whole = len(manifest.items) == result.items_expected
        digest = result.subset.items_sha256 if result.subset else ""
        # Which items a part without a table holds is not known: it is like no other result.
        other = digest or f"{result.items_expected} of {manifest.identity_hash} {record.run.name}"
        expected = sorted(manifest.items) if whole else other
    return GroupKey(
        result.benchmark,
        manifest_summary.benchmark_hash(manifest, result.judge),
        identity_hash({"items": expected}),
        result.judge,
        manifest_summary.judge_hash(manifest, result.judge),
        result.rule,
    )


def _missing(result: Result) -> int:
    unscored = result.items_expected - result.items_scored
    return max(
        result.warnings.get("items_without_all_answers", 0),
        unscored - result.warnings.get("items_lost_by_the_rule", 0),
    )


def _absent_as_zero(result: Result) -> str:
    """Return why a result of an earlier version has no rank: absent items made it lower."""
    rule = ALL_RULES.get(result.rule)
    if rule is None or rule.unscored_item != "zero" or result.overall is None:
        return ""
    absent = sum(item.absent for item in result.item_figures.values())
    if not absent:
        return ""
    as_lost = {i: figure._replace(absent=False) for i, figure in result.item_figures.items()}
    (mean,) = ratios(*recorded_parts([as_lost], list(as_lost), rule))
    if mean == 0 or abs(mean - result.overall) > SAME_SCORE:
        return ""
    return (
        f"not ranked: {counted(absent, 'item')} without answers counted as zero in this score, "
        "which an earlier version made; score the run again"
    )


def _group_order(
    key: GroupKey, rows: Sequence[LeaderboardRow]
) -> tuple[str, str, str, int, bool, GroupKey]:
    names = list(ALL_RULES)
    place = names.index(key.rule) if key.rule in ALL_RULES else len(names)
    part = any(row.subset for row in rows)
    return key.benchmark, key.benchmark_hash, key.judge, place, part, key


def _ordered(rows: Sequence[LeaderboardRow]) -> tuple[LeaderboardRow, ...]:
    """Return the rows, best first, those that have no rank last, with the reason why."""
    ordered = [
        replace(row, unranked=row.unranked or _why_unranked(row, rows))
        for row in sorted(rows, key=_order)
    ]
    return tuple(sorted(ordered, key=lambda row: bool(row.unranked)))


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
