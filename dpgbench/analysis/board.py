"""The board: everything that a report shows, computed once, whatever form it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from dpgbench.analysis.answers import ItemSet, item_sets
from dpgbench.analysis.common_items import CommonItems, common_rankings
from dpgbench.analysis.comparability import original_of
from dpgbench.analysis.comparison import Comparison, compare_rows
from dpgbench.analysis.compbench import CompbenchRow, compbench_rows
from dpgbench.analysis.leaderboard import LeaderboardRow, load_records, read_rows
from dpgbench.analysis.learning import LearningCurve, learning_curves
from dpgbench.analysis.prompt_length import LengthView, length_views
from dpgbench.analysis.ranking import Group, rank_groups
from dpgbench.store.benchmark_table import NamedBenchmark, named_of
from dpgbench.store.published import BENCHMARK, PublishedScore, read_published
from dpgbench.store.published_compbench import PublishedCompbench, read_published_compbench
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import read_image_log
from dpgbench.store.run.scores import RunRecord


@dataclass(frozen=True)
class Board:
    """The results of some runs, ranked and compared.

    Attributes:
        records: what each run holds, in the order given; `LeaderboardRow.index` is a place here.
        groups: rows that are ranked against each other, with the caveats above them; sorted by
            benchmark, judge and rule.
        comparisons: of every two results of different runs with one judge and rule by name, by
            their places in `rows`.
        item_sets: for each benchmark its items, with every run's answers and item scores.
        prompt_lengths: for each group whose prompts are at hand, scores against their length.
        published: scores that others published; never ranked.
        learning: looks at trainings, by step.
        compbench: the runs' results of T2I-CompBench, a row a run; none where there are none.
        compbench_published: the ELLA paper's Table 3, where there are such results.
        common: rankings on the items that all have, where groups differ in nothing but items.
        seconds: that an image took, by the run's place, where it was logged.
    """

    records: tuple[RunRecord, ...]
    groups: tuple[Group, ...]
    comparisons: tuple[Comparison, ...]
    item_sets: tuple[ItemSet, ...]
    prompt_lengths: tuple[LengthView, ...]
    published: tuple[PublishedScore, ...] = ()
    learning: tuple[LearningCurve, ...] = ()
    compbench: tuple[CompbenchRow, ...] = ()
    compbench_published: tuple[PublishedCompbench, ...] = ()
    common: tuple[CommonItems, ...] = ()
    seconds: Mapping[int, float] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[LeaderboardRow, ...]:
        """The rows of all groups in order."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def named(self) -> Mapping[int, NamedBenchmark]:
        """The benchmark of each run, by the run's place, where it is one of the table."""
        named = {}
        for place, record in enumerate(self.records):
            about = record.manifest.benchmark
            entry = named_of(
                about.get("name", ""), about.get("prompts_sha256", ""), about.get("path")
            )
            if entry is not None:
                named[place] = entry
        return named

    @property
    def rewritten(self) -> tuple[Comparison, ...]:
        """Of each model on rewritten prompts and on their originals: the rewritten ones first."""
        pairs = []
        for comparison in self.comparisons:
            first, second = self.rows[comparison.first], self.rows[comparison.second]
            original = original_of(first, second)
            if original is not None and first.model == second.model and comparison.scores:
                pairs.append(comparison.turned if original is first else comparison)
        return tuple(pairs)

    @property
    def is_on_published_benchmark(self) -> bool:
        """Whether a result is on the benchmark that published scores are about."""
        return any(group.key.benchmark == BENCHMARK for group in self.groups)


def make_board(runs: Sequence[RunDir], *, published: bool = True, verify: bool = True) -> Board:
    """Return the board of `runs`.

    Args:
        published: quote published scores too.
        verify: check pictures against the hashes in each run's log; without, a note on each run
            tells that they were not.

    Raises:
        UsageError: no run was given.
        DataError: a run has no scores, or a damaged file.
        ResumeMismatchError: a picture is another one than was drawn or judged.
    """
    records = load_records(runs, verify=verify)
    sets = item_sets(records)
    unranked = read_rows(records, sets)
    rows = [row for group in unranked for row in group]
    compbench = compbench_rows(records)
    comparisons = compare_rows(rows)
    groups = rank_groups(unranked, comparisons)
    return Board(
        records=tuple(records),
        groups=tuple(groups),
        comparisons=tuple(
            comparison
            for comparison in comparisons
            if rows[comparison.first].index != rows[comparison.second].index
        ),
        item_sets=tuple(sets),
        prompt_lengths=tuple(length_views(groups, sets, records)),
        published=tuple(read_published()) if published else (),
        learning=learning_curves(groups, records),
        compbench=tuple(compbench),
        compbench_published=tuple(read_published_compbench()) if compbench and published else (),
        common=tuple(common_rankings(groups)),
        seconds=_seconds_an_image(records),
    )


def _seconds_an_image(records: Sequence[RunRecord]) -> dict[int, float]:
    """Return the median seconds that an image took, by the run's place; only of runs that log it.

    Time divided by the images of a grid; machines are not alike, so it is no figure to rank by.
    """
    seconds = {}
    for place, record in enumerate(records):
        lines = read_image_log(record.run.images_log).values()
        taken = [time for line in lines if (time := line.get("seconds"))]
        if taken:
            seconds[place] = median(taken) / max(1, record.manifest.num_images)
    return seconds
