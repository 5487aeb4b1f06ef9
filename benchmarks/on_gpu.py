"""What only a GPU can tell, in minutes: printed as it goes, most wanted first, JSON at the end.

    python -m benchmarks.on_gpu --minutes 8 --out FOLDER
    python -m benchmarks.on_gpu --size tiny --device cpu --out FOLDER --parts blip train

Parts: the golden tests marked `gpu`; generation at Stable Diffusion 1.5's real size, compiled,
against the loop that people write; by prompts a call, and `--batch-size auto`; what happens where
memory runs out; the trainer against a bare loop, compiled too; BLIP-VQA; the judge compiled; the
judge's questions a second by type; generation uncompiled, with ELLA's own way. All weights are
seeded: the networks compute as the real ones do and draw noise. Each part stands in a try of its
own, and none begins after `--minutes`: a cut run still tells something. FOLDER/on_gpu.json is
written anew after each figure.

With `--compile-ahead` networks are compiled by processes beside the golden tests, before anything
is timed: on a machine with 16 cores that saves minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import gpu_drawing
from benchmarks.gpu_ahead import OUTPUT, ROOT, start_ahead, wait_for_all
from benchmarks.gpu_bench import Bench, free
from benchmarks.gpu_drawing import run_batches, run_compiled_generate, run_generate, run_memory
from benchmarks.gpu_judges import compile_judge_ahead, run_blip, run_compiled_judge, run_judge
from benchmarks.gpu_training import compile_train_ahead, run_compiled_train, run_train

GOLDEN = "golden"
TELLS = ("[", "FAILED", "ERROR", "SKIPPED", "E  ", "Traceback", "torch.", "RuntimeError")


def main() -> None:
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(options.device, options.size, options.out, ends, Path(scratch))
        if options.ahead:
            AHEAD[options.ahead](bench)
            return
        tell_machine(bench)
        default = [part for part in PARTS if bench.real or not part.startswith("compiled")]
        parts = options.parts or [GOLDEN, *default]
        run_beside(bench, parts, compiles=options.compile_ahead, patience=60 * options.patience)
        for name in parts:
            if name != GOLDEN:
                run_part(bench, name)


def run_part(bench: Bench, name: str) -> None:
    if bench.late():
        bench.tell(name, "left out", "no time left")
        return
    start = time.perf_counter()
    torch.set_float32_matmul_precision("highest")
    with bench.trying(name):
        PARTS[name](bench)
    bench.tell(name, "seconds of this part", time.perf_counter() - start)
    free()


def run_beside(bench: Bench, parts: Sequence[str], *, compiles: bool, patience: float) -> None:
    """What is not timed: the golden tests, and compilers."""
    if GOLDEN in parts and bench.late():
        bench.tell(GOLDEN, "left out", "no time left")
        return
    if compiles:
        start_ahead(bench, [name for part in parts for name in AHEAD_OF.get(part, ())])
    if GOLDEN in parts:
        with bench.trying(GOLDEN):
            start_golden(bench)
    wait_for_all(bench, patience, lambda name, code: tell_beside(bench, name, code))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=("real", "tiny"), default="real")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parts", nargs="+", choices=(GOLDEN, *PARTS), default=None)
    parser.add_argument(
        "--compile-ahead", action="store_true", help="by processes, beside the golden tests"
    )
    parser.add_argument(
        "--patience", type=float, default=4.0, help="minutes that tests and compilers may take"
    )
    parser.add_argument("--ahead", choices=AHEAD, help=argparse.SUPPRESS)
    return parser.parse_args()


def tell_machine(bench: Bench) -> None:
    import diffusers
    import transformers

    card = torch.cuda.get_device_name() if bench.on_cuda else "CPU"
    bench.tell("machine", "card", card)
    bench.tell("machine", "torch", torch.__version__)
    bench.tell("machine", "diffusers", diffusers.__version__)
    bench.tell("machine", "transformers", transformers.__version__)
    bench.tell("machine", "date", time.strftime("%Y-%m-%d"))
    bench.tell("machine", "command", " ".join(sys.argv))


def start_golden(bench: Bench) -> None:
    """The tests marked `gpu`; those of real size too where the networks here have it."""
    marked = "gpu" if bench.real else "gpu and not slow"
    words = ["-m", marked, "-q", "-rA", "-s", "-p", "no:cacheprovider", "tests/gpu"]
    with (bench.out / "golden.txt").open("wb") as output:
        bench.beside[GOLDEN] = subprocess.Popen(
            [sys.executable, "-m", "pytest", *words],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def tell_beside(bench: Bench, name: str, code: int) -> None:
    """What a process said that worked before anything was timed."""
    file = bench.out / "golden.txt" if name == GOLDEN else bench.scratch / name / OUTPUT
    lines = file.read_text("utf-8", errors="replace").splitlines()
    for line in lines:
        if line.startswith(TELLS) or "largest difference" in line:
            print(f"    {name}: {line}", flush=True)
    bench.tell(name if name == GOLDEN else "ahead", f"{name}: exit code", code)
    if name == GOLDEN:
        bench.tell(GOLDEN, "tests", lines[-1].strip("= ") if lines else "no output")


PARTS: dict[str, Callable[[Bench], None]] = {
    "compiled generate": run_compiled_generate,
    "batches": run_batches,
    "memory": run_memory,
    "train": run_train,
    "compiled train": run_compiled_train,
    "blip": run_blip,
    "compiled judge": run_compiled_judge,
    "judge": run_judge,
    "generate": run_generate,
}
AHEAD: dict[str, Callable[[Bench], Any]] = {
    **gpu_drawing.AHEAD,
    "train": compile_train_ahead,
    "judge": compile_judge_ahead,
}
AHEAD_OF = {
    "compiled generate": tuple(gpu_drawing.AHEAD),
    "compiled train": ("train",),
    "compiled judge": ("judge",),
}
"""What is compiled ahead for a part."""


if __name__ == "__main__":
    main()
