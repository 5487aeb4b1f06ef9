"""T2I-CompBench's prompts: which files they are, and how a line becomes an item.

Five files of 300 prompts, a prompt a line; where they are from, `benchmark_table` has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import DataError
from dpgbench.store.csv_rows import read_text

COMPBENCH = "t2i-compbench"
CATEGORIES = ("color", "shape", "texture", "spatial", "non_spatial")


def file_of(category: str) -> str:
    """Return the name of a category's file."""
    return f"{category}_val.txt"


def is_compbench_folder(folder: Path) -> bool:
    """Return whether a folder has one of the five files at least."""
    return any((folder / file_of(category)).is_file() for category in CATEGORIES)


def load_compbench(folder: Path) -> Benchmark:
    """Return the prompts of a folder: ``color_001`` to ``non_spatial_300``, category by category.

    Raises:
        DataError: a file cannot be read, or has an empty line.
    """
    prompts: dict[str, str] = {}
    for category in CATEGORIES:
        path = folder / file_of(category)
        for number, line in enumerate(_lines(path) if path.is_file() else (), 1):
            prompt = line.strip()
            if not prompt:
                raise DataError(f"{path} line {number} is empty; each line must be a prompt")
            prompts[f"{category}_{number:03d}"] = prompt
    return Benchmark(COMPBENCH, folder, prompts, {}, is_list=True)


def _lines(path: Path) -> Sequence[str]:
    return read_text(path).replace("\r\n", "\n").rstrip("\n").split("\n")
