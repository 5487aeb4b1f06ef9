"""A few items of each benchmark with every run's picture: what the page shows without scripts.

Items are taken at even distances over the benchmark, never by score: the gallery is a sample, not
a selection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dpgbench.analysis.answers import ItemSet, JudgeAnswers, RunAnswers
from dpgbench.analysis.verdict_letters import FAILS, OTHER, ZEROED, qids_of
from dpgbench.domain.rows import item_source
from dpgbench.domain.rules import CORRECTED_V1, RULES
from dpgbench.report.page.images import Picture, Pictures
from dpgbench.report.text import listed
from dpgbench.store.run.scores import RunRecord

NUM_ITEMS = 12
_FAILED = frozenset((FAILS, OTHER, ZEROED))


class PictureVerdict(NamedTuple):
    """What one judge and a rule make of one picture.

    Attributes:
        score: the item's, 0 to 100; None where it has none.
        failure: why it has none.
        failed: questions that do not hold on some tile, with the numbers of these tiles from 1.
    """

    judge: str
    rule: str
    score: float | None
    failure: str
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Card:
    """One run's picture of an item, and what each judge made of it."""

    index: int
    model: str
    picture: Picture | None
    no_picture: str
    verdicts: tuple[PictureVerdict, ...]


@dataclass(frozen=True)
class GalleryItem:
    """An item with the cards of every run that set out to do it."""

    item_id: str
    source: str
    prompt: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Gallery:
    """Sampled items of one benchmark.

    Attributes:
        total: how many items the sample is from.
        missing: why prompts or questions are not shown; empty where they are.
    """

    benchmark: str
    items: tuple[GalleryItem, ...]
    total: int
    missing: str


def spread(items: Sequence[str], number: int = NUM_ITEMS) -> list[str]:
    """Return `number` of `items` at even distances, the first and the last among them."""
    if len(items) <= number:
        return list(items)
    last = len(items) - 1
    return [items[round(place * last / (number - 1))] for place in range(number)]


def gallery(items: ItemSet, pictures: Pictures) -> Gallery:
    """Return the gallery of the items of one benchmark."""
    shared = _shared_items([run.record for run in items.runs])
    places = {item: place for place, item in enumerate(items.items)}
    chosen = spread(sorted(shared, key=lambda item: places[item]))
    drawn = [pictures.some(run.record, chosen) for run in items.runs]
    prompts = items.benchmark.prompts if items.benchmark is not None else {}
    shown = tuple(
        GalleryItem(
            item_id,
            item_source(item_id),
            prompts.get(item_id, ""),
            tuple(
                _card(items, run, places[item_id], pictures_of_run)
                for run, pictures_of_run in zip(items.runs, drawn, strict=True)
                if item_id in run.record.manifest.items
            ),
        )
        for item_id in chosen
    )
    return Gallery(items.name, shown, len(shared), items.missing)


def _card(items: ItemSet, run: RunAnswers, place: int, pictures: Mapping[str, Picture]) -> Card:
    manifest = run.record.manifest
    reason = "answers were replayed: no picture" if manifest.kind == "answers" else ""
    return Card(
        run.index,
        manifest.model,
        pictures.get(items.items[place]),
        reason or "no picture",
        tuple(picture_verdicts(items, run, place)),
    )


def _shared_items(records: Sequence[RunRecord]) -> list[str]:
    """Return the items that most runs have."""
    counts = Counter(item for record in records for item in dict.fromkeys(record.manifest.items))
    most = max(counts.values(), default=0)
    return [item for item, count in counts.items() if count == most]


def picture_verdicts(items: ItemSet, run: RunAnswers, place: int) -> Iterator[PictureVerdict]:
    """Yield what each judge said of a run's `place`-th item, sorted by the judges' names."""
    graph = items.graphs.get(items.items[place])
    for judge in run.judges:
        rule = shown_rule(judge)
        if graph is not None and rule is not None and judge.letters[place]:
            texts = [graph.by_id[qid].text for qid in qids_of(graph)]
            yield _picture_verdict(judge, rule, place, texts)


def shown_rule(judge: JudgeAnswers) -> str | None:
    """Return the rule whose zeroing is shown: corrected-v1 where the run was scored under it."""
    names = [name for name in RULES if name in judge.verdicts]
    return CORRECTED_V1.name if CORRECTED_V1.name in names else next(iter(names), None)


def _picture_verdict(
    judge: JudgeAnswers, rule: str, place: int, texts: Sequence[str]
) -> PictureVerdict:
    verdicts = judge.verdicts[rule]
    letters = verdicts.letters[place]
    size = len(texts)
    failed = []
    for column, text in enumerate(texts):
        tiles = [
            str(tile + 1)
            for tile, at in enumerate(range(column, len(letters), size))
            if letters[at] in _FAILED
        ]
        if tiles:
            failed.append((text, f"{'image' if len(tiles) == 1 else 'images'} {listed(tiles)}"))
    return PictureVerdict(
        judge.judge,
        rule,
        verdicts.scores[place],
        verdicts.failures.get(place, ""),
        tuple(failed),
    )
