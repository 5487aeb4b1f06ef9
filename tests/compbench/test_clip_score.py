"""CLIPScore against a plain loop: one picture, one prompt, torchvision's steps by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer

from dpgbench.compbench.clip import ClipScorer
from dpgbench.compbench.errors import PictureError
from tests.compbench.small_networks import write_clip
from tests.helpers import Run, json_lines

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
SIZES = [(64, 64), (80, 33), (33, 90), (512, 512), (32, 32)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "judge")


def pictures() -> list[Image.Image]:
    random = np.random.default_rng(5)
    shapes = [(height, width, 3) for width, height in SIZES]
    return [Image.fromarray(random.integers(0, 256, s, dtype=np.uint8)) for s in shapes]


def prompts() -> list[str]:
    return ["A cat is lazily lounging.", "a dog", "the woodcarver's bird, 2 of 3", "a", "A CAT"]


def plain_cosine(folder: Path, picture: Image.Image, prompt: str) -> float:
    model = CLIPModel.from_pretrained(folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    width, height = picture.size
    scale = 32 / min(width, height)
    size = (32, int(height * 32 / width)) if width <= height else (int(width * 32 / height), 32)
    assert scale > 0
    narrow = picture.resize((size[0], height), Image.Resampling.BICUBIC)
    resized = narrow.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 32) / 2), round((size[1] - 32) / 2)
    pixels = np.asarray(resized.crop((left, top, left + 32, top + 32)), dtype=np.float32) / 255
    pixels = (pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    with torch.inference_mode():
        image = model.get_image_features(
            pixel_values=torch.tensor(pixels, dtype=torch.float32).permute(2, 0, 1)[None]
        )
        text = model.get_text_features(**tokenizer([prompt], return_tensors="pt"))
    image, text = (getattr(one, "pooler_output", one) for one in (image, text))
    return float(torch.nn.functional.cosine_similarity(image, text)[0])


@pytest.mark.parametrize("batch", [1, 3, 5])
def test_cosines(folder: Path, batch: int) -> None:
    scorer = ClipScorer.from_folder(folder)
    seen, read = pictures(), prompts()
    scores: list[float] = []
    for start in range(0, len(seen), batch):
        prepared = [scorer.prepare(one) for one in seen[start : start + batch]]
        scores += scorer.scores(prepared, read[start : start + batch])
    expected = [plain_cosine(folder, *pair) for pair in zip(seen, read, strict=True)]
    assert scores == pytest.approx(expected, abs=2e-6)
    assert len({round(score, 3) for score in scores}) > 3
    assert min(scores) < 0  # nothing is clamped


def test_long_prompts_have_no_score(folder: Path) -> None:
    with pytest.raises(PictureError, match="CLIP reads 77"):
        ClipScorer.from_folder(folder).token_ids("a " * 90)


def test_through_the_command_line(run: Run, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "pictures").mkdir()
    lines = []
    for number, (picture, prompt) in enumerate(zip(pictures(), prompts(), strict=True)):
        picture.save(tmp_path / f"pictures/item{number}.png")
        lines.append(json.dumps({"item_id": f"item{number}", "prompt": prompt}) + "\n")
    (tmp_path / "prompts.jsonl").write_text("".join(lines))
    words = ["score", "pictures", "--bench", "prompts.jsonl", "--num-images", 1, "--out", "r"]
    words += ["--judge", "clipscore", "--weights", f"judge={folder}", "--device", "cpu"]
    ended = run(*words, "--json", "--batch-size", 2)
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    expected = [plain_cosine(folder, *pair) for pair in zip(pictures(), prompts(), strict=True)]
    assert result["overall"] == pytest.approx(100 * sum(expected) / len(expected), abs=2e-4)
    answers = [float(a["answer"]) for a in json_lines(tmp_path / "r/answers/clipscore.jsonl")]
    assert answers == pytest.approx(expected, abs=2e-6)
    assert run(*words, "--rule", "ella-reference").code == 2
