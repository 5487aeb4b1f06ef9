"""A few items of each benchmark with every run's picture and what the judge saw in it.

Items are taken at even distances over the benchmark, never by score: the gallery is a sample, not
a selection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dpgbench.analysis.answers import ItemSet, RunAnswers
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import item_source
from dpgbench.report.page.graph_layout import Layout, layout
from dpgbench.report.page.images import Picture, Pictures
from dpgbench.report.page.verdicts import Outcome, outcomes
from dpgbench.report.plots.axis import colour
from dpgbench.store.run.scores import RunRecord

NUM_ITEMS = 12


@dataclass(frozen=True)
class Card:
    """One run's picture of an item, and its outcome with each judge."""

    index: int
    colour: int
    model: str
    run: str
    picture: Picture | None
    no_picture: str
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True)
class GalleryItem:
    """An item with the cards of every run that set out to do it.

    Attributes:
        graph: the clean question graph; None where the benchmark's questions are not at hand.
    """

    item_id: str
    source: str
    prompt: str
    graph: PromptGraph | None
    drawing: Layout | None
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
    shown = []
    for item_id in chosen:
        cards = tuple(
            _card(items, run, places[item_id], found)
            for run, found in zip(items.runs, drawn, strict=True)
            if item_id in run.record.manifest.items
        )
        shown.append(_item(item_id, items, cards))
    return Gallery(items.name, tuple(shown), len(shared), items.missing)


def _item(item_id: str, items: ItemSet, cards: tuple[Card, ...]) -> GalleryItem:
    graph = items.graphs.get(item_id)
    prompts = items.benchmark.prompts if items.benchmark is not None else {}
    return GalleryItem(
        item_id,
        item_source(item_id),
        prompts.get(item_id, ""),
        graph,
        layout(graph.questions) if graph else None,
        cards,
    )


def _card(items: ItemSet, run: RunAnswers, place: int, found: Mapping[str, Picture]) -> Card:
    record = run.record
    reason = "answers were replayed: no picture" if record.manifest.kind == "answers" else ""
    return Card(
        run.index,
        colour(run.index),
        record.manifest.model,
        record.run.name,
        found.get(items.items[place]),
        reason or "no picture",
        tuple(outcomes(items, run, place)),
    )


def _shared_items(records: Sequence[RunRecord]) -> list[str]:
    """Return the items that most runs have."""
    counts = Counter(item for record in records for item in dict.fromkeys(record.manifest.items))
    most = max(counts.values(), default=0)
    return [item for item, count in counts.items() if count == most]
