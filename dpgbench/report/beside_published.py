"""Measured scores beside what others published of the same model: the difference, and why.

A published score says little without how it was measured, and most sources do not say: what
differs from the run, and what is unknown, stands beside every difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.backends.generators.published_models import PublishedModel, Sourced
from dpgbench.backends.generators.table import HUB_FAMILY, model_facts
from dpgbench.domain.count_check import PUBLISHED_L2, PrintedScore, check_counts, with_l1
from dpgbench.store.published import BENCHMARK, PublishedScore
from dpgbench.store.run import manifest_summary
from dpgbench.store.run.manifest import Manifest

State = Literal["same", "differs", "unknown"]
NUM_ITEMS = 1065
"""Prompts of DPG-Bench: what a published score is over."""
_MAKERS_FACTS = {
    "image_size": "px",
    "steps": "steps",
    "guidance_scale": "guidance",
    "scheduler": "scheduler",
    "dtype": "dtype",
}
_NAMES = {
    "rule": "rule",
    "judge": "judge",
    "items": "items",
    "num_images": "images an item",
    "image_size": "image size",
    "steps": "steps",
    "guidance_scale": "guidance",
    "scheduler": "scheduler",
    "dtype": "precision",
    "seed": "first seed",
}


class SettingBeside(NamedTuple):
    """One setting of a run beside that of a published score.

    Attributes:
        name: for people.
        here: the run's; empty where it is not recorded.
        there: the published score's; empty where its source does not say.
        state: `unknown` where either is not known.
        makers: how the model's makers run it, where `there` is unknown and that is known.
        makers_source: who says so.
    """

    name: str
    here: str
    there: str
    state: State
    makers: str = ""
    makers_source: str = ""


class CategoryBeside(NamedTuple):
    """A category of a run beside the published figure, both times 100; None where there is none."""

    here: float | None
    there: str
    difference: float | None


@dataclass(frozen=True)
class BesidePublished:
    """A measured score beside one that was published of the same model.

    Attributes:
        row: the measured one.
        quote: the published one.
        difference: measured less published, in points; None where either has no overall.
        inside: whether the published one lies in the measured one's interval; None without one.
        settings: of both, those that differ first, then the unknown ones.
        categories: L1 categories by name, those that both have.
    """

    row: LeaderboardRow
    quote: PublishedScore
    difference: float | None
    inside: bool | None
    settings: tuple[SettingBeside, ...]
    categories: Mapping[str, CategoryBeside]

    @property
    def differs_text(self) -> str:
        """What differs, with both values; empty where nothing that is recorded does."""
        return ", ".join(
            f"{setting.name} ({setting.here} here, {setting.there} there)"
            for setting in self.settings
            if setting.state == "differs"
        )

    @property
    def unknown_text(self) -> str:
        """What is unknown of either, with how the model's makers run it; empty for nothing."""
        return ", ".join(
            f"{setting.name} (its makers: {setting.makers})" if setting.makers else setting.name
            for setting in self.settings
            if setting.state == "unknown"
        )

    def named(self, state: State) -> list[str]:
        """Return the names of the settings in a state."""
        return [setting.name for setting in self.settings if setting.state == state]


class CountMark(NamedTuple):
    """Whether published categories can be k of n answers (`domain.count_check`).

    Attributes:
        checked: how many categories were published.
        impossible: those that no count of answers gives.
    """

    checked: int
    impossible: tuple[str, ...]

    @property
    def text(self) -> str:
        """The finding as a sentence without its full stop; empty where nothing could be checked."""
        if not self.checked:
            return ""
        if not self.impossible:
            return "every category can be k of n answers of one run over the whole benchmark"
        return (
            f"{', '.join(self.impossible)}: no k of n answers gives this figure, so it is not from "
            "one process over the whole benchmark"
        )


