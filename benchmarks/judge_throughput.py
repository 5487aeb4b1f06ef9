"""Questions per second of the native judge on whole grids, and how far precisions agree.

    python -m benchmarks.judge_throughput --device cuda --grids 64 --batch-size 16
    python -m benchmarks.judge_throughput --size small --grids 4      # on a CPU, in seconds

Seeded weights as in `judge.py`. Each grid has 4 tiles x 13 questions; images are decoded, resized
and normalised in worker threads, as `dpgbench score` does. For each precision it prints questions
per second, the same with every image encoded anew for each question (on few questions: it is
slow), answers that agree with float32, and what a whole DPG-Bench of 1,065 grids would take.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.judge import DTYPES, NUM_QUESTIONS, SIZES, WORDS, write_in_child
from dpgbench.mplug import MplugVqa, load_mplug

TILES = 4
GRIDS_OF_DPG_BENCH = 1065
SLOW_QUESTIONS = 13


def main() -> None:
    options = parse_options()
    images = [noise(number) for number in range(options.grids * TILES)]
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "config.yaml").exists():
            write_in_child(folder, options.size)
        exact: list[str] = []
        for dtype in options.dtypes:
            judge = load_mplug(folder, device=options.device, dtype=DTYPES[dtype])
            if options.compile:
                judge.compile()
            texts = measure(judge, dtype, images, options.batch_size)
            exact = exact or texts
            same = sum(a == b for a, b in zip(exact, texts, strict=True))
            print(f"  agrees with {options.dtypes[0]}: {same} of {len(texts)} answers")
            del judge


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=["float32", "float16"])
    parser.add_argument("--grids", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4, help="images encoded together")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--folder", type=Path, help="weights to use; made there if there are none")
    return parser.parse_args()


def measure(judge: MplugVqa, dtype: str, images: list[Image.Image], batch_size: int) -> list[str]:
    judge.ask(images[:batch_size], [questions(0)] * len(images[:batch_size]))  # warm up
    seconds, texts = timed(judge, images, batch_size)
    count = len(texts)
    whole = GRIDS_OF_DPG_BENCH * TILES * NUM_QUESTIONS / (count / seconds)
    print(f"{dtype}: {count} questions in {seconds:.2f} s, {count / seconds:.1f} a second;")
    print(f"  a whole DPG-Bench (1,065 grids) would take {whole / 60:.1f} minutes")
    start = time.perf_counter()
    for question in questions(0)[:SLOW_QUESTIONS]:
        judge.ask(images[:1], [[question]])
    synchronize()
    slow = SLOW_QUESTIONS / (time.perf_counter() - start)
    print(f"  encoding the image for every question: {slow:.1f} a second")
    return texts


def timed(judge: MplugVqa, images: list[Image.Image], batch_size: int) -> tuple[float, list[str]]:
    start = time.perf_counter()
    texts: list[str] = []
    for number, batch in enumerate(prepared(judge, images, batch_size)):
        first = number * batch_size
        asked = [questions(first + offset) for offset in range(len(batch))]
        answers = judge.ask(batch, asked, batch_size=batch_size)
        texts += [answer.text for tile in answers for answer in tile]
    synchronize()
    return time.perf_counter() - start, texts


def prepared(judge: MplugVqa, images: list[Image.Image], size: int) -> Iterator[list[Tensor]]:
    with ThreadPoolExecutor() as pool:
        ready = pool.map(judge.prepare, images)
        while batch := list(islice(ready, size)):
            yield batch


def questions(number: int) -> list[str]:
    return [f"is the {word} dog {number} left of the red picture?" for word in WORDS]


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
