"""Networks compiled ahead, each in a process of its own, into torch's cache, which all share.

A compiler takes a minute or two for each network and shape, most of it on one core; a machine with
a GPU has many cores. What is measured later finds its code in the cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.gpu_bench import Bench

ROOT = Path(__file__).resolve().parents[1]
THREADS = 3
OUTPUT = "output.txt"


def start_ahead(bench: Bench, names: Sequence[str]) -> None:
    """Start compiling; `Bench.beside` has the processes."""
    for name in names:
        folder = bench.scratch / name
        folder.mkdir(parents=True, exist_ok=True)
        words = ["--size", bench.size, "--device", bench.device, "--out", str(folder)]
        with (folder / OUTPUT).open("wb") as output:
            bench.beside[name] = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.on_gpu", "--ahead", name, *words],
                cwd=ROOT,
                env={**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": str(THREADS)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )


def wait_for_all(bench: Bench, patience: float, ended: Callable[[str, int], None]) -> None:
    """Wait until nothing else works on the device; end what takes longer than `patience` seconds.

    Args:
        bench: whose processes are waited for.
        patience: seconds, for all together.
        ended: is told of each that ended, and its exit code.
    """
    until = min(time.monotonic() + patience, bench.ends)
    start = time.monotonic()
    while bench.beside:
        for name, process in [*bench.beside.items()]:
            if time.monotonic() > until:
                process.kill()
                process.wait()
            elif process.poll() is None:
                continue
            del bench.beside[name]
            bench.tell("ahead", f"{name}: ended after seconds", time.monotonic() - start)
            ended(name, process.returncode)
        time.sleep(0.2)
