"""A leaderboard row: what one run scored with one judge under one rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dpgbench.analysis.subset import Subset
from dpgbench.domain.aggregate import Interval
from dpgbench.domain.rules import RULES
from dpgbench.domain.spec import identity_hash
from dpgbench.errors import counted
from dpgbench.report.text import warning_texts
from dpgbench.store.run import manifest_summary as settings
from dpgbench.store.run.scores import Figure, ItemFigure, RunRecord, ScoreFile

_SAME = 1e-6


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
    """One run under one judge and one rule. Scores are times 100 and unrounded.

    Attributes:
        run: the run directory's name.
        index: the run's place among the runs of the report, from 0.
        rank: from 1 within the row's group; None where it would not be fair to give one.
        rank_range: the ranks that the intervals leave possible, best and worst.
        missing: how many items lack answers.
        unranked: why there is no rank; empty where there is one.
        judge_hash: stands for the judge's weights and decoding; empty where none are recorded.
        date: when the run was completed, or else begun; ISO 8601.
        notes: sentences that must be shown beside the score.
        warnings: sentences about this result.
        subset: which part of the benchmark the result is about; None where about all of it.
        narrow: whether the run set out to do more items than the result is about.
        releases: of the libraries that the judge ran with; empty where not recorded.
        items: each item's score, where the run has a table of items.
    """

    run: str
    index: int
    model: str
    key: GroupKey
    overall: float | None
    interval: Interval
    l1: Mapping[str, Figure]
    l2: Mapping[str, Figure]
    sources: Mapping[str, Figure]
    items_scored: int
    items_expected: int
    failures: Mapping[str, str]
    num_images: int
    seed_rule: str
    base_seed: int | None
    image_size: str
    date: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    identity_hash: str
    items: Mapping[str, ItemFigure] = field(repr=False)
    missing: int
    subset: Subset | None = None
    releases: str = ""
    narrow: bool = False
    unranked: str = ""
    rank: int | None = None
    rank_range: tuple[int, int] | None = None

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
        """Stands for the judge's weights and decoding."""
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

    @property
    def remarks(self) -> tuple[str, ...]:
        """Everything that must be read beside the score, as sentences, the weightiest first."""
        part = (f"only {self.subset}",) if self.subset else ()
        return (*part, *self.notes, *filter(None, [self.unranked]), *self.warnings)


def row_of(index: int, record: RunRecord, result: ScoreFile) -> LeaderboardRow:
    """Return the row of one result; `index` is the run's place in the report."""
    manifest = record.manifest
    return LeaderboardRow(
        run=record.run.name,
        index=index,
        model=manifest.model,
        key=_key(record, result),
        overall=result.overall,
        interval=result.interval,
        l1=result.l1,
        l2=result.l2,
        sources=result.sources,
        items_scored=result.items_scored,
        items_expected=result.items_expected,
        failures=result.failures,
        num_images=result.num_tiles or manifest.num_images,
        seed_rule=settings.seed_rule(manifest),
        base_seed=settings.base_seed(manifest),
        image_size=settings.image_size(manifest),
        date=manifest.completed or manifest.created,
        notes=tuple(dict.fromkeys([*map(str, manifest.notes), *result.notes, *record.notes])),
        warnings=tuple(_warnings(record, result)),
        identity_hash=manifest.identity_hash,
        items=result.items,
        missing=_missing(result),
        subset=result.subset,
        narrow=result.items_expected < len(manifest.items),
        releases=settings.releases(manifest, result.judge),
        unranked=_absent_as_zero(result),
    )


def _key(record: RunRecord, result: ScoreFile) -> GroupKey:
    manifest = record.manifest
    expected: object = sorted(result.items)
    if not expected:
        whole = len(manifest.items) == result.items_expected
        told = result.subset.sha256 if result.subset else ""
        # Which items a part without a table holds is not known: it is like no other result.
        other = told or f"{result.items_expected} of {manifest.identity_hash} {record.run.name}"
        expected = sorted(manifest.items) if whole else other
    return GroupKey(
        result.benchmark,
        settings.benchmark_hash(manifest, result.judge),
        identity_hash({"items": expected}),
        result.judge,
        settings.judge_hash(manifest, result.judge),
        result.rule,
    )


def _missing(result: ScoreFile) -> int:
    unscored = result.items_expected - result.items_scored
    return max(
        result.warnings.get("items_without_all_answers", 0),
        unscored - result.warnings.get("items_lost_by_the_rule", 0),
    )


def _absent_as_zero(result: ScoreFile) -> str:
    """Return why a result of an earlier version has no rank: absent items made it lower."""
    rule = RULES.get(result.rule)
    if rule is None or rule.unscored_item != "zero" or result.overall is None:
        return ""
    absent = sum(item.absent for item in result.items.values())
    total = sum(item.score or 0.0 for item in result.items.values())
    if not absent or abs(total / len(result.items) - result.overall) > _SAME or not total:
        return ""
    return (
        f"not ranked: {counted(absent, 'item')} without answers counted as zero in this score, "
        "which an earlier version made; score the run again"
    )


def _warnings(record: RunRecord, result: ScoreFile) -> list[str]:
    told = dict(result.warnings)
    if result.subset:
        told.pop("items_not_chosen", None)  # said by the part's own words
    texts = warning_texts(told)
    cut = settings.truncated_questions(record.manifest, result.judge)
    if cut:
        texts.append(
            f"{counted(cut, 'question')} longer than the judge reads: it did not see the end"
        )
    tokens = settings.truncation(record.manifest)
    if tokens and tokens.truncated:
        texts.append(
            f"the text encoder cut {tokens.truncated} of {tokens.prompts} prompts "
            f"at {tokens.limit} tokens"
        )
    return texts
