"""How long a report of the real benchmark's size takes, how much memory, and how large it gets.

    python -m benchmarks.report [FOLDER] [--models 12] [--out FILE.json] [--against CHECKOUT]

Makes up 1,065 items x 5 models x 4 tiles x 13 questions (prompts, graphs and answers from a seeded
generator) in FOLDER, then builds the report on one core and prints seconds, peak memory and sizes;
with Chromium also how many elements the page has, and how fast it opens and answers clicks.
With the checkout of another version both build it in turn, and the ratio of their processor time is
printed. The browser test and the screenshots use the same runs.

In a paired run on a shared machine commit 6d4b747, from before plans, graphs and draws were made
once, took 5.90 s of processor time and 121 MiB; the version after it 3.25 s and 175 MiB.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.report_page import measure_page
from benchmarks.synthetic_runs import (
    MODELS,
    NUM_ITEMS,
    TWELVE_MODELS,
    draw_images,
    item_ids,
    make_runs,
)
from dpgbench.store.run.directory import RunDir
from tests.report.chromium import CHROMIUM, chromium

_HERE = Path(__file__).resolve().parents[1]
_TIMES = 3
_BUILD = """
import re, sys, time
from pathlib import Path
began = time.perf_counter()
from dpgbench.report import build_report
try:
    from dpgbench.store.run.directory import find_runs
except ModuleNotFoundError:  # a checkout from before it was moved
    from dpgbench.store.rundir import find_runs
paths = build_report(find_runs([Path(name) for name in sys.argv[2:]]), Path(sys.argv[1]))
# Not `ru_maxrss`, which a process takes over from the one that started it.
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
sizes = [path.stat().st_size for path in paths]
print(time.perf_counter() - began, time.process_time(), peak, *sizes)
"""


def measure(
    runs: Sequence[RunDir], out: Path, checkout: Path = _HERE, *, cores: int = 1
) -> dict[str, float]:
    """Return what a build with 1 GiB of memory takes, imports included.

    Args:
        checkout: whose code builds it.
        cores: on how many.
    """
    some = set(sorted(os.sched_getaffinity(0))[:cores])

    def confine() -> None:
        os.sched_setaffinity(0, some)
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))

    one = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONPATH": str(checkout),
    }
    done = subprocess.run(
        [sys.executable, "-c", _BUILD, str(out), *(str(run.path) for run in runs)],
        capture_output=True,
        text=True,
        check=True,
        env=one,
        cwd=out.parent,
        preexec_fn=confine,
    )
    seconds, worked, peak, page, *_ = map(float, done.stdout.split())
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(worked, 2),
        "peak_mib": round(peak),
        "page_mb": round(page / 1e6, 2),
    }


def compare(runs: Sequence[RunDir], out: Path, checkout: Path) -> dict[str, float]:
    """Return the median processor seconds of this version and of `checkout`, built in turn."""
    pairs = [
        (measure(runs, out), measure(runs, out.with_name("other"), checkout)) for _ in range(_TIMES)
    ]
    here, other = (
        median(side["cpu_seconds"] for side in sides) for sides in zip(*pairs, strict=True)
    )
    return {"cpu_seconds": here, "other_cpu_seconds": other, "times_faster": round(other / here, 2)}


def main() -> None:
    """Make the runs, build the report, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--items", type=int, default=NUM_ITEMS)
    parser.add_argument("--models", type=int, choices=range(2, 13), default=5)
    parser.add_argument("--cores", type=int, choices=(1, 2), default=1)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT")
    options = parser.parse_args()
    folder = (options.folder or Path(tempfile.mkdtemp())).resolve()
    began = time.perf_counter()
    chosen = (
        MODELS
        if options.models == 5
        else dict(itertools.islice(TWELVE_MODELS.items(), options.models))
    )
    runs = make_runs(folder, options.items, chosen)
    draw_images(runs, list(item_ids(options.items))[:40])
    print(f"made {len(runs)} runs in {time.perf_counter() - began:.0f} s under {folder}")
    figures = {**measure(runs, folder / "report", cores=options.cores), "models": len(runs)}
    if CHROMIUM is not None:
        with chromium() as browser:
            figures |= measure_page(browser, folder / "report" / "leaderboard.html")
    print(json.dumps(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    if options.against:
        print(json.dumps(compare(runs, folder / "report", options.against.resolve())))


if __name__ == "__main__":
    main()
