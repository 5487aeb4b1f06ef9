"""BLIP-VQA against outputs of T2I-CompBench's own program, for small seeded weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpgbench.compbench.blip import BlipVqa
from dpgbench.compbench.blip_checkpoint import load_network, published_config
from dpgbench.compbench.errors import WeightsError
from dpgbench.compbench.questions import clean_question, kept_chunks, question_of
from dpgbench.domain.score import product_of
from tests.compbench.small_networks import (
    FOLDER,
    golden_blip,
    golden_picture,
    published_tensors,
    write_blip,
)
from tests.helpers import Run, json_lines

GOLDEN = golden_blip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_blip(tmp_path_factory.mktemp("blip") / "judge")


@pytest.fixture(scope="module")
def vqa(folder: Path) -> BlipVqa:
    return BlipVqa.from_folder(folder)


def test_clean_up(vqa: BlipVqa) -> None:
    for case in GOLDEN["clean_up"]:
        assert clean_question(case["raw"]) == case["text"]
        assert vqa.token_ids(case["raw"])[0] == case["input_ids"], case["raw"]


def test_pictures(vqa: BlipVqa) -> None:
    for recipe in GOLDEN["images"]:
        picture = golden_picture(recipe)
        assert hashlib.sha256(picture.tobytes()).hexdigest() == recipe["image_sha256"]
        pixels = vqa.prepare(picture)
        digest = hashlib.sha256(pixels.numpy().tobytes()).hexdigest()
        assert digest == recipe["pixels_sha256"]


@pytest.mark.parametrize("batch", [1, 3, 32])
def test_answers(vqa: BlipVqa, batch: int) -> None:
    expected = [recipe["questions"] for recipe in GOLDEN["images"]]
    pictures = [vqa.prepare(golden_picture(recipe)) for recipe in GOLDEN["images"]]
    questions = [
        [question_of(chunk) for chunk in kept_chunks(recipe["chunks"])]
        for recipe in GOLDEN["images"]
    ]
    assert questions == [[one["question"] for one in of_one] for of_one in expected]
    answers = []
    for start in range(0, len(pictures), batch):
        part = slice(start, start + batch)
        answers += vqa.ask(pictures[part], questions[part])
    scores = []
    for recipe, of_one, wanted in zip(GOLDEN["images"], answers, expected, strict=True):
        for answer, one in zip(of_one, wanted, strict=True):
            assert answer.logits == pytest.approx((one["logit_yes"], one["logit_no"]), abs=5e-5)
            assert answer.p_yes == pytest.approx(one["p"], abs=5e-6)
            assert f"{answer.p_yes:.4f}" == one["p_text"]
        score = product_of([answer.p_yes for answer in of_one], 4)
        assert f"{score:.4f}" == recipe["score_text"]
        scores.append(score)
    assert sum(scores) / len(scores) == pytest.approx(GOLDEN["score"], abs=1e-12)


def test_image_states(vqa: BlipVqa) -> None:
    recorded = np.load(FOLDER / "blip_vqa_small.npz")["vision"]
    pictures = [vqa.prepare(golden_picture(recipe)) for recipe in GOLDEN["images"]]
    with torch.inference_mode():
        states = vqa._encode(pictures)[:, [0, 1, 7, 36], :16]
    np.testing.assert_allclose(states.numpy(), recorded, atol=5e-5)


def test_through_the_command_line(run: Run, tmp_path: Path, folder: Path) -> None:
    (tmp_path / "pictures").mkdir()
    prompts, chunks = [], []
    for number, recipe in enumerate(GOLDEN["images"]):
        golden_picture(recipe).save(tmp_path / f"pictures/image{number}.png")
        item = {"item_id": f"image{number}"}
        prompts.append(json.dumps({**item, "prompt": " and ".join(recipe["chunks"]) or "nothing"}))
        chunks.append(json.dumps({**item, "chunks": recipe["chunks"]}))
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts) + "\n")
    (tmp_path / "chunks.jsonl").write_text("\n".join(chunks) + "\n")
    words: list[Any] = ["score", "pictures", "--bench", "prompts.jsonl", "--num-images", 1]
    words += ["--judge", "blip-vqa", "--weights", f"judge={folder}", "--device", "cpu"]
    words += ["--chunks", "chunks.jsonl", "--reference-files", "--json"]
    for batch in (1, 3, 32):
        out = tmp_path / f"r{batch}"
        ended = run(*words, "--out", out, "--batch-size", batch)
        assert ended.code == 0, ended.err
        (result,) = json.loads(ended.out)["results"]
        assert result["overall"] == pytest.approx(100 * GOLDEN["score"], abs=1e-9)
        assert result["rule"] == "product"
        assert result["judge"].startswith("blip-vqa:chunks-")
        (path,) = (out / "answers").glob("*.jsonl")
        answers = {(a["item_id"], a["qid"]): a["p_yes"] for a in json_lines(path)}
        for number, recipe in enumerate(GOLDEN["images"]):
            for qid, one in enumerate(recipe["questions"], 1):
                p_yes = answers[f"image{number}", qid]
                assert f"{p_yes:.4f}" == one["p_text"]
                assert p_yes == pytest.approx(one["p"], abs=5e-6)
        (texts,) = (out / "scores").glob("*/*/annotation_blip/vqa_result.json")
        written = [line["answer"] for line in json.loads(texts.read_text())]
        assert written == [recipe["score_text"] for recipe in GOLDEN["images"]]
        mean = texts.with_name("blip_vqa_score.txt").read_text()
        assert mean == GOLDEN["score_line"]


def test_other_weights_are_refused(tmp_path: Path, folder: Path) -> None:
    tensors = published_tensors(GOLDEN)
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "config.json").write_text((folder / "config.json").read_text())
    del tensors["visual_encoder.blocks.1.attn.qkv.weight"]
    torch.save({"model": tensors}, lacking / "model_base_vqa_capfilt_large.pth")
    with pytest.raises(WeightsError, match="1 missing"):
        load_network(lacking)
    (lacking / "config.json").unlink()
    with pytest.raises(WeightsError, match="of another shape"):
        load_network(lacking)
    converted = published_config().to_dict()
    converted["vision_config"]["image_size"] = 384
    (lacking / "config.json").write_text(json.dumps(converted))
    with pytest.raises(WeightsError, match="384 px"):
        load_network(lacking)
