"""The five categories end to end: ten images an item, killed and resumed, reported."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.cli.processes import content
from tests.compbench.small_benchmark import (
    CHUNKS,
    NUM_IMAGES,
    PROMPTS,
    write_chunks,
    write_detections,
    write_prompts,
)
from tests.compbench.small_networks import write_blip, write_clip
from tests.helpers import Run, json_lines

DRAW = ("generate", "--model", "tiny-ella-sd15", "--bench", "bench", "--device", "cpu")
DRAW = (*DRAW, "--steps", "1")
JUDGES = {
    "blip-vqa": ("--weights", "judge=blip", "--chunks", "chunks.jsonl", "--device", "cpu"),
    "clipscore": ("--weights", "judge=clip", "--device", "cpu"),
    "spatial": ("--detections", "unidet.jsonl"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the benchmark and small networks, and `whole`, a run that is finished."""
    folder = tmp_path_factory.mktemp("compbench")
    write_prompts(folder / "bench")
    write_chunks(folder / "chunks.jsonl")
    write_detections(folder / "unidet.jsonl")
    write_blip(folder / "blip")
    write_clip(folder / "clip")
    return folder


def killed_when(folder: Path, words: tuple[str, ...], path: Path, lines: int) -> None:
    """Start a command, and kill it once a file has so many lines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dpgbench", "-q", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if path.is_file() and path.read_bytes().count(b"\n") >= lines:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    process.wait(timeout=120)


def test_drawn_killed_resumed_scored_and_reported(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run(*DRAW, "--out", "whole", "--single-images").code == 0
    cut = folder / "cut"
    killed_when(folder, (*DRAW, "--out", "cut", "--single-images"), cut / "images.jsonl", 2)
    assert run(*DRAW, "--out", "cut", "--single-images").code == 0

    results: dict[str, Any] = {}
    for name, options in JUDGES.items():
        words = ("--judge", name, *options)
        ended = run("score", "whole", *words, "--reference-files", "--json")
        assert ended.code == 0, ended.err
        (results[name],) = json.loads(ended.out)["results"]
        if name == "blip-vqa":
            answers = cut / "answers"
            command = ("score", "cut", *words, "--reference-files")
            before = next(iter((folder / "whole/answers").glob("*.jsonl"))).name
            killed_when(folder, command, answers / before, 3)
        assert run("score", "cut", *words, "--reference-files").code == 0

    assert same(content(cut)) == same(content(folder / "whole"))
    check_images(folder / "whole")
    check_results(folder / "whole", results)
    ended = run("verify", "whole")
    assert (ended.code, ended.out.count("none of a run's")) == (0, 0), ended.out
    assert run("status", "whole").code == 0
    assert run("report", "whole", "--out", "report").code == 0
    page = (folder / "report/leaderboard.html").read_text()
    assert "T2I-CompBench" in page and "0.6911" in page  # ELLA SD 1.5, colour
    assert "42 to 51" in page and "10 images each" in page
    assert "can reach 0.6667 at most" in page
    assert "100 of its 300" in page
    markdown = (folder / "report/leaderboard.md").read_text()
    assert "beside the ELLA paper's Table 3" in markdown


def same(files: dict[str, Any]) -> dict[str, Any]:
    """What two runs must have alike: all but the name of the folder in commands."""
    return {name: data for name, data in files.items() if not name.startswith(".")}


def check_images(run: Path) -> None:
    lines = json_lines(run / "images.jsonl")
    assert [line["seeds"] for line in lines] == [list(range(42, 52))] * len(lines)
    with Image.open(run / "images/color_001.png") as grid:
        assert grid.size == (5 * 64, 2 * 64)
        second = grid.convert("RGB").crop((64, 0, 128, 64))
    path = run / f"samples/color/samples/{PROMPTS['color'][0]}_000001.png"
    with Image.open(path) as single:
        assert single.tobytes() == second.tobytes()
    names = sorted(path.name for path in (run / "samples/spatial/samples").iterdir())
    assert names[0] == "a cup on the left of a cat_000010.png"
    assert len(names) == 2 * NUM_IMAGES


def check_results(run: Path, results: dict[str, Any]) -> None:
    judge = results["blip-vqa"]["judge"]
    digest = hashlib.sha256((run.parent / "chunks.jsonl").read_bytes()).hexdigest()
    assert judge == f"blip-vqa:chunks-{digest[:8]}"
    assert sorted(results["blip-vqa"]["l1"]) == ["color", "shape", "texture"]
    assert results["blip-vqa"]["num_tiles"] == NUM_IMAGES
    assert sorted(results["clipscore"]["l1"]) == ["non-spatial"]
    spatial = results["spatial"]["l1"]["spatial"]["score"]
    images = [0.25 * 0.9 + 0.25 * 0.1 * tile + 0.5 for tile in range(NUM_IMAGES)]
    assert spatial == pytest.approx(100 * sum(images) / (2 * NUM_IMAGES))
    questions = json_lines(next(iter((run / "questions").glob("blip*.jsonl"))))
    asked = {(line["item_id"], line["qid"]): line["question"] for line in questions}
    assert asked["color_001", 2] == "a green bowl?"
    assert len(asked) == sum(map(len, CHUNKS.values()))
    (answers,) = run.glob("scores/*/spatial/labels/annotation_obj_detection_2d/vqa_result.json")
    assert [line["question_id"] for line in json.loads(answers.read_text())] == [*range(20)]


def test_own_prompts_need_a_tagger_and_say_so(run: Run, folder: Path, tmp_path: Path) -> None:
    if not (folder / "whole").is_dir():
        pytest.skip("needs the run of the test before")
    words = ("score", folder / "whole", "--judge", "blip-vqa", "--device", "cpu")
    ended = run(*words, "--weights", f"judge={folder / 'blip'}", "--partial")
    assert ended.code == 4
    assert "spacy download en_core_web_sm" in ended.error
    ended = run(*words, "--weights", f"judge={folder / 'blip'}", "--chunks", "3.6.0")
    assert ended.code == 3
    assert "shipped" in ended.error
    assert run(*words, "--chunks", "9.9").code == 2
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (40, 16)).save(tmp_path / "pictures/spatial_001.png")
    score = ("score", "pictures", "--bench", folder / "bench", "--num-images", 10, "--partial")
    ended = run(*score, "--judge", "spatial")
    assert ended.code == 2
    assert "--detections" in ended.error


def test_other_detections_are_not_mixed_in(run: Run, folder: Path, tmp_path: Path) -> None:
    whole = folder / "whole"
    if not whole.is_dir():
        pytest.skip("needs the run of the first test")
    lines = (folder / "unidet.jsonl").read_text().replace("0.9", "0.8")
    (tmp_path / "other.jsonl").write_text(lines)
    ended = run("score", whole, "--judge", "spatial", "--detections", "other.jsonl")
    assert ended.code == 5
    assert run("score", whole, "--judge", "spatial").code == 0  # nothing is left to ask
