"""Parts of `benchmarks/on_gpu.py`: images a second at Stable Diffusion 1.5's size."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.generate import (
    IMAGES,
    Contestant,
    Models,
    contestants,
    drawn_by,
    make_models,
    make_prompts,
    measure_parts,
    ours,
    parts_of,
    plain_loop,
    run,
)
from benchmarks.gpu_bench import Bench, free, peak_memory
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.memory import MemoryGauge

AT_ONCE = 4
COMPILED = "compiled generate"
ELLA_MANY, PLAIN, ELLA_ONE = (
    f"ours with ELLA compiled, {AT_ONCE} a call",
    "(a) compiled too",
    "ours with ELLA compiled, 1 a call",
)


def drawing_models(bench: Bench, dtype: str | None = None) -> Models:
    dtype = dtype or ("float16" if bench.on_cuda else "float32")
    size, steps = ("real", 20) if bench.real else ("tiny", 2)
    return make_models(size, bench.device, dtype, steps)


def run_generate(bench: Bench) -> None:
    """Images a second: (a) and (b), ours by prompts a call, and where the time goes."""
    models = drawing_models(bench)
    prompts = make_prompts(AT_ONCE)
    for name, draw in contestants(models, (1, AT_ONCE)).items():
        if bench.late():
            return
        measure_drawing(bench, "generate", name, draw, prompts)
    tell_parts(bench, "generate", measure_parts(models, prompts, AT_ONCE))


def run_compiled_generate(bench: Bench) -> None:
    """Networks by torch.compile as `--compile` has them: ours, and (a) compiled alike.

    (a) is measured as it is first; then all are compiled, and measured in turns.
    """
    models, prompts = drawing_models(bench), make_prompts(8 if bench.real else 4)
    plain = plain_loop(models)
    measure_drawing(bench, COMPILED, "(a)", plain, prompts)
    models.ella.compile()
    drawing = compiled_contestants(models)
    ready: dict[str, Contestant] = {}
    for name, draw in drawing.items():
        if bench.late():
            break
        with bench.trying(COMPILED, name):
            start = time.perf_counter()
            run(draw, prompts[:AT_ONCE])
            bench.tell(COMPILED, f"{name}: seconds of the first call", time.perf_counter() - start)
            measure_drawing(bench, COMPILED, name, draw, prompts, warm=False)
            ready[name] = draw
    in_turns(bench, ready, prompts)
    tell_parts(bench, COMPILED, parts_of(models, ready, prompts))


def compiled_contestants(models: Models) -> dict[str, Contestant]:
    return {
        ELLA_MANY: ours(models.ella, models, AT_ONCE),
        PLAIN: plain_loop(models),
        ELLA_ONE: ours(models.ella, models, 1),
        "ours with CLIP compiled, 1 a call": ours(models.clip, models, 1),
    }


def in_turns(bench: Bench, drawing: dict[str, Contestant], prompts: Sequence[str]) -> None:
    """Two more rounds of all, the second backwards; ratios to (a) of the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in drawing}
    for names in (list(drawing), list(drawing)[::-1]):
        for name in names:
            if not bench.late():
                seconds[name].append(run(drawing[name], prompts))
    rates = {
        name: IMAGES * len(prompts) / float(np.median(own)) for name, own in seconds.items() if own
    }
    others = {"(a)": bench.figures[COMPILED]["(a): images a second"], PLAIN: rates.get(PLAIN)}
    for name, rate in rates.items():
        bench.tell(COMPILED, f"{name}, in turns: images a second", rate)
        for other, theirs in others.items():
            if theirs:
                bench.tell(COMPILED, f"{name}: times as fast as {other}", rate / theirs)


def compile_drawing_ahead(bench: Bench, which: str) -> None:
    """Have the compiler's cache filled with what a contestant's networks need."""
    models = drawing_models(bench)
    models.ella.compile()
    start = time.perf_counter()
    run(compiled_contestants(models)[which], make_prompts(AT_ONCE))
    bench.tell(COMPILED, f"{which}: seconds of the first call", time.perf_counter() - start)


AHEAD = {
    "ella-many": partial(compile_drawing_ahead, which=ELLA_MANY),
    "plain": partial(compile_drawing_ahead, which=PLAIN),
    "ella-one": partial(compile_drawing_ahead, which=ELLA_ONE),
}


