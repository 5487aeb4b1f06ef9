"""What two results must share to be compared, and in which words a difference is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.report.text import coverage_text

_UNKNOWN = "not recorded"


class Fact(NamedTuple):
    """Something that two results should have alike.

    Attributes:
        label: for people.
        decides: without it the two measure different things, and no difference is computed.
        value: what a row has.
        shown: `value` for people, where that is another text.
    """

    label: str
    decides: bool
    value: Callable[[LeaderboardRow], str]
    shown: Callable[[LeaderboardRow], str] | None = None

    def text(self, row: LeaderboardRow) -> str:
        """Return what a row has, for people."""
        return (self.shown or self.value)(row)


class Reason(NamedTuple):
    """Why two results are not comparable: what is not alike, and what each of the two has."""

    label: str
    decides: bool
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.label}: {self.first} / {self.second}"


def _named(name: str, digest: str) -> str:
    return f"{name} ({digest})" if digest else name


FACTS: tuple[Fact, ...] = (
    Fact("benchmark", True, lambda r: _named(r.benchmark, r.benchmark_hash)),
    Fact("judge", True, lambda r: r.judge),
    Fact("judge's weights and decoding", True, lambda r: r.judge_hash or _UNKNOWN),
    Fact("rule", True, lambda r: r.rule),
    Fact(
        "items",
        False,
        lambda r: r.key.items_hash,
        lambda r: f"{r.subset or r.items_expected} ({r.key.items_hash})",
    ),
    Fact("images per prompt", False, lambda r: str(r.num_images)),
    Fact("size of an image", False, lambda r: r.image_size or _UNKNOWN),
    Fact("seed rule", False, lambda r: r.seed_rule or _UNKNOWN),
    Fact("base seed", False, lambda r: _UNKNOWN if r.base_seed is None else str(r.base_seed)),
    Fact("items with a score", False, lambda r: str(r.items_scored)),
    Fact(
        "items that lack answers",
        False,
        lambda r: ",".join(sorted(r.failures)) if r.missing else "",
        lambda r: f"{r.missing} (coverage {coverage_text(r.items_scored, r.items_expected)})",
    ),
    Fact("releases that the judge ran with", False, lambda r: r.releases or _UNKNOWN),
)


def reasons(first: LeaderboardRow, second: LeaderboardRow) -> list[Reason]:
    """Return everything that two results do not have alike; nothing where they are comparable."""
    return [
        Reason(fact.label, fact.decides, fact.text(first), fact.text(second))
        for fact in FACTS
        if fact.value(first) != fact.value(second)
    ]
