"""What two results must have alike to be compared: the one list, and sentences on what is not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow, coverage_text

REPLAYED = "replay"  # the judge's name in runs of recorded answers
_UNKNOWN = "not recorded"


class Fact(NamedTuple):
    """Something that two results should have alike.

    Attributes:
        label: for people.
        decides: without it the two measure different things, and no difference is computed.
        value: what a row has.
        shown: `value` for people, where that is another text.
        cautioned: whether rows that are ranked together may differ in it, so that it is said above
            them. (All that decides they share, and the items; those that lack answers have a
            sentence of their own.)
    """

    label: str
    decides: bool
    value: Callable[[LeaderboardRow], str]
    shown: Callable[[LeaderboardRow], str] | None = None
    cautioned: bool = False

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


def _decides(label: str, value: Callable[[LeaderboardRow], str]) -> Fact:
    return Fact(label, True, value)


def _caveats(label: str, value: Callable[[LeaderboardRow], str]) -> Fact:
    return Fact(label, False, value, cautioned=True)


FACTS: tuple[Fact, ...] = (
    _decides("benchmark", lambda row: _named(row.benchmark, row.benchmark_hash)),
    _decides("judge", lambda row: row.judge),
    _decides("judge's weights and decoding", lambda row: row.judge_hash or _UNKNOWN),
    _decides("rule", lambda row: row.rule),
    Fact(
        "items",
        False,
        lambda row: row.key.items_hash,
        lambda row: f"{row.subset or row.items_expected} ({row.key.items_hash})",
    ),
    _caveats("images per prompt", lambda row: str(row.num_images)),
    _caveats("size of an image", lambda row: row.image_size or _UNKNOWN),
    _caveats("seed rule", lambda row: row.seed_rule or _UNKNOWN),
    _caveats("base seed", lambda row: _UNKNOWN if row.base_seed is None else str(row.base_seed)),
    _caveats("items with a score", lambda row: str(row.items_scored)),
    Fact(
        "items that lack answers",
        False,
        lambda row: ",".join(sorted(row.failures)) if row.missing else "",
        lambda row: (
            f"{row.missing} (coverage {coverage_text(row.items_scored, row.items_expected)})"
        ),
    ),
    _caveats("releases that the judge ran with", lambda row: row.releases or _UNKNOWN),
)


def reasons(first: LeaderboardRow, second: LeaderboardRow) -> list[Reason]:
    """Return everything that two results do not have alike; nothing where they are comparable.

    Prompts that were rewritten from the other's, and are asked its questions, are no other
    benchmark: how they differ is what such two are compared for.
    """
    unlike = [
        Reason(fact.label, fact.decides, fact.text(first), fact.text(second))
        for fact in FACTS
        if fact.value(first) != fact.value(second)
    ]
    original = original_of(first, second)
    if original is None:
        return unlike
    names = [
        row.benchmark if row is original else f"{row.benchmark} (rewritten from it)"
        for row in (first, second)
    ]
    return [Reason("prompts", False, *names), *unlike[1:]]  # the first one is the benchmark


def original_of(first: LeaderboardRow, second: LeaderboardRow) -> LeaderboardRow | None:
    """Return the one of two results on the prompts that the other's were rewritten from, if any."""
    if second.asked.is_rewritten_from(first.asked):
        return first
    return second if first.asked.is_rewritten_from(second.asked) else None


def caveats(rows: Sequence[LeaderboardRow], apart: str = "") -> list[str]:
    """Return what must be read above rows that are ranked together, as sentences.

    Args:
        rows: of one benchmark, judge and rule, on the same items.
        apart: what other tables are about, as a sentence.
    """
    first = rows[0]
    sentences = []
    subset = next((row.subset for row in rows if row.subset), None)
    if subset:
        sentences.append(f"These are scores on a part of the benchmark: {subset}.")
    if apart:
        sentences.append(apart)
    for fact in (fact for fact in FACTS if fact.cautioned):
        values = list(dict.fromkeys(fact.value(row) for row in rows))
        if len(values) > 1:
            sentences.append(f"Not alike in these runs: {fact.label} ({', '.join(values)}).")
    lacking = max((row.missing for row in rows if not row.unranked), default=0)
    if lacking:
        sentences.append(
            f"Incomplete: {lacking} of {first.items_expected} items lack answers, the same in "
            "each ranked run."
        )
    if first.judge == REPLAYED:
        sentences.append("The answers were replayed from a file; who gave them is not recorded.")
    elif not first.judge_hash:
        sentences.append(
            "The judge's weights are not recorded: whether the judge was the same is not known."
        )
    return sentences
