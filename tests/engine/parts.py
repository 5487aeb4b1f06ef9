"""Models and judges that note which processes they work in, and fail in ways that a test chooses.

They need no torch; a folder `control` beside them says what is to happen.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.helpers import row, write_csv

MODEL = """
import os, sys, time, logging, warnings
from pathlib import Path
from PIL import Image
class Model:
    width_px = height_px = 8
    token_limit = 5
    def count_tokens(self, prompt):
        return len(prompt.split())
    def __init__(self):
        with open("loads", "a") as file: file.write(f"{os.getpid()}\\n")
        logging.getLogger("dpgbench.own").warning("loaded with care")
        if Path("unloadable").exists(): raise RuntimeError("no such luck")
    def draw(self, prompt, seeds):
        item = prompt.split()[-1]
        with open("drawn", "a") as file: file.write(f"{item} {os.getpid()}\\n")
        time.sleep(float(Path("pause").read_text()) if Path("pause").exists() else 0)
        trouble = Path("trouble", item)
        if trouble.exists():
            exec(trouble.read_text())
        if Path("all").exists():
            exec(Path("all").read_text())
        return [picture(len(prompt) + seed, flat=item == "i3" and seed == 1) for seed in seeds]
def picture(shade, flat):
    image = Image.new("RGB", (8, 8), (shade, shade, 7))
    if not flat: image.putpixel((shade % 8, 3), (255, 255, 255))
    return image
"""
JUDGE = """
import os, time
from pathlib import Path
from dpgbench import JudgeAnswer
class Judge:
    num_images_at_once = 2
    def __init__(self, request):
        self.asked = 0
        with open("loads", "a") as file: file.write(f"{os.getpid()}\\n")
    def describe(self): return {}
    def account(self): return {"questions": self.asked}
    def ask(self, tiles):
        time.sleep(float(Path("pause").read_text()) if Path("pause").exists() else 0)
        if Path("all").exists():
            exec(Path("all").read_text())
        for tile in tiles:
            self.asked += len(tile.qids)
            with open("asked", "a") as file:
                file.write(f"{tile.item_id} {tile.tile} {os.getpid()}\\n")
            trouble = Path("trouble", f"{tile.item_id}-{tile.tile}")
            if trouble.exists():
                exec(trouble.read_text())
        return [[JudgeAnswer("yes" if (qid + sum(t.image.getpixel((0, 0)))) % 2 else "no",
                             0.25, truncated=qid == 2) for qid in t.qids] for t in tiles]
"""
PIPELINE = """
import torch
from dpgbench.backends.generators.plan import GeneratorRequest, make_plan
class Model:
    \"\"\"The embedded diffusers pipeline, which fails for some words as a large one does.\"\"\"
    width_px = height_px = 64
    def __init__(self):
        request = GeneratorRequest("tiny-sd15", settings={"steps": 2}, device="cpu")
        self.drawing = make_plan(request).load()
        self.bias = self.drawing.pipeline.unet.conv_out.bias
    def draw(self, prompt, seeds):
        pipeline = self.drawing.pipeline
        pipeline.safety_checker = Flags() if "blank" in prompt else None
        pipeline.feature_extractor = Seen
        if "much" in prompt:
            torch.empty(2**48)
        usual = self.bias.detach().clone()
        if "odd" in prompt:
            self.bias.data.fill_(float("nan"))
        try:
            return self.drawing.draw(prompt, seeds)
        finally:
            self.bias.data.copy_(usual)
class Flags:
    dtype = torch.float32
    def __call__(self, images, clip_input):
        return images, [True] * len(images)
class Seen(dict):
    def __init__(self, images, return_tensors):
        self.pixel_values = torch.zeros(len(images), 3, 8, 8)
    def to(self, device):
        return self
"""
TIMES = ("created", "completed", "commands")
DRAW = ("generate", "--model", "my_model:Model", "--bench", "b.csv", "--device", "cpu", "--out")
ASK = ("--judge", "my_judge:Judge", "--device", "cpu", "--rule", "dsg", "--rule", "corrected-v1")


def write_parts(folder: Path, num_items: int, **files: str) -> list[str]:
    """Put the classes, a benchmark and more files into `folder`; return the items."""
    items = [f"i{number}" for number in range(num_items)]
    folder.mkdir(exist_ok=True)
    (folder / "my_model.py").write_text(MODEL)
    (folder / "my_judge.py").write_text(JUDGE)
    rows = [
        row(item, qid, text=f"a prompt of words for {item}" if number % 2 else f"words for {item}")
        for number, item in enumerate(items)
        for qid in (1, 2, 3)
    ]
    write_csv(folder / "b.csv", rows)
    for name, text in files.items():
        (folder / name).write_text(text)
    return items


def trouble(folder: Path, **code: str) -> None:
    """Have `code` run when a worker comes to an item (a tile: `item-tile`)."""
    (folder / "trouble").mkdir(exist_ok=True)
    for name, text in code.items():
        (folder / "trouble" / name.replace("_", "-")).write_text(text)


def content(run: Path) -> dict[str, Any]:
    """Return everything in a run by path, without times, commands and where it was made."""
    files: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.is_dir() or name == ".lock":
            continue
        files[name] = path.read_bytes()
        if name == "manifest.json":
            record = json.loads(files[name])
            files[name] = {key: value for key, value in record.items() if key not in TIMES}
        elif name == "images.jsonl":
            records = [json.loads(line) for line in files[name].splitlines()]
            files[name] = [{**record, "seconds": None} for record in records]
    return files


def pixels(run: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the numbers of each grid of a run."""
    files = (run / "images").glob("**/*.png")
    return {file.stem: np.asarray(Image.open(file), dtype=int) for file in files}


def lines(path: Path) -> list[str]:
    """Return the lines of a file; none where there is no file."""
    return path.read_text().splitlines() if path.exists() else []
