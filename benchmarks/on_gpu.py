"""What only a GPU can tell, in minutes: printed as it goes, most wanted first, JSON at the end.

    python -m benchmarks.on_gpu --minutes 6 --out FOLDER
    python -m benchmarks.on_gpu --size tiny --device cpu --out FOLDER     # in seconds

Parts: the golden tests marked `gpu`; the judge's questions a second at real size (float32,
float16, bfloat16, compiled, and with each image encoded anew for each question) and how far narrow
types agree with float32; generation at Stable Diffusion 1.5's real size against the loop that
people write and against ELLA's own way; training steps. All weights are seeded: the networks
compute as the real ones do and draw noise. Each part stands in a try of its own, and none begins
after `--minutes`: a cut run still tells something. FOLDER/on_gpu.json is written anew after each.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

from benchmarks.generate import (
    TEXT,
    Contestant,
    Models,
    contestants,
    make_models,
    make_prompts,
    measure_parts,
    ours,
    plain_loop,
    run,
)
from benchmarks.judge import DTYPES, NUM_QUESTIONS, WORDS, seeded_weights, write_layout
from dpgbench.mplug import MplugConfig, MplugProcessor, MplugVqa
from dpgbench.mplug.checkpoint import build_network

Result = TypeVar("Result")
ROOT = Path(__file__).resolve().parents[1]
TILES = 4
GRIDS_OF_DPG_BENCH = 1065
PROMPTS = 4
Figures = dict[str, Any]


@dataclass
class Bench:
    """What the parts share: where and how large to run, and the clock.

    Attributes:
        ends: `time.monotonic()` after which no measurement begins.
        figures: what was measured, by part.
    """

    device: str
    size: str
    out: Path
    ends: float
    figures: Figures = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Whether networks have their real size."""
        return self.size == "real"

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.ends

    def tell(self, part: str, name: str, value: Any) -> None:
        """Print a figure, keep it, and write the file."""
        shown = f"{value:.4g}" if isinstance(value, float) else value
        print(f"[{part}] {name}: {shown}", flush=True)
        self.figures.setdefault(part, {})[name] = value
        text = json.dumps(self.figures, indent=1)
        (self.out / "on_gpu.json").write_text(text, encoding="utf-8")


def main() -> None:
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        options.device, options.size, options.out, time.monotonic() + 60 * options.minutes
    )
    tell_machine(bench)
    default = [part for part in PARTS if bench.real or not part.startswith("compiled")]
    for name in options.parts or default:
        if bench.late():
            bench.tell(name, "left out", "no time left")
            continue
        start = time.perf_counter()
        try:
            PARTS[name](bench)
        except Exception as error:  # noqa: BLE001 - the other parts still tell something
            traceback.print_exc()
            bench.tell(name, "failed", f"{type(error).__name__}: {error}"[:300])
        bench.tell(name, "seconds of this part", time.perf_counter() - start)
        free()


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=("real", "tiny"), default="real")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=None)
    return parser.parse_args()


def tell_machine(bench: Bench) -> None:
    import diffusers
    import transformers

    card = torch.cuda.get_device_name() if bench.device.startswith("cuda") else "CPU"
    bench.tell("machine", "card", card)
    bench.tell("machine", "torch", torch.__version__)
    bench.tell("machine", "diffusers", diffusers.__version__)
    bench.tell("machine", "transformers", transformers.__version__)
    bench.tell("machine", "date", time.strftime("%Y-%m-%d"))
    bench.tell("machine", "command", " ".join(sys.argv))


def run_golden(bench: Bench) -> None:
    """The tests marked `gpu`; those of real size too where the networks here have it."""
    marked = "gpu" if bench.real else "gpu and not slow"
    words = ["-m", marked, "-q", "-rA", "-s", "-p", "no:cacheprovider", "tests/gpu"]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    (bench.out / "golden.txt").write_text(process.stdout + process.stderr, encoding="utf-8")
    lines = process.stdout.splitlines()
    for line in lines:
        if line.startswith(("FAILED", "ERROR", "SKIPPED", "E  ")) or "largest difference" in line:
            print(line, flush=True)
    bench.tell("golden", "exit code", process.returncode)
    bench.tell("golden", "tests", lines[-1].strip("= ") if lines else "no output")


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
    """The judge in float16 by torch.compile: seconds to compile, and questions a second after."""
    network, processor, images = make_judge(bench)
    judge = MplugVqa(network.to(dtype=torch.float16), processor)
    judge.compile()
    start = time.perf_counter()
    ask(judge, images[:16], 16)
    synchronize()
    bench.tell("compiled judge", "seconds to compile", time.perf_counter() - start)
    measure_judge(bench, "float16 compiled", judge, images)


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


