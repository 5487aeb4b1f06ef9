"""A leaderboard row: what one run scored with one judge under one rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from dpgbench.domain.aggregate import Interval
from dpgbench.domain.spec import identity_hash
from dpgbench.report import settings
from dpgbench.report.records import Figure, ItemFigure, RunRecord, ScoreFile
from dpgbench.report.wording import warning_texts


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
        """Share of expected items that have a score, 0..1."""
        return self.items_scored / self.items_expected if self.items_expected else 0.0


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
        notes=tuple(manifest.notes),
        warnings=tuple(_warnings(record, result)),
        identity_hash=manifest.identity_hash,
        items=result.items,
        missing=_missing(result),
    )


def _key(record: RunRecord, result: ScoreFile) -> GroupKey:
    manifest = record.manifest
    expected: object = sorted(result.items)
    if not expected:
        whole = len(manifest.items) == result.items_expected
        expected = sorted(manifest.items) if whole else result.items_expected
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


def _warnings(record: RunRecord, result: ScoreFile) -> list[str]:
    texts = warning_texts(result.warnings)
    cut = settings.truncated_questions(record.manifest, result.judge)
    if cut:
        texts.append(f"{cut} question(s) were too long for the judge, which did not see their end")
    tokens = settings.truncation(record.manifest)
    if tokens and tokens.truncated:
        texts.append(
            f"the text encoder cut {tokens.truncated} of {tokens.prompts} prompts "
            f"at {tokens.limit} tokens"
        )
    return texts
