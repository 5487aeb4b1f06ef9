"""The judge's golden answers through the command line, on folders in ModelScope's layout."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.golden.weights import state_dict_for
from tests.helpers import GOLDEN, Run, json_lines, row, write_csv

MPLUG = GOLDEN / "mplug"


def write_judge(folder: Path, stride: int, golden: dict[str, Any]) -> None:
    shutil.copytree(MPLUG / f"small_stride{stride}", folder)
    shapes = json.loads((MPLUG / "small_state_dict.json").read_text())
    state = state_dict_for(shapes, golden["weight_std"], golden["salt"])
    for token, bias in golden["token_bias"].items():
        for name in ("bias", "decoder.bias"):
            state[f"text_decoder.cls.predictions.{name}"][int(token)] += bias
    torch.save({"model": state}, folder / "pytorch_model.bin")


@pytest.mark.parametrize("stride", [3, 6])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_answers(run: Run, tmp_path: Path, stride: int, version: int) -> None:
    golden = json.loads((MPLUG / f"small_stride{stride}_v{version}_answers.json").read_text())
    write_judge(tmp_path / "judge", stride, golden)
    sizes = {cells["image"]: cells["size"] for cells in golden["rows"]}
    generator = np.random.default_rng(golden["image_seed"])
    (tmp_path / "pictures").mkdir()
    for number in sorted(sizes):
        width, height = sizes[number]
        pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
        if height > width:  # recorded with Pillow 13, which takes a tall picture's height first
            picture = picture.resize((width, golden["image_res"]), Image.Resampling.BICUBIC)
        picture.save(tmp_path / f"pictures/image{number}.png")
    rows, expected = [], {}
    for cells in golden["rows"]:
        item = f"image{cells['image']}"
        qid = 1 + sum(1 for before in rows if before["item_id"] == item)
        rows.append(row(item, qid, question_natural_language=cells["question"]))
        expected[item, qid] = cells["answer"]
    bench = write_csv(tmp_path / "bench.csv", rows)
    words = ["score", "pictures", "--bench", bench, "--num-images", 1, "--judge", "mplug"]
    words += ["--weights", "judge=judge", "--device", "cpu", "--out", "r"]
    ended = run(*words, "--rule", "corrected-v1", "--json")
    assert ended.code == 0, ended.err
    records = json_lines(tmp_path / "r/answers/mplug.jsonl")
    assert {(a["item_id"], a["qid"]): a["answer"] for a in records} == expected
    assert "longer than the judge reads" in ended.err