def noise(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def run_generate(bench: Bench) -> None:
    """Images a second: (a) and (b), ours by prompts a call, and where the time goes."""
    models = drawing_models(bench)
    prompts = make_prompts(PROMPTS)
    for name, draw in contestants(models, (1, PROMPTS)).items():
        if bench.late():
            return
        measure_drawing(bench, "generate", name, draw, prompts)
    for name, parts in measure_parts(models, prompts, PROMPTS).items():
        for part, milliseconds in parts.items():
            bench.tell("generate", f"{name}: {part}, milliseconds a grid", milliseconds)
    if not bench.late():
        models.ella.pipeline.unet.to(memory_format=torch.channels_last)
        one = ours(models.ella, models, 1)
        measure_drawing(bench, "generate", "ours with ELLA, 1 a call, channels last", one, prompts)


def run_compiled_generate(bench: Bench) -> None:
    """Networks by torch.compile as `--compile` has them: ours, and (a) compiled alike."""
    models = drawing_models(bench)
    prompts = make_prompts(PROMPTS)
    models.ella.compile()
    drawing = {
        f"ours with ELLA compiled, {PROMPTS} a call": ours(models.ella, models, PROMPTS),
        "ours with ELLA compiled, 1 a call": ours(models.ella, models, 1),
        "ours with CLIP compiled, 1 a call": ours(models.clip, models, 1),
        "(a) compiled too": plain_loop(models),
    }
    for name, draw in drawing.items():
        if bench.late():
            return
        start = time.perf_counter()
        run(draw, prompts)
        bench.tell("compiled generate", f"{name}: first seconds", time.perf_counter() - start)
        measure_drawing(bench, "compiled generate", name, draw, prompts)


def measure_drawing(
    bench: Bench, part: str, name: str, draw: Contestant, prompts: list[str]
) -> None:
    run(draw, prompts)
    with peak_memory(bench, part, name):
        seconds = run(draw, prompts)
    bench.tell(part, f"{name}: images a second", TILES * len(prompts) / seconds)


def drawing_models(bench: Bench, dtype: str | None = None) -> Models:
    dtype = dtype or ("float16" if bench.device.startswith("cuda") else "float32")
    size, steps = ("real", 20) if bench.real else ("tiny", 2)
    return make_models(size, bench.device, dtype, steps)


class NoisePairs:
    """Pictures of noise with captions of their own, in memory."""

    def __init__(self, px: int) -> None:
        self.px = px

    def __len__(self) -> int:
        return 256

    def text(self, index: int) -> str:
        """The caption."""
        return f"{TEXT}, number {index}"

    def image(self, index: int) -> Image.Image:
        """The picture."""
        return noise(index).resize((self.px, self.px))

    def image_key(self, index: int) -> str:
        """What its latents are kept under."""
        return str(index)


PAPERS_SAMPLES_A_SECOND = 14.8
"""Of one GPU: 280,000 steps of 256 samples in 7 days on 8 of them (arXiv 2403.05135)."""


def run_train(bench: Bench) -> None:
    """Samples a second of `train_connector`, bfloat16, features and latents made on the way."""
    from ella import TrainConfig, train_connector

    models = drawing_models(bench, "float32")
    pipeline, ella = models.ella.pipeline, models.ella.ella
    steps, batch_size = (20, 16) if bench.real else (2, 2)
    config = TrainConfig(
        steps=steps,
        batch_size=batch_size,
        mixed_precision="bf16" if bench.device.startswith("cuda") else "no",
        ema_decay=0.0,
        log_every=1,
        save_every=10_000,
        workers=4 if bench.real else 0,
        device="auto" if bench.device.startswith("cuda") else "cpu",
    )
    with tempfile.TemporaryDirectory() as scratch, peak_memory(bench, "train", "bf16"):
        train_connector(
            pipeline,
            ella.text_encoder,
            NoisePairs(models.spec.width_px),
            scratch,
            config,
            connector=None if bench.real else ella.connector,
            progress=False,
        )
        lines = (Path(scratch) / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines]
    rate = median_of_later([line["samples_per_second"] for line in metrics])
    waits = median_of_later([line["data_wait"] for line in metrics])
    bench.tell("train", "samples a second, median of the later half", rate)
    bench.tell("train", "of the paper's 14.8 a GPU", rate / PAPERS_SAMPLES_A_SECOND)
    bench.tell("train", "share of the time waiting for data", waits)


def median_of_later(values: list[float]) -> float:
    return float(np.median(values[len(values) // 2 :]))


@contextmanager
def peak_memory(bench: Bench, part: str, name: str) -> Iterator[None]:
    if not bench.device.startswith("cuda"):
        yield
        return
    torch.cuda.reset_peak_memory_stats()
    yield
    bench.tell(part, f"{name}: peak GiB on the device", torch.cuda.max_memory_allocated() / 2**30)


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    synchronize()
    start = time.perf_counter()
    result = call()
    synchronize()
    return time.perf_counter() - start, result


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


PARTS: dict[str, Callable[[Bench], None]] = {
    "golden": run_golden,
    "judge": run_judge,
    "generate": run_generate,
    "train": run_train,
    "compiled judge": run_compiled_judge,
    "compiled generate": run_compiled_generate,
}


if __name__ == "__main__":
    main()
