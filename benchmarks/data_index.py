"""An index of many captions: seconds to open it, and memory of a process that reads from it.

    python -m benchmarks.data_index                                  # 1,000,000 rows, 200,000 read
    python -m benchmarks.data_index --rows 20000 --read 5000

A list of captions is written and indexed; then a process of its own, as a worker of the trainer is,
opens the index, chooses its order, and reads captions in that order. Memory is what is private to
the process: pages of files that are mapped are shared by all, and the system may drop them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ella.data.index import build_index, default_folder
from ella.data.pairs import DataSource, IndexedPairs

TEXT = "a red circle left of a blue square, and under both of them a long green bench in the rain"


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print one JSON object, and return it."""
    options = parse_options(words)
    if options.folder:
        return read_captions(options.folder, options.read)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "data"
        write_list(folder, options.rows)
        start = time.perf_counter()
        build_index(folder, default_folder(folder), processes=options.processes)
        indexed = time.perf_counter() - start
        asked = ["--folder", str(folder), "--read", str(options.read)]
        reading = subprocess.run(
            [sys.executable, "-m", "benchmarks.data_index", *asked],
            capture_output=True,
            text=True,
            check=True,
        )
    figures = {
        "rows": options.rows,
        "seconds to index": indexed,
        **json.loads(reading.stdout.splitlines()[-1]),
    }
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def parse_options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--read", type=int, default=200_000, help="captions")
    parser.add_argument("--processes", type=int, default=1, help="that index")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def write_list(folder: Path, rows: int) -> None:
    """A list in which all captions are about one picture: it is only looked for."""
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "picture.png")
    with (folder / "captions.jsonl").open("w", encoding="utf-8") as file:
        for number in range(rows):
            line = {"file": "picture.png", "text": f"{TEXT}, number {number}"}
            file.write(json.dumps(line) + "\n")


def read_captions(folder: Path, number: int) -> dict[str, Any]:
    before = private_mib()
    start = time.perf_counter()
    pairs = IndexedPairs.open([DataSource(folder)], folder.parent)
    pairs.select((), None)
    order = pairs.order(seed=0, together=1)
    pairs.text(order.pair_of(0))
    seconds = time.perf_counter() - start
    opened = private_mib()
    letters = sum(len(pairs.text(order.pair_of(sample))) for sample in range(number))
    figures = {
        "seconds to start": seconds,
        "MiB that starting takes": opened - before,
        "captions read": number,
        "letters": letters,
        "MiB that reading takes": private_mib() - opened,
    }
    print(json.dumps(figures))
    return figures


def private_mib() -> float:
    """Memory of this process that it shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    private = [line.split()[1] for line in lines if line.startswith("Private_")]
    return sum(map(int, private)) / 1024


if __name__ == "__main__":
    main()
