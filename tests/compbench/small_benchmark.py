"""A benchmark in T2I-CompBench's layout with prompts of our own, and what its judges need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NUM_IMAGES = 10
PROMPTS = {
    "color": ["a red car and a green bowl"],
    "shape": ["a round chair and a square rug"],
    "texture": ["a wooden vase"],
    "spatial": ["a dog next to a lamp", "a cup on the left of a cat"],
    "non_spatial": ["The old man is on the bench."],
}
CHUNKS = {
    "color_001": ["a red car", "a green bowl"],
    "shape_001": ["a round chair", "a square rug"],
    "texture_001": ["a wooden vase"],
}


def write_prompts(folder: Path) -> Path:
    folder.mkdir()
    for category, prompts in PROMPTS.items():
        (folder / f"{category}_val.txt").write_text("\n".join(prompts) + "\n")
    return folder


def write_chunks(path: Path) -> Path:
    lines = [json.dumps({"item_id": item, "chunks": chunks}) for item, chunks in CHUNKS.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def detection(label: str, box: list[float], score: float) -> dict[str, Any]:
    return {"label": label, "box": box, "score": score}


def write_detections(path: Path) -> Path:
    """A dog beside a lamp whose confidence grows from image to image; never a cup."""
    lines = []
    for item in ("spatial_001", "spatial_002"):
        for tile in range(NUM_IMAGES):
            seen = [
                detection("dog", [10.0, 10.0, 90.0, 90.0], 0.9),
                detection("lamp", [50.0, 20.0, 99.0, 99.0], 0.1 * tile),
                detection("cat", [50.0, 20.0, 99.0, 99.0], 1.0),
            ]
            lines.append(json.dumps({"item_id": item, "tile": tile, "detections": seen}))
    path.write_text("\n".join(lines) + "\n")
    return path
