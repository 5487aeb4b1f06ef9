"""A few items of each benchmark with every run's picture and what the judge saw in it.

Items are taken at even distances over the benchmark, never by score: the gallery is a sample, not
a selection.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dpgbench.analysis.answers import ItemSet, JudgeAnswers, RunAnswers
from dpgbench.analysis.verdict_letters import FAILS, HOLDS, NONE, OTHER, UNSEEN, ZEROED, qids_of
from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import item_source
from dpgbench.domain.rules import CORRECTED_V1, RULES
from dpgbench.report.page.graph_layout import GraphLayout, layout
from dpgbench.report.page.images import Picture, Pictures
from dpgbench.report.plots.axis import colour
from dpgbench.store.run.scores import RunRecord

NUM_ITEMS = 12
State = Literal["yes", "no", "zeroed", "other", "none"]
Summary = Literal["all", "some", "zeroed", "no", "none"]
_STATES: Mapping[str, State] = {
    HOLDS: "yes",
    FAILS: "no",
    ZEROED: "zeroed",
    OTHER: "other",
    NONE: "none",
    UNSEEN: "none",
}


class TileVerdict(NamedTuple):
    """One tile's answer to one question: what it counts as, and the judge's own words."""

    state: State
    answer: str


@dataclass(frozen=True)
class PictureVerdict:
    """One judge's answers about one picture, and what a rule makes of them.

    Attributes:
        marks: by question number, one mark a tile.
        score: the item's, 0 to 100; None where it has none.
        tile_scores: likewise of each tile; empty where the item has no score.
        failure: why it has none.
    """

    judge: str
    rule: str
    marks: Mapping[int, tuple[TileVerdict, ...]]
    score: float | None
    tile_scores: tuple[float, ...]
    failure: str

    def holds(self, qid: int) -> int:
        """Return on how many tiles a question counts."""
        return sum(mark.state == "yes" for mark in self.marks.get(qid, ()))

    def summary(self, qid: int) -> Summary:
        """Return how a question fared over all tiles."""
        marks = self.marks.get(qid, ())
        states = {mark.state for mark in marks}
        if not states or states == {"none"}:
            return "none"
        if states == {"yes"}:
            return "all"
        if "yes" in states:
            return "some"
        return "zeroed" if "zeroed" in states else "no"


@dataclass(frozen=True)
class Card:
    """One run's picture of an item, and what each judge made of it."""

    index: int
    colour: int
    model: str
    run: str
    picture: Picture | None
    no_picture: str
    verdicts: tuple[PictureVerdict, ...]


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
    drawing: GraphLayout | None
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
            _card(items, run, places[item_id], pictures_of_run)
            for run, pictures_of_run in zip(items.runs, drawn, strict=True)
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


def _card(items: ItemSet, run: RunAnswers, place: int, pictures: Mapping[str, Picture]) -> Card:
    record = run.record
    reason = "answers were replayed: no picture" if record.manifest.kind == "answers" else ""
    return Card(
        run.index,
        colour(run.index),
        record.manifest.model,
        record.run.name,
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
            yield _picture_verdict(judge, rule, place, qids_of(graph))


def shown_rule(judge: JudgeAnswers) -> str | None:
    """Return the rule whose zeroing is shown: corrected-v1 where the run was scored under it."""
    names = [name for name in RULES if name in judge.verdicts]
    return CORRECTED_V1.name if CORRECTED_V1.name in names else next(iter(names), None)


def _picture_verdict(judge: JudgeAnswers, rule: str, place: int, qids: list[int]) -> PictureVerdict:
    verdicts = judge.verdicts[rule]
    others = judge.other_texts.get(place, {})
    states, size = verdicts.letters[place], len(qids)
    marks = {
        qid: tuple(
            TileVerdict(_STATES[states[at]], others.get(at, ""))
            for at in range(column, len(states), size)
        )
        for column, qid in enumerate(qids)
    }
    return PictureVerdict(
        judge.judge,
        rule,
        marks,
        verdicts.scores[place],
        verdicts.tile_scores[place],
        verdicts.failures.get(place, ""),
    )
