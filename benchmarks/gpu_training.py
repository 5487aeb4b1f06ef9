"""Parts of `benchmarks/on_gpu.py`: samples a second of the trainer at Stable Diffusion 1.5's size.

Pictures come out of tar shards and parquet tables, decoded by workers, and captions through the
language model at each step. The bare loop is `benchmarks/train.py`'s, its pictures read by as many
workers of torch's `DataLoader`.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from benchmarks.generate import TEXT, Models
from benchmarks.gpu_bench import Bench, noise, peak_memory, synchronize
from benchmarks.gpu_drawing import drawing_models
from benchmarks.train import bare_step
from ella import TrainConfig, new_connector, train_connector
from ella.data.pairs import DataSource, IndexedPairs
from ella.training.data import to_pixels

PAPERS_SAMPLES_A_SECOND = 14.8
"""Of one GPU: 280,000 steps of 256 samples in 7 days on 8 of them (arXiv 2403.05135)."""


def run_train(bench: Bench) -> None:
    """The bare loop, and the trainer with tar shards; then with parquet, where time is left."""
    models = drawing_models(bench)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pairs = {kind: pairs_in(folder / kind, kind, bench) for kind in ("tar", "parquet")}
        with bench.trying("train", "bare loop"):
            measure_bare(bench, models, pairs["tar"])
        for kind, own in pairs.items():
            if not bench.late():
                with bench.trying("train", kind):
                    measure_trainer(bench, f"trainer, {kind}", models, own, folder / f"run-{kind}")


def run_compiled_train(bench: Bench) -> None:
    """The trainer with `--compile`, tar shards."""
    measure_compiled(bench, steps=40 if bench.real else 2)


def compile_train_ahead(bench: Bench) -> None:
    """Have the compiler's cache filled."""
    measure_compiled(bench, steps=2)


def measure_compiled(bench: Bench, steps: int) -> None:
    models = drawing_models(bench)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        pairs = pairs_in(folder / "tar", "tar", bench)
        name = "trainer compiled, tar"
        measure_trainer(bench, name, models, pairs, folder / "run", steps=steps, compiled=True)


def measure_trainer(
    bench: Bench,
    name: str,
    models: Models,
    pairs: IndexedPairs,
    out: Path,
    *,
    steps: int = 0,
    compiled: bool = False,
) -> None:
    pipeline, ella = models.ella.pipeline, models.ella.ella
    steps = steps or (24 if bench.real else 2)
    config = TrainConfig(
        steps=steps,
        batch_size=batch_size(bench),
        mixed_precision="bf16" if bench.on_cuda else "no",
        ema_decay=0.0,
        log_every=max(1, steps // 8),
        save_every=10_000,
        workers=workers(bench),
        compile=compiled,
        device="auto" if bench.on_cuda else "cpu",
    )
    start = time.perf_counter()
    with peak_memory(bench, "train", name):
        train_connector(
            pipeline,
            ella.text_encoder,
            pairs,
            out,
            config,
            connector=new_connector(ella.connector.config).to(bench.device),
            progress=False,
        )
    bench.tell("train", f"{name}: seconds of all {steps} steps", time.perf_counter() - start)
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rate = median_of_later([line["samples_per_second"] for line in lines])
    bench.tell("train", f"{name}: samples a second", rate)
    bench.tell("train", f"{name}: of the paper's 14.8 a GPU", rate / PAPERS_SAMPLES_A_SECOND)
    waits = median_of_later([line["data_wait"] for line in lines])
    bench.tell("train", f"{name}: share of the time waiting for data", waits)
    bare = bench.figures.get("train", {}).get("bare loop: samples a second")
    if bare:
        bench.tell("train", f"{name}: its step against the bare loop's", bare / rate)


def measure_bare(bench: Bench, models: Models, pairs: IndexedPairs) -> None:
    """Seconds a step of the loop that people write, the median of the later half."""
    pipeline, ella = models.ella.pipeline, models.ella.ella
    dtype = torch.bfloat16 if bench.on_cuda else torch.float32
    for network in (pipeline.unet, pipeline.vae):
        network.to(dtype)
    connector = new_connector(ella.connector.config).to(bench.device)
    step = bare_step(pipeline, ella.text_encoder, connector, bench.device, dtype)
    batches = loaded(pairs, models.spec.width_px, batch_size(bench), workers(bench))
    seconds = []
    with peak_memory(bench, "train", "bare loop"):
        for _ in range(24 if bench.real else 2):
            start = time.perf_counter()
            step(*next(batches))
            synchronize()
            seconds.append(time.perf_counter() - start)
    rate = batch_size(bench) / median_of_later(seconds)
    bench.tell("train", "bare loop: samples a second", rate)


class Squares(Dataset[tuple[torch.Tensor, str]]):
    """Pictures as squares in the bare loop's way, and their captions."""

    def __init__(self, pairs: IndexedPairs, px: int) -> None:
        self.pairs, self.px = pairs, px

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, str]:
        return to_pixels(self.pairs.image(index), self.px), self.pairs.text(index)


def loaded(
    pairs: IndexedPairs, px: int, size: int, workers: int
) -> Iterator[tuple[torch.Tensor, list[str]]]:
    """Batches without end."""
    loader: Any = DataLoader(
        Squares(pairs, px),
        size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader


def pairs_in(folder: Path, kind: str, bench: Bench) -> IndexedPairs:
    """JPEG pictures of 512 px with their captions, in shards or in a table."""
    folder.mkdir(parents=True)
    pictures = [jpeg(number) for number in range(256 if bench.real else 4)]
    captions = [f"{TEXT}, number {number}" for number in range(len(pictures))]
    if kind == "tar":
        write_shards(folder, pictures, captions)
    else:
        write_table(folder, pictures, captions)
    return IndexedPairs.open([DataSource(folder)], folder.parent / "cache")


def jpeg(number: int) -> bytes:
    file = io.BytesIO()
    noise(number).save(file, "JPEG", quality=90)
    return file.getvalue()


def write_shards(folder: Path, pictures: list[bytes], captions: list[str], each: int = 64) -> None:
    for first in range(0, len(pictures), each):
        with tarfile.open(folder / f"{first // each:05d}.tar", "w") as tar:
            for number in range(first, min(first + each, len(pictures))):
                for suffix, content in (
                    ("jpg", pictures[number]),
                    ("txt", captions[number].encode()),
                ):
                    member = tarfile.TarInfo(f"{number:09d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


def write_table(folder: Path, pictures: list[bytes], captions: list[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    images = [{"bytes": content, "path": None} for content in pictures]
    table = pa.table({"image": images, "text": captions})
    pq.write_table(table, folder / "train-00000-of-00001.parquet", row_group_size=32)


def batch_size(bench: Bench) -> int:
    return 16 if bench.real else 2


def workers(bench: Bench) -> int:
    return 8 if bench.real else 0


def median_of_later(values: list[float]) -> float:
    return float(np.median(values[len(values) // 2 :]))
