"""Parts of `benchmarks/on_gpu.py`: questions a second of mPLUG and of BLIP-VQA, seeded weights."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import blip_vqa
from benchmarks.gpu_bench import TILES, Bench, free, noise, peak_memory, synchronize, timed
from benchmarks.judge import DTYPES, NUM_QUESTIONS, WORDS, seeded_weights, write_layout
from dpgbench.mplug import MplugConfig, MplugProcessor, MplugVqa
from dpgbench.mplug.checkpoint import build_network

if TYPE_CHECKING:
    from PIL import Image

GRIDS_OF_DPG_BENCH = 1065


def run_judge(bench: Bench) -> None:
    """Questions a second by type, and how often narrow types answer as float32 does."""
    network, processor, images = make_judge(bench)
    exact: list[Any] = []
    for name in ("float32", "float16", "bfloat16"):
        if bench.late():
            return
        judge = MplugVqa(network.to(dtype=DTYPES[name]), processor)
        answers = measure_judge(bench, name, judge, images)
        if name == "float32":
            exact = answers
            restore = {key: tensor.clone() for key, tensor in network.state_dict().items()}
        else:
            compare_answers(bench, name, exact, answers)
        network.to(dtype=torch.float32).load_state_dict(restore)
    encode_each_time(bench, MplugVqa(network.to(dtype=torch.float16), processor), images)


def run_compiled_judge(bench: Bench) -> None:
    """The judge in float16, as it is and by torch.compile; seconds that compiling took."""
    network, processor, images = make_judge(bench)
    judge = MplugVqa(network.to(dtype=torch.float16), processor)
    measure_judge(bench, "float16", judge, images)
    compile_judge(bench, judge, images)
    measure_judge(bench, "float16 compiled", judge, images)


def compile_judge(bench: Bench, judge: MplugVqa, images: list[Image.Image]) -> None:
    judge.compile()
    start = time.perf_counter()
    ask(judge, images[:16], 16)
    synchronize()
    bench.tell("compiled judge", "seconds of the first call", time.perf_counter() - start)


def compile_judge_ahead(bench: Bench) -> None:
    """Have the compiler's cache filled."""
    network, processor, images = make_judge(bench)
    compile_judge(bench, MplugVqa(network.to(dtype=torch.float16), processor), images)


def make_judge(bench: Bench) -> tuple[Any, MplugProcessor, list[Image.Image]]:
    """The seeded network in float32, its processor, and pictures to ask about."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_layout(folder, "full" if bench.real else "small")
        config = MplugConfig.from_folder(folder)
        processor = MplugProcessor.from_folder(folder, config)
        network = build_network(config, biased_weights(config, processor), "seeded weights")
    grids = 64 if bench.real else 1
    return network.to(bench.device), processor, [noise(n) for n in range(grids * TILES)]


def biased_weights(config: MplugConfig, processor: MplugProcessor) -> dict[str, torch.Tensor]:
    """Seeded weights that answer yes or no and then end, as the real ones nearly always do."""
    weights = seeded_weights(config)
    bias = weights["text_decoder.cls.predictions.decoder.bias"]
    assert processor.yes_no_ids is not None
    for token in processor.yes_no_ids:
        bias[token] = 12.0
    bias[config.search.end_id] = 24.0
    return weights


def measure_judge(bench: Bench, name: str, judge: MplugVqa, images: list[Image.Image]) -> list[Any]:
    batch_size = 16 if bench.real else 2
    ask(judge, images[:batch_size], batch_size)  # warm up
    with peak_memory(bench, "judge", name):
        seconds, answers = timed(lambda: ask(judge, images, batch_size))
    part = "judge"
    rate = len(answers) / seconds
    whole = GRIDS_OF_DPG_BENCH * TILES * NUM_QUESTIONS / rate
    bench.tell(part, f"{name}: questions a second", rate)
    bench.tell(part, f"{name}: minutes for 1,065 grids x 4 x 13", whole / 60)
    return answers


def compare_answers(bench: Bench, name: str, exact: list[Any], answers: list[Any]) -> None:
    same = sum(a.text == b.text for a, b in zip(exact, answers, strict=True))
    apart = max(abs(a.p_yes - b.p_yes) for a, b in zip(exact, answers, strict=True))
    bench.tell("judge", f"{name}: answers as float32", f"{same} of {len(exact)}")
    bench.tell("judge", f"{name}: largest difference of p_yes", apart)


def encode_each_time(bench: Bench, judge: MplugVqa, images: list[Image.Image]) -> None:
    """As the reference does: the image goes through the network once for each question."""
    texts = questions(0)
    judge.ask(images[:1], [texts[:1]])
    seconds, _ = timed(lambda: [judge.ask(images[:1], [[text]]) for text in texts])
    bench.tell("judge", "float16, image encoded for each question: a second", len(texts) / seconds)


def ask(judge: MplugVqa, images: list[Image.Image], batch_size: int) -> list[Any]:
    """Answers to 13 questions of each image; images are prepared in threads, as `score` does."""
    answers: list[Any] = []
    with ThreadPoolExecutor() as pool:
        ready = pool.map(judge.prepare, images)
        first = 0
        while batch := list(islice(ready, batch_size)):
            asked = [questions(first + offset) for offset in range(len(batch))]
            first += len(batch)
            for of_image in judge.ask(batch, asked, batch_size=batch_size):
                answers += of_image
    return answers


def questions(number: int) -> list[str]:
    return [f"is the {word} dog {number} left of the red picture?" for word in WORDS]


def run_blip(bench: Bench) -> None:
    """Images a second of BLIP-VQA, against a pass a chunk and the original's eight slots."""
    with torch.device(bench.device):
        network = blip_vqa.seeded_network("full" if bench.real else "small")
    images, batch = (64, 16) if bench.real else (4, 2)
    for dtype in ("float32", "float16"):
        if bench.late():
            return
        narrow = network.to(DTYPES[dtype])
        figures = blip_vqa.contest(narrow, images=images, batch=batch, repeat=2)
        for name, value in figures.items():
            bench.tell("blip", f"{dtype}: {name}", value)
        free()
