"""How fast this machine is: a few items are drawn and judged, loading timed by itself."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from dpgbench.backends.device import find_device, give_back_memory
from dpgbench.backends.generators.plan import GeneratorRequest, make_plan
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.judges.request import load_judge
from dpgbench.backends.memory import MemoryGauge
from dpgbench.backends.protocols import (
    DrawnItem,
    ItemToDraw,
    Judge,
    JudgeRequest,
    TileQuestions,
)
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GenerationSpec, GridSpec, seed_for
from dpgbench.errors import IncompleteError, reason_of
from dpgbench.jobs.planning.units import QUESTIONS_AN_ITEM
from dpgbench.store.images import join_tiles, png_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

_SEED = 0  # of the choice of items that are tried, and of pictures of noise
_NOISE_PX = 512


@dataclass(frozen=True)
class TriedGenerator:
    """What drawing a few items took.

    Attributes:
        device: that they were drawn on, in words.
        items: that were drawn.
        load_seconds: until the first could begin.
        seconds_per_image: without the first call, where there is another.
        bytes_per_grid: of the files that they would be.
        peak_gib: memory of the device at most; None where it was not measured.
        tiles: what was drawn, by item.
        items_in_call: at most, of the calls that the rate is of.
    """

    device: str
    items: Sequence[str]
    load_seconds: float
    seconds_per_image: float
    bytes_per_grid: float
    peak_gib: float | None
    tiles: Mapping[str, Sequence[Image]]
    items_in_call: int = 1


@dataclass(frozen=True)
class TriedJudge:
    """What asking about a few items took; the fields are those of `TriedGenerator`.

    Attributes:
        device: that it ran on, in words.
        questions: that were asked.
        load_seconds: until the first could be asked.
        questions_per_second: without the first item, where there is another.
        peak_gib: memory of the device at most; None where it was not measured.
    """

    device: str
    questions: int
    load_seconds: float
    questions_per_second: float
    peak_gib: float | None


def chosen_items(items: Sequence[str], number: int) -> list[str]:
    """Return `number` of the items, the same ones each time, in their order."""
    wanted = set(random.Random(_SEED).sample(list(items), min(number, len(items))))
    return [item_id for item_id in items if item_id in wanted]


def try_generator(
    request: GeneratorRequest, benchmark: Benchmark, items: Sequence[str]
) -> TriedGenerator:
    """Return what it takes to draw some items.

    Raises:
        UsageError: unknown setting or device.
        SetupError: weights are wrong.
        IncompleteError: an item could not be drawn.
    """
    started = time.perf_counter()
    plan = make_plan(request)
    generator = DrawnWithinMemory(plan.load(), plan.drawing, gauge=MemoryGauge(plan.device))
    loaded = time.perf_counter()
    _reset_peak(plan.device)
    spec = plan.spec
    tiles: dict[str, Sequence[Image]] = {}
    calls: list[tuple[int, float]] = []  # items, and seconds
    sizes = []
    left = [_item_to_draw(item_id, benchmark, spec) for item_id in items]
    while left:
        batch = left[: generator.items_at_once(spec.num_images)]
        left = left[len(batch) :]
        begin = time.perf_counter()
        for drawn in generator.draw_items(batch):
            tiles[drawn.item.item_id], size = _grid_of(drawn, spec.grid)
            sizes.append(size)
        calls.append((len(batch), time.perf_counter() - begin))
    peak, device = _peak(plan.device), device_words(plan.device)
    del generator
    give_back_memory()
    counted = calls[1:] or calls
    each = sum(seconds for _, seconds in counted) / sum(number for number, _ in counted)
    return TriedGenerator(
        device,
        items,
        loaded - started,
        each / spec.num_images,
        fmean(sizes),
        peak,
        tiles,
        max(number for number, _ in counted),
    )


def _item_to_draw(item_id: str, benchmark: Benchmark, spec: GenerationSpec) -> ItemToDraw:
    seeds = (
        seed_for(spec.seed_rule, spec.base_seed, item_id, tile) for tile in range(spec.num_images)
    )
    return ItemToDraw(item_id, benchmark.prompts[item_id], tuple(seeds))


def _grid_of(drawn: DrawnItem, grid: GridSpec) -> tuple[list[Image], int]:
    """Return the images of an item, and the bytes of the file that they would be.

    Raises:
        IncompleteError: it could not be drawn.
    """
    try:
        if isinstance(drawn.result, Exception):
            raise drawn.result
        return drawn.result, len(png_bytes(join_tiles(drawn.result, grid)))
    except Exception as error:
        raise IncompleteError(
            f"item {drawn.item.item_id} could not be drawn: {reason_of(error, with_type=True)}; "
            "try with 'dpgbench generate --items', or give --seconds-per-image"
        ) from error


def try_judge(
    request: JudgeRequest,
    benchmark: Benchmark | None,
    items: Sequence[str],
    tiles: Mapping[str, Sequence[Image]],
    num_images: int,
) -> TriedJudge:
    """Return what it takes to ask about some items.

    Args:
        request: for the judge.
        benchmark: whose questions are asked; None, or one without questions, asks made-up ones.
        items: that are asked about.
        tiles: their pictures; noise where there are none.
        num_images: tiles of an item.

    Raises:
        UsageError: unknown option or device.
        SetupError: weights are wrong.
        IncompleteError: it gave no answer.
    """
    started = time.perf_counter()
    judge = as_judge(load_judge(request))
    loaded = time.perf_counter()
    _reset_peak(request.device)
    answers, seconds = [], []
    for item_id in items:
        pictures = tiles.get(item_id) or _noise(num_images)
        begin = time.perf_counter()
        answers.append(_ask(judge, benchmark, item_id, pictures))
        seconds.append(time.perf_counter() - begin)
    peak = _peak(request.device)
    counted, spent = (answers[1:], seconds[1:]) if len(items) > 1 else (answers, seconds)
    if not sum(counted):
        raise IncompleteError(
            f"judge {request.label} gave no answer to the questions that were tried; try it with "
            f"'dpgbench doctor --judge {request.name}', or give --questions-per-second"
        )
    rate = sum(counted) / sum(spent)
    return TriedJudge(device_words(request.device), sum(answers), loaded - started, rate, peak)


def _ask(judge: Judge, benchmark: Benchmark | None, item_id: str, pictures: Sequence[Image]) -> int:
    rows = benchmark.items.get(item_id, ()) if benchmark else ()
    qids = tuple(row.qid for row in rows) or tuple(range(1, round(QUESTIONS_AN_ITEM) + 1))
    texts = tuple(row.asked for row in rows) or ("Is there a red cube?",) * len(qids)

    def asked() -> Iterator[TileQuestions]:
        for number, picture in enumerate(pictures):
            prepared = judge.prepare(picture)
            yield TileQuestions(item_id, number, picture, qids, texts, prepared)

    return sum(len(reply.answers) for reply in judge.replies(asked()))


def _noise(number: int) -> list[Image]:
    """Return pictures of noise, the same each time."""
    import PIL.Image

    pixels = random.Random(_SEED).randbytes(3 * _NOISE_PX * _NOISE_PX)
    picture = PIL.Image.frombytes("RGB", (_NOISE_PX, _NOISE_PX), pixels)
    return [picture] * number


def device_words(device: str) -> str:
    """Return a device in words: ``cuda (NVIDIA H100)``, or ``cpu (2 cores)``."""
    device = find_device(device)
    if device.startswith("cuda"):
        import torch

        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device == "cpu":
        return f"cpu ({os.cpu_count()} cores)"
    return device


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: str) -> float | None:
    """Return the most GiB that were taken on a GPU; None on others."""
    if not device.startswith("cuda"):
        return None
    import torch

    return float(torch.cuda.max_memory_allocated(device)) / 2**30
