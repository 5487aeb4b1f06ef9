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
from dpgbench.backends.protocols import Judge, JudgeRequest, TileQuestions
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import seed_for
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
        seconds_per_image: without the first item, where there is another.
        bytes_per_grid: of the files that they would be.
        peak_gib: memory of the device at most; None where it was not measured.
        tiles: what was drawn, by item.
    """

    device: str
    items: Sequence[str]
    load_seconds: float
    seconds_per_image: float
    bytes_per_grid: float
    peak_gib: float | None
    tiles: Mapping[str, Sequence[Image]]


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
    generator = DrawnWithinMemory(plan.load())
    loaded = time.perf_counter()
    _reset_peak(plan.device)
    spec = plan.spec
    tiles: dict[str, Sequence[Image]] = {}
    seconds, sizes = [], []
    for item_id in items:
        begin = time.perf_counter()
        seeds = [
            seed_for(spec.seed_rule, spec.base_seed, item_id, tile)
            for tile in range(spec.num_images)
        ]
        try:
            tiles[item_id] = generator.draw(benchmark.prompts[item_id], seeds)
            sizes.append(len(png_bytes(join_tiles(tiles[item_id], spec.grid))))
        except Exception as error:
            raise IncompleteError(
                f"item {item_id} could not be drawn: {reason_of(error, with_type=True)}; try with "
                "'dpgbench generate --items', or give --seconds-per-image"
            ) from error
        seconds.append(time.perf_counter() - begin)
    peak, device = _peak(plan.device), device_words(plan.device)
    del generator
    give_back_memory()
    each = fmean(seconds[1:] or seconds) / spec.num_images
    return TriedGenerator(device, items, loaded - started, each, fmean(sizes), peak, tiles)


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
    texts = tuple(row.question for row in rows) or ("Is there a red cube?",) * len(qids)

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
