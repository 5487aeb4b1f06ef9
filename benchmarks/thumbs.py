"""How long the thumbs of a report take, the first time and the second.

    python -m benchmarks.thumbs [FOLDER] [--items N] [--tile-px N] [--out FILE.json]

Makes up 5 runs of 1,065 items with a grid of four tiles each, and builds their report with
``--embed thumbs`` twice, first with an empty cache, with all cores. Noise is
added, as pictures of generators have it: a flat PNG is opened three times as fast.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.synthetic_runs import NUM_ITEMS, item_ids, make_runs
from dpgbench.report import ReportOptions, build_report
from dpgbench.store.run.directory import RunDir


def draw_noisy(runs: Sequence[RunDir], items: Sequence[str], tile_px: int) -> None:
    """Give the runs grids of their own: smooth colours with the noise of a camera."""
    import numpy as np
    from PIL import Image

    from dpgbench.store.images import png_bytes

    rng = np.random.default_rng(7)
    side = 2 * tile_px
    noise = rng.normal(0, 2, (side + 64, side, 3))
    for run in runs:
        run.images.mkdir(parents=True, exist_ok=True)
        for item in items:
            coarse = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            smooth = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
            at = int(rng.integers(0, 64))
            pixels = np.asarray(smooth, dtype=np.float32) + noise[at : at + side]
            run.image(item).write_bytes(
                png_bytes(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
            )


def measure(folder: Path, number: int, tile_px: int) -> dict[str, Any]:
    """Return seconds of a report with thumbs, the first time and the second."""
    os.environ["DPGBENCH_CACHE"] = str(folder / "cache")
    runs = make_runs(folder, number)
    draw_noisy(runs, list(item_ids(number)), tile_px)
    taken: dict[str, Any] = {"pictures": len(runs) * number, "cores": len(os.sched_getaffinity(0))}
    pages = []
    for name in ("first", "second"):
        began, worked = time.perf_counter(), time.process_time()
        pages.append(
            build_report(runs, folder / "report", ReportOptions(embed="thumbs"))[0].read_bytes()
        )
        taken[f"{name}_seconds"] = round(time.perf_counter() - began, 2)
        taken[f"{name}_cpu_seconds"] = round(time.process_time() - worked, 2)
    taken["same_page"] = pages[0] == pages[1]
    taken["page_mb"] = round(len(pages[0]) / 1e6, 1)
    taken["times_faster"] = round(taken["first_seconds"] / taken["second_seconds"], 1)
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs, build the report twice, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--items", type=int, default=NUM_ITEMS)
    parser.add_argument("--tile-px", type=int, default=512)
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args(arguments)
    folder = (options.folder or Path(tempfile.mkdtemp())).resolve()
    text = json.dumps(measure(folder, options.items, options.tile_px))
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
