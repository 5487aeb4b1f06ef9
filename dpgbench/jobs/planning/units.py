"""How much there is to do: grids, images, questions, requests; and how evenly it is shared."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import SetupError, UsageError
from dpgbench.jobs.find_target import ItemChoice
from dpgbench.jobs.planning.figures import Figure
from dpgbench.store.benchmark_table import DPG
from dpgbench.store.benchmarks import load_benchmark

QUESTIONS_AN_ITEM = 13.0
"""Of DPG-Bench, where its question file is not at hand."""
DPG_ITEMS = 1065
"""Prompts of DPG-Bench (arXiv 2403.05135)."""
_PULL = "'dpgbench prompts pull' gets the file that they are counted from"


@dataclass(frozen=True)
class Units:
    """What there is to do.

    Attributes:
        benchmark: its name.
        loaded: the benchmark; None where it is not on this machine.
        items: ids, or numbers in their place where the benchmark is not at hand.
        num_images: tiles of an item.
        questions_by_item: about one tile of each item, in the items' order.
        basis: what the numbers of questions rest on.
    """

    benchmark: str
    loaded: Benchmark | None
    items: Sequence[str]
    num_images: int
    questions_by_item: Sequence[float]
    basis: Figure

    @property
    def grids(self) -> Figure:
        """How many grids are drawn."""
        if self.loaded is None:
            return Figure(len(self.items), "estimated", f"prompts of {self.benchmark}; {_PULL}")
        return Figure(len(self.items), "counted", f"items of {self.benchmark}")

    @property
    def images(self) -> Figure:
        """How many images these are made of."""
        note = f"{self.num_images} a grid"
        return Figure(len(self.items) * self.num_images, self.grids.basis, note)

    @property
    def questions(self) -> Figure:
        """How many questions are asked, of all tiles."""
        total = self.num_images * sum(self.questions_by_item)
        return Figure(round(total), self.basis.basis, self.basis.note)

    def requests(self, questions_per_request: int) -> Figure:
        """Return how many requests a judge behind a server gets: no two tiles share one."""
        each = [math.ceil(number / questions_per_request) for number in self.questions_by_item]
        note = f"{questions_per_request} at most in a request (--questions-per-request)"
        return Figure(self.num_images * sum(each), self.basis.basis, note)


def find_units(bench: str, choice: ItemChoice, num_images: int) -> Units:
    """Return what there is to do.

    Raises:
        UsageError: there is no such benchmark or item.
        DataError: it cannot be read.
    """
    try:
        loaded = load_benchmark(bench)
    except SetupError:
        if bench != DPG:
            raise
        return _of_absent(choice, num_images)
    items = choice.of(loaded)
    if loaded.has_graphs:
        counts = [float(len(loaded.items.get(item_id, ()))) for item_id in items]
        basis = Figure(None, "counted", f"questions of {loaded.name}, for each of the tiles")
    else:
        counts = [QUESTIONS_AN_ITEM] * len(items)
        why = f"{QUESTIONS_AN_ITEM} an item, as DPG-Bench has: there is no question file here; "
        basis = Figure(None, "estimated", why + _PULL)
    return Units(loaded.name, loaded, items, num_images, counts, basis)


def _of_absent(choice: ItemChoice, num_images: int) -> Units:
    if choice.items or choice.sources:
        raise UsageError(f"--items and --source choose of prompts that are not here; {_PULL}")
    if choice.limit is not None and choice.limit < 1:
        raise UsageError(f"--limit {choice.limit}: at least 1 is needed")
    number = min(DPG_ITEMS, choice.limit or DPG_ITEMS)
    note = f"{QUESTIONS_AN_ITEM} an item: {DPG} is not on this machine; {_PULL}"
    basis = Figure(None, "estimated", note)
    items = [str(place) for place in range(number)]
    return Units(DPG, None, items, num_images, [QUESTIONS_AN_ITEM] * number, basis)


def longest_share(sizes: Sequence[float], workers: int) -> float:
    """Return the work of the busiest worker, where each takes the next unit when it is free.

    Args:
        sizes: of each unit, in order.
        workers: how many there are.
    """
    loads = [0.0] * min(workers, max(1, len(sizes)))
    for size in sizes:
        heapq.heappush(loads, heapq.heappop(loads) + size)
    return max(loads)


def longest_shard(sizes: Sequence[float], shards: int) -> float:
    """Return the work of the biggest of shards that were fixed beforehand (``--shard I/N``)."""
    return max(sum(sizes[start::shards]) for start in range(shards))
