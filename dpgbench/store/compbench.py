"""T2I-CompBench's prompts: which files they are, and how a line becomes an item.

Five files of 300 prompts, a prompt a line, at commit 1b70949 of Karine-Huang/T2I-CompBench (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import DataError
from dpgbench.store.csv_rows import read_text

COMPBENCH = "t2i-compbench"
COMMIT = "1b7094991a57f3c22abdd4f6e8ba6c1a15517073"
FOLDER_URL = f"https://github.com/Karine-Huang/T2I-CompBench/raw/{COMMIT}/examples/dataset"
LICENCE = "MIT, Copyright (c) 2023 HKU"
NUM_IMAGES = 10
CATEGORIES = ("color", "shape", "texture", "spatial", "non_spatial")
BLOBS: Mapping[str, str] = {
    "color_val.txt": "700badf7bd0989c45eb307ff3573f127ecee0a53",
    "shape_val.txt": "b82835d72b25c2aa2962736f091fe04ee6a39a21",
    "texture_val.txt": "61d35c8e7127e530f221780fd117c905315ce00a",
    "spatial_val.txt": "e453b999d311ddc47f303d389db02818b63a256c",
    "non_spatial_val.txt": "046d5689c35fb1270fdce8aa003c068e4a360726",
}
"""Git blob id of each file."""


def file_of(category: str) -> str:
    """Return the name of a category's file."""
    return f"{category}_val.txt"


def is_compbench_folder(folder: Path) -> bool:
    """Return whether a folder has one of the five files at least."""
    return any((folder / name).is_file() for name in BLOBS)


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
