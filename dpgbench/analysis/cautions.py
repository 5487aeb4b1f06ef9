"""What stands against comparing the runs of one table, and what a table shows, in sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import Difference
from dpgbench.analysis.rows import Group
from dpgbench.report.text import interval_text, shown, too_few
from dpgbench.store.run.manifest_summary import MEANINGLESS

REPLAY = "replay"
_COMPARED: dict[str, Callable[[LeaderboardRow], str]] = {
    "images per prompt": lambda row: str(row.num_images),
    "size of an image": lambda row: row.image_size or "not recorded",
    "seed rule": lambda row: row.seed_rule or "not recorded",
    "base seed": lambda row: "not recorded" if row.base_seed is None else str(row.base_seed),
    "items with a score": lambda row: str(row.items_scored),
    "releases that the judge ran with": lambda row: row.releases or "not recorded",
}


def cautions(group: Group) -> list[str]:
    """Return what differs between the runs of a group although benchmark, judge and rule agree."""
    texts = []
    if group.subset:
        texts.append(f"These are scores on a part of the benchmark: {group.subset}.")
    if group.apart:
        texts.append(group.apart)
    if len(group.rows) > 1:
        for what, value in _COMPARED.items():
            found = list(dict.fromkeys(value(row) for row in group.rows))
            if len(found) > 1:
                texts.append(f"Not alike in these runs: {what} ({', '.join(found)}).")
    lacking = max((row.missing for row in group.rows if row.rank is not None), default=0)
    if lacking:
        total = group.rows[0].items_expected
        texts.append(
            f"Incomplete: {lacking} of {total} items lack answers, the same in each ranked run."
        )
    if group.key.judge == REPLAY:
        texts.append("The answers were replayed from a file; who gave them is not recorded.")
    elif not group.key.judge_hash:
        texts.append(
            "The judge's weights are not recorded: whether the judge was the same is not known."
        )
    return texts


class Finding(NamedTuple):
    """Who leads whom, by how much, and whether that is settled: ``FIRST is ahead of SECOND by``."""

    first: str
    second: str
    how_much: str


def finding(group: Group) -> Finding | None:
    """Return what the two best of a group show; None without two, or where one means nothing."""
    ranked = [row for row in group.rows if row.rank is not None]
    if len(ranked) < 2:
        return None
    first, second = ranked[:2]
    if any(MEANINGLESS in note for row in (first, second) for note in row.notes):
        return None
    pair = next((d for d in group.differences if (d.first, d.second) == (0, 1)), None)
    return Finding(label(first, group), label(second, group), _how_much(first, second, pair))


def _how_much(first: LeaderboardRow, second: LeaderboardRow, pair: Difference | None) -> str:
    gap = (first.overall or 0.0) - (second.overall or 0.0)
    if pair is None:
        return f"{gap:.2f} points; the two could not be compared item by item."
    if pair.interval is None:
        return f"{gap:.2f} points; {too_few(pair.items)}."
    points = f"{gap:.2f} points {interval_text(pair.interval)}"
    if pair.told_apart:
        return f"{points}, item by item."
    return f"{points}: on these items the two cannot be told apart."


def difference_text(pair: Difference) -> str:
    """Return a difference with its interval, in points."""
    if pair.interval is None:
        return f"{pair.points:+.2f} points"
    low, high = pair.interval
    return f"{pair.points:+.2f} points [{low:+.1f}, {high:+.1f}]"


def label(row: LeaderboardRow, group: Group, limit: int = 60) -> str:
    """Return the model's name, with the run's where the group has the model twice."""
    twice = sum(other.model == row.model for other in group.rows) > 1
    name = shown(row.model, limit)
    return f"{name} ({shown(row.run, limit)})" if twice else name
