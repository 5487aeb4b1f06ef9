"""Shipped spans, the pull of the prompts, and detectors under names of their own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.blip_vqa import main
from dpgbench.backends.judges.compbench import recorded_probability
from dpgbench.compbench.noun_chunks import SHIPPED_RELEASES, shipped_chunks
from dpgbench.compbench.questions import kept_chunks
from tests.compbench.small_networks import write_grounding_dino, write_owlv2
from tests.helpers import Run, json_lines


def test_pulled_from_a_copy_byte_by_byte(run: Run, shared: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shared / "data/t2i_compbench", copy)
    (copy / "color_val.txt").chmod(0o644)
    text = (copy / "color_val.txt").read_text()
    (copy / "color_val.txt").write_text(text.replace("green", "grean", 1))
    ended = run("prompts", "pull", "t2i-compbench", "--from", copy)
    assert ended.code == 3
    assert "color_val.txt is not t2i-compbench's" in ended.error
    assert run("prompts", "list", "--bench", "t2i-compbench").code == 4
    (copy / "color_val.txt").write_text(text)
    ended = run("prompts", "pull", "t2i-compbench", "--from", copy)
    assert ended.code == 0
    assert "1500 prompts" in ended.out  # with line ends that a clone has changed, too
    assert "MIT" in ended.err
    ended = run("prompts", "list", "--bench", "t2i-compbench", "--source", "color", "--json")
    items = json.loads(ended.out)["items"]
    assert len(items) == 300
    assert items[0]["item_id"] == "color_001"
    assert items[0]["text"] == "a green bench and a blue bowl"


def test_shipped_spans(shared: Path) -> None:
    folder = shared / "data/t2i_compbench"
    prompts = [
        line
        for name in ("color", "shape", "texture")
        for line in (folder / f"{name}_val.txt").read_text().splitlines()
    ]
    assert len(prompts) == 900
    first, second = (shipped_chunks(prompts, release) for release in SHIPPED_RELEASES)
    assert first.release == "en_core_web_sm-3.6.0"
    assert first.by_prompt["a green bench and a blue bowl"] == ("a green bench", "a blue bowl")
    differing = [p for p in prompts if first.by_prompt[p] != second.by_prompt[p]]
    assert len(differing) == 52
    for chunks in (*first.by_prompt.values(), *second.by_prompt.values()):
        assert kept_chunks(chunks) == chunks[:8]


def test_recorded_probabilities_keep_their_four_digits() -> None:
    random = np.random.default_rng(3)
    edges = (random.integers(0, 10_000, 5_000) + 0.5) / 10_000
    for p_yes in (*np.float32(edges), *random.random(5_000, dtype=np.float32), 0.0, 1.0):
        recorded = recorded_probability(float(p_yes))
        assert f"{recorded:.4f}" == f"{float(p_yes):.4f}"
        assert recorded == round(recorded, 6)
        assert abs(recorded - float(p_yes)) < 2e-6


DETECTORS = {"spatial-grounding-dino": write_grounding_dino, "spatial-owlv2": write_owlv2}


@pytest.mark.parametrize("judge", DETECTORS)
def test_another_detector_is_another_metric(run: Run, tmp_path: Path, judge: str) -> None:
    DETECTORS[judge](tmp_path / "detector")
    (tmp_path / "pictures").mkdir()
    random = np.random.default_rng(0)
    lines = []
    for number, prompt in enumerate(("a dog next to a cat", "a cup on the left of a lamp")):
        pixels = random.integers(0, 256, (40, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"pictures/p{number}.png")
        lines.append(json.dumps({"item_id": f"p{number}", "prompt": prompt}) + "\n")
    (tmp_path / "prompts.jsonl").write_text("".join(lines))
    words = ["score", "pictures", "--bench", "prompts.jsonl", "--num-images", 1, "--out", "r"]
    words += ["--judge", judge, "--weights", "judge=detector", "--device", "cpu"]
    ended = run(*words, "--json")
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    assert result["judge"] == judge
    assert any("another metric" in note for note in result["notes"])
    answers = json_lines(tmp_path / f"r/answers/{judge}.jsonl")
    assert all(0 <= float(line["answer"]) <= 1 for line in answers)
    assert any(float(line["answer"]) > 0.5 for line in answers)
    content = (tmp_path / f"r/answers/{judge}.jsonl").read_bytes()
    (tmp_path / f"r/answers/{judge}.jsonl").write_bytes(content[: content.index(b"\n") + 1])
    assert run(*words).code == 0  # the other image is asked again, and answered alike
    assert (tmp_path / f"r/answers/{judge}.jsonl").read_bytes() == content
    (tmp_path / "detector/model.safetensors").write_bytes(b"damaged")
    shutil.rmtree(tmp_path / "r")
    assert run(*words).code == 4


def test_one_pass_an_image_beats_one_a_chunk(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    words = ["--size", "small", "--threads", "1", "--batch", "4", "--out", str(out)]
    figures = main(words)
    assert json.loads(out.read_text()) == figures
    assert figures["largest_difference_of_p"] < 5e-6
    assert figures["against_the_original_by_processor_time"] > 3
    assert figures["against_one_pass_a_chunk_by_processor_time"] > 1.2
