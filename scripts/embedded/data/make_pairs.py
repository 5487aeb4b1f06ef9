"""Pictures and captions of the embedded world as a folder of training data, and some held out.

    python -m scripts.embedded.data.make_pairs --out work/pairs

Writes `OUT/train` and `OUT/held-out`, each with `captions.jsonl` and pictures. Only scenes of the
part `train` occur: none of the benchmark `shapes`, none of those that the judge is examined on.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from dpgbench.shapes import caption, render, sample_scenes
from dpgbench.shapes.scene import Scene
from dpgbench.store.files import replacing

TRAIN_SEED, HELD_OUT_SEED = 1_000_000, 1_999_999
SCENES = 3000


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--held-out", type=int, default=200, help="scenes for the looks' loss")
    parser.add_argument("--captions", type=int, default=2, help="captions of each scene")
    args = parser.parse_args(arguments)
    scenes = sample_scenes("train", TRAIN_SEED)
    write_pairs(args.out / "train", itertools.islice(scenes, args.scenes), args.captions)
    others = sample_scenes("train", HELD_OUT_SEED)
    write_pairs(args.out / "held-out", itertools.islice(others, args.held_out), 1)


def write_pairs(folder: Path, scenes: Iterable[Scene], num_captions: int) -> None:
    """Write pictures, and a list with each of them once a caption."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, scene in enumerate(scenes):
        file = f"images/{number:05d}.png"
        render(scene).save(folder / file, compress_level=1)
        lines += [
            json.dumps({"file": file, "text": caption(scene, seed)}) for seed in range(num_captions)
        ]
    with replacing(folder / "captions.jsonl") as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
