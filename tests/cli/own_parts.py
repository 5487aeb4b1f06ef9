"""A model and a judge of one's own that need no torch, for tests that start many processes."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import row, write_csv

ITEMS = ("a1", "a2", "b1", "b2")
MODEL = """
import time
from PIL import Image
class Model:
    width_px = height_px = 8
    def draw(self, prompt, seeds):
        time.sleep({pause})
        return [picture(len(prompt), seed) for seed in seeds]
def picture(shade, seed):
    image = Image.new("RGB", (8, 8), (shade, seed, 7))
    image.putpixel((seed, 3), (255, 255, 255))
    return image
"""
JUDGE = """
import time
from dpgbench import JudgeAnswer
class Judge:
    num_images_at_once = 1
    def __init__(self, request): pass
    def describe(self): return {{}}
    def ask(self, tiles):
        time.sleep({pause})
        return [[JudgeAnswer("yes" if qid % 2 else "no") for qid in t.qids] for t in tiles]
"""
GENERATE = ("generate", "--model", "own_model:Model", "--out", "r", "--device", "cpu")
SCORE = ("score", "r", "--judge", "own_judge:Judge", "--device", "cpu", "--rule", "dsg",
         "--rule", "corrected-v1", "--reference-files")  # fmt: skip


def write_parts(folder: Path, *, pause: float = 0.0) -> None:
    """Put the classes and a benchmark of four items into `folder`."""
    folder.mkdir(exist_ok=True)
    (folder / "own_model.py").write_text(MODEL.format(pause=pause))
    (folder / "own_judge.py").write_text(JUDGE.format(pause=pause))
    write_csv(folder / "b.csv", [row(item, qid) for item in ITEMS for qid in (1, 2, 3)])
