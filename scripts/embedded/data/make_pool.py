"""Training data of the embedded models: pictures, captions and labels of many training scenes.

    python -m scripts.embedded.data.make_pool --out WORK/pool --scenes 60000

Writes shards that the training scripts read (`pool.py`). Only scenes of the part `train` occur:
none of the benchmark `shapes`, none of those that the judge is examined on.
"""

from __future__ import annotations

import argparse
import itertools
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dpgbench.shapes import caption, render, sample_scenes, short_caption
from dpgbench.shapes.scene import CELLS
from dpgbench.store.files import replacing
from scripts.embedded.data.pool import NUM_FIELDS, labels

SHARD = 5000
NUM_CAPTIONS = 2


def write_shard(folder: Path, number: int) -> None:
    """Write one shard; its scenes follow from its number alone."""
    target = folder / f"{number:03d}.npz"
    if target.exists():
        return
    scenes = list(itertools.islice(sample_scenes("train", 1_000_000 + number), SHARD))
    texts = [
        [short_caption(scene), *(caption(scene, seed) for seed in range(NUM_CAPTIONS))]
        for scene in scenes
    ]
    fields = np.array([labels(scene) for scene in scenes], dtype=np.int8)
    assert fields.shape == (SHARD, len(CELLS) * 2 * 4 + 2) == (SHARD, NUM_FIELDS)
    pictures = np.stack([np.asarray(render(scene)) for scene in scenes])
    with replacing(target) as part, part.open("wb") as file:
        np.savez(file, pictures=pictures, labels=fields, texts=np.array(json.dumps(texts)))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=60_000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    numbers = range(-(-args.scenes // SHARD))
    with ProcessPoolExecutor(args.workers) as workers:
        done = workers.map(write_shard, itertools.repeat(args.out), numbers)
        list(tqdm(done, "pool", total=len(numbers), unit="shard"))


if __name__ == "__main__":
    main()