def run_batches(bench: Bench) -> None:
    """Ours uncompiled, by prompts a call, 16 of them at most; and `--batch-size auto`."""
    models, prompts = drawing_models(bench), make_prompts(16 if bench.real else 8)
    size = "float16" if bench.on_cuda else "float32"
    for number in (1, 4, 8, 16) if bench.real else (1, 4, 8):
        if bench.late():
            return
        name = f"ours with ELLA, {number} a call"
        with bench.trying("batches", name):
            draw = ours(models.ella, models, number)
            run(draw, prompts[:number])  # warm up
            measure_drawing(bench, "batches", name, draw, prompts, warm=False)
        free()
    within = automatic(bench, models)
    measure_drawing(bench, "batches", f"auto, {size}", drawn_by(within, models), prompts)
    tell_choice(bench, "batches", "auto", within)


def automatic(bench: Bench, models: Models) -> DrawnWithinMemory:
    """As the command makes it for `--batch-size auto`."""
    return DrawnWithinMemory(models.ella, DrawingOptions(None), gauge=MemoryGauge(bench.device))


def tell_choice(bench: Bench, part: str, name: str, within: DrawnWithinMemory) -> None:
    bench.tell(part, f"{name}: times that a prompt's need fits", within._times_that_fit)
    bench.tell(part, f"{name}: prompts a call", within.items_at_once(IMAGES))
    bench.tell(part, f"{name}: images at once after running out", within.images_at_once)
    remark = getattr(within.generator, "remark", "")
    bench.tell(part, f"{name}: remark", remark or "none")


def run_memory(bench: Bench) -> None:
    """What happens where memory runs out: a limit that nobody sees, then memory that is taken."""
    if not bench.on_cuda:
        bench.tell("memory", "left out", "there is no limit to set without a GPU")
        return
    models, prompts = drawing_models(bench), make_prompts(AT_ONCE)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    whole = grids(ours(models.ella, models, AT_ONCE), prompts)
    needed = torch.cuda.max_memory_allocated() - before
    total = torch.cuda.mem_get_info()[1]
    bench.tell("memory", f"{AT_ONCE} prompts take GiB", needed / 2**30)
    for share in (0.6, 0.3):
        free()
        models.ella.vae.remark = ""
        for network in (models.ella.pipeline.vae,):
            network.disable_slicing()
            network.disable_tiling()
        name = f"a limit of {share:.0%} of that"
        within = DrawnWithinMemory(models.ella, DrawingOptions(AT_ONCE))
        torch.cuda.set_per_process_memory_fraction((before + share * needed) / total)
        try:
            with bench.trying("memory", name):
                own = grids(drawn_by(within, models), prompts)
                tell_difference(bench, name, whole, own)
                tell_choice(bench, "memory", name, within)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    free()
    with taken(leaving=int(0.8 * needed)), bench.trying("memory", "memory taken, auto"):
        within = automatic(bench, models)
        own = grids(drawn_by(within, models), prompts)
        tell_difference(bench, "memory taken, auto", whole, own)
        tell_choice(bench, "memory", "memory taken, auto", within)


def tell_difference(bench: Bench, name: str, whole: Any, own: Any) -> None:
    apart = int(np.abs(whole - own).max())
    bench.tell("memory", f"{name}: largest difference of a pixel, of 255", apart)
    mean = float(np.abs(whole - own).mean())
    bench.tell("memory", f"{name}: mean difference of a pixel, of 255", mean)


def grids(draw: Contestant, prompts: Sequence[str]) -> Any:
    """The grids that are drawn, as numbers."""
    with tempfile.TemporaryDirectory() as scratch:
        draw(prompts, Path(scratch))
        files = sorted(Path(scratch).iterdir())
        assert len(files) == len(prompts), f"{len(files)} of {len(prompts)} grids were drawn"
        return np.stack([np.asarray(Image.open(file), dtype=np.int16) for file in files])


@contextmanager
def taken(leaving: int) -> Any:
    """Hold the device's memory but for some bytes, as another process might."""
    free()
    there, _ = torch.cuda.mem_get_info()
    held = torch.empty(max(0, there - leaving), dtype=torch.uint8, device="cuda")
    yield
    del held
    free()


def measure_drawing(
    bench: Bench,
    part: str,
    name: str,
    draw: Contestant,
    prompts: list[str],
    *,
    warm: bool = True,
) -> None:
    if warm:
        run(draw, prompts[: max(2, len(prompts) // 4)])
    with peak_memory(bench, part, name):
        seconds = run(draw, prompts)
    bench.tell(part, f"{name}: images a second", IMAGES * len(prompts) / seconds)


def tell_parts(bench: Bench, part: str, parts: dict[str, dict[str, float]]) -> None:
    for name, own in parts.items():
        for what, milliseconds in own.items():
            bench.tell(part, f"{name}: {what}, milliseconds a grid", milliseconds)
