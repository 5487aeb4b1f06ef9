"""A few items of each benchmark with every run's picture and what the judge saw in it.

Items are taken at even distances over the benchmark, never by score: the gallery is a sample, not
a selection.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from dpgbench.domain.graph import PromptGraph
from dpgbench.domain.rows import item_source
from dpgbench.errors import DpgBenchError
from dpgbench.report.charts import colour
from dpgbench.report.graphs import Layout, layout
from dpgbench.report.records import RunRecord
from dpgbench.report.verdicts import Outcome, Reader
from dpgbench.store.benchmarks import Benchmark, load_benchmark
from dpgbench.store.images import find_images, read_size

NUM_ITEMS = 12


@dataclass(frozen=True)
class Picture:
    """A grid by its address relative to the report, and its size in pixels."""

    address: str
    width: int
    height: int


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


def galleries(records: Sequence[RunRecord], folder: Path) -> list[Gallery]:
    """Return a gallery for each benchmark of `records`, for a report in `folder`."""
    named: dict[tuple[str, str], list[tuple[int, RunRecord]]] = {}
    for index, record in enumerate(records):
        about = record.manifest.benchmark
        key = (str(about.get("name", "")), str(about.get("prompts_sha256", "")))
        named.setdefault(key, []).append((index, record))
    return [_gallery(key[0], named[key], folder) for key in sorted(named)]


def spread(items: Sequence[str], number: int = NUM_ITEMS) -> list[str]:
    """Return `number` of `items` at even distances, the first and the last among them."""
    if len(items) <= number:
        return list(items)
    last = len(items) - 1
    return [items[round(place * last / (number - 1))] for place in range(number)]


def _gallery(name: str, runs: Sequence[tuple[int, RunRecord]], folder: Path) -> Gallery:
    benchmark, missing = _benchmark_of(runs[0][1])
    shared = _shared_items([record for _, record in runs])
    chosen = spread(shared)
    readers = [Reader(record, benchmark, set(chosen)) for _, record in runs]
    pictures = [_pictures(record, chosen, folder) for _, record in runs]
    items = []
    for item_id in chosen:
        cards = tuple(
            _card(index, record, item_id, found, reader)
            for (index, record), found, reader in zip(runs, pictures, readers, strict=True)
            if item_id in record.manifest.items
        )
        items.append(_item(item_id, benchmark, cards))
    return Gallery(name, tuple(items), len(shared), missing)


def _item(item_id: str, benchmark: Benchmark | None, cards: tuple[Card, ...]) -> GalleryItem:
    graph = None
    if benchmark is not None and item_id in benchmark.items:
        graph = PromptGraph.from_rows(benchmark.items[item_id])
    return GalleryItem(
        item_id,
        item_source(item_id),
        benchmark.prompts.get(item_id, "") if benchmark is not None else "",
        graph,
        layout(graph.questions) if graph else None,
        cards,
    )


def _card(
    index: int, record: RunRecord, item_id: str, found: Mapping[str, Picture], reader: Reader
) -> Card:
    reason = "answers were replayed: no picture" if record.manifest.kind == "answers" else ""
    return Card(
        index,
        colour(index),
        record.manifest.model,
        record.run.name,
        found.get(item_id),
        reason or "no picture",
        tuple(reader.outcomes(item_id)),
    )


def _shared_items(records: Sequence[RunRecord]) -> list[str]:
    """Return the items that most runs have, in the benchmark's order."""
    counts = Counter(item for record in records for item in dict.fromkeys(record.manifest.items))
    most = max(counts.values(), default=0)
    return [item for item, count in counts.items() if count == most]


def _benchmark_of(record: RunRecord) -> tuple[Benchmark | None, str]:
    """Return the benchmark as the run saw it, or why it cannot be shown."""
    about = record.manifest.benchmark
    path = Path(str(about.get("path", "")))
    try:
        benchmark = load_benchmark(path if path.is_file() else str(about.get("name", "")))
    except DpgBenchError as error:
        return None, f"Prompts and questions are not shown: {error}"
    if benchmark.prompts_sha256 != about.get("prompts_sha256"):
        return None, (
            f"Prompts and questions are not shown: {benchmark.name} has changed since these runs."
        )
    return benchmark, ""


def _pictures(record: RunRecord, items: Sequence[str], folder: Path) -> dict[str, Picture]:
    images = record.run.images
    elsewhere = record.manifest.generation.get("folder")
    if not images.is_dir() and record.manifest.kind == "images" and isinstance(elsewhere, str):
        images = Path(elsewhere)
    if not images.is_dir():
        return {}
    found: dict[str, Picture] = {}
    for item_id, path in find_images(images, items).items():
        size = read_size(path)
        if size is not None:
            found[item_id] = Picture(_address(path, folder), *size)
    return found


def _address(path: Path, folder: Path) -> str:
    """Return the path of an image as a page in `folder` names it, safe in an address."""
    relative = os.path.relpath(path.resolve(), folder.resolve())
    return quote(Path(relative).as_posix())
