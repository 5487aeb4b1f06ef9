"""The 2D spatial score against outputs of T2I-CompBench's own program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.compbench.spatial import (
    BoundingBox,
    Detection,
    Relation,
    frame_scale,
    locality_of,
    position_score,
    simple_nouns,
    spatial_score,
)
from tests.compbench.small_benchmark import write_detections, write_prompts
from tests.compbench.small_networks import spatial_cases
from tests.helpers import Run

CASES = spatial_cases()


def detections_of(case: Any) -> list[Detection]:
    return [Detection(d["label"], BoundingBox(*d["box"]), d["score"]) for d in case["detections"]]


def test_every_case() -> None:
    for case in CASES:
        relation = Relation(*case["nouns"], locality_of(case["prompt"]))
        assert relation.locality == case["locality"]
        detections = detections_of(case)
        if "error" in case:
            with pytest.raises(ZeroDivisionError):
                spatial_score(relation, detections)
            continue
        assert spatial_score(relation, detections) == pytest.approx(case["answer"], abs=1e-12)


def test_positions() -> None:
    for case in CASES:
        if case["position"] is None:
            continue
        relation = Relation(*case["nouns"], case["locality"])
        by_label: dict[str, BoundingBox] = {}
        for detection in detections_of(case):
            by_label.setdefault(detection.label, detection.box)
        people = {"girl", "boy", "man", "woman"}
        first, second = (by_label["person" if noun in people else noun] for noun in relation[:2])
        position = position_score(relation.locality, first, second)
        assert position == pytest.approx(case["position"], abs=1e-12)


def test_nouns_of_official_prompts() -> None:
    assert simple_nouns("a giraffe next to a lamp") == ("giraffe", "lamp")
    assert simple_nouns("an apple on the top of a frog") == ("apple", "frog")
    assert simple_nouns("a linear lamp on the left of a dog") is None
    assert simple_nouns("a bowl and a train") is None


def test_frame() -> None:
    assert 512 * frame_scale(512, 512) == pytest.approx(479)
    assert 1024 * frame_scale(1024, 512) == pytest.approx(480)


def write_cases(folder: Path) -> None:
    prompts, detections = [], []
    for number, case in enumerate(CASES):
        item = {"item_id": f"case{number}"}
        prompts.append({**item, "prompt": case["prompt"]})
        line = {**item, "tile": 0, "detections": case["detections"], "nouns": case["nouns"]}
        if simple_nouns(case["prompt"]):
            assert list(simple_nouns(case["prompt"]) or ()) == case["nouns"]
            del line["nouns"]
        detections.append(line)
    for name, lines in (("prompts.jsonl", prompts), ("detections.jsonl", detections)):
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_through_the_command_line(run: Run, tmp_path: Path) -> None:
    write_cases(tmp_path)
    words = ["score", "--bench", "prompts.jsonl", "--judge", "spatial"]
    words += ["--detections", "detections.jsonl", "--out", "r", "--json"]
    ended = run(*words)
    assert ended.code == 6  # two images end the original's run
    (result,) = json.loads(ended.out)["results"]
    failing = [f"case{n}" for n, case in enumerate(CASES) if "error" in case]
    assert result["failed_items"] == failing
    assert all("without area" in reason for reason in result["failures"].values())
    answers = [case["answer"] for case in CASES if "error" not in case]
    assert result["overall"] == pytest.approx(100 * sum(answers) / len(answers), abs=1e-9)
    assert any("100 of its 300" in note for note in result["notes"])
    assert run(*words, "--partial").code == 0
    assert run("score", "r", "--json", "--partial").code == 0  # from the run alone
    lines = (tmp_path / "r/scores/spatial/mean.items.csv").read_text().splitlines()[1:]
    scored = {line.split(",")[0]: line.split(",")[2] for line in lines}
    for number, case in enumerate(CASES):
        if "error" not in case:
            assert float(scored[f"case{number}"]) == pytest.approx(100 * case["answer"], abs=1e-9)


def test_in_shards_and_merged(run: Run, tmp_path: Path) -> None:
    write_prompts(tmp_path / "bench")
    write_detections(tmp_path / "unidet.jsonl")
    (tmp_path / "pictures").mkdir()
    for item in ("color_001", "spatial_001", "spatial_002"):
        Image.new("RGB", (40, 16)).save(tmp_path / f"pictures/{item}.png")
    words = ["score", "pictures", "--bench", "bench", "--num-images", 10, "--judge", "spatial"]
    words += ["--detections", "unidet.jsonl", "--partial"]
    whole = json.loads(run(*words, "--out", "whole", "--json").out)["results"]
    for shard in ("1/2", "2/2"):
        assert run(*words, "--out", "r", "--shard", shard).code == 0
    assert run("merge", "r").code == 0
    assert run("score", "r", "--judge", "spatial", "--json").code == 0
    merged = json.loads((tmp_path / "r/scores/spatial/mean.json").read_text())
    assert merged["overall"] == whole[0]["overall"]
    assert (tmp_path / "r/questions/spatial.jsonl").is_file()
    assert run("verify", "r").code == 0