def beside_published(board: Board) -> tuple[BesidePublished, ...]:
    """Return each measured row on the published benchmark beside each score of its model.

    In the order of the board's rows, then of the table of published scores.
    """
    by_name: dict[str, list[PublishedScore]] = {}
    for quote in board.published:
        for key in {_key(quote.model), _key(_without_brackets(quote.model))}:
            by_name.setdefault(key, []).append(quote)
    beside: list[BesidePublished] = []
    for row in board.rows:
        if row.benchmark != BENCHMARK:
            continue
        model = model_facts(row.model)
        manifest = board.records[row.index].manifest
        wanted = {_key(name) for name in (row.model, *(model.published_as if model else ()))}
        quotes = [quote for key in wanted for quote in by_name.get(key, [])]
        beside += [
            _beside(row, quote, manifest, model)
            for quote in sorted(quotes, key=board.published.index)
        ]
    return tuple(beside)


def count_mark(quote: PublishedScore) -> CountMark:
    """Return whether the categories of a published score can be k of n answers."""
    printed = [PrintedScore(name, name, text) for name, text in quote.l1.items() if text]
    checks = check_counts(printed, with_l1(PUBLISHED_L2))
    return CountMark(len(checks), tuple(check.score.name for check in checks if not check.possible))


def _key(name: str) -> str:
    return "".join(re.findall(r"[^\W_]+", name.removeprefix(HUB_FAMILY).casefold()))


def _without_brackets(name: str) -> str:
    return re.sub(r"\s*[(\[][^()\[\]]*[)\]]\s*$", "", name)


def _beside(
    row: LeaderboardRow, quote: PublishedScore, manifest: Manifest, model: PublishedModel | None
) -> BesidePublished:
    there = float(quote.average) if quote.average else None
    inside = None
    if there is not None and row.interval is not None:
        inside = row.interval[0] <= there <= row.interval[1]
    order: tuple[State, ...] = ("differs", "unknown", "same")
    settings = sorted(
        _settings(row, quote, manifest, model), key=lambda setting: order.index(setting.state)
    )
    return BesidePublished(
        row,
        quote,
        _less(row.overall, there),
        inside,
        tuple(settings),
        dict(_categories(row, quote)),
    )


def _less(here: float | None, there: float | None) -> float | None:
    return None if here is None or there is None else here - there


def _categories(row: LeaderboardRow, quote: PublishedScore) -> Iterator[tuple[str, CategoryBeside]]:
    for name, text in quote.l1.items():
        if text and name in row.l1:
            here = row.l1[name].score
            yield name, CategoryBeside(here, text, _less(here, float(text)))


def _settings(
    row: LeaderboardRow, quote: PublishedScore, manifest: Manifest, model: PublishedModel | None
) -> Iterator[SettingBeside]:
    here: dict[str, Any] = {
        "rule": row.rule,
        "judge": row.judge,
        "items": row.items_expected,
        "num_images": row.num_images,
        "image_size": row.image_size,
        **dict(manifest_summary.generation_settings(manifest)),
        "seed": row.base_seed,
    }
    there: dict[str, Any] = {"items": NUM_ITEMS, **quote.settings}
    if row.asked.original is not None:
        yield SettingBeside("prompts", "rewritten", "the original ones", "differs")
    for name, title in _NAMES.items():
        mine, theirs = _text(here.get(name)), _text(there.get(name))
        state: State = "unknown"
        if mine and theirs:
            state = "same" if mine == theirs else "differs"
        fact = model.facts.get(_MAKERS_FACTS[name]) if model and name in _MAKERS_FACTS else None
        yield SettingBeside(title, mine, theirs, state, *_makers(name, fact, theirs))


def _makers(name: str, fact: Sourced | None, theirs: str) -> tuple[str, str]:
    if fact is None or theirs:
        return "", ""
    value = f"{fact.value}x{fact.value}" if name == "image_size" else fact.value
    return _text(value), fact.source


def _text(value: object) -> str:
    """Return a setting in words; numbers that are equal have one form."""
    if value is None:
        return ""
    try:
        return f"{float(str(value)):,g}" if not isinstance(value, int) else f"{value:,}"
    except ValueError:
        return str(value)
