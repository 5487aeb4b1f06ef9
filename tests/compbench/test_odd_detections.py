"""Detections and chunks as other tools write them: no number of them is wrong in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.store.chunk_files import read_chunk_file
from tests.compbench.small_benchmark import detection
from tests.helpers import Run

SEEN = [detection("dog", [10, 20, 200, 310], 0.9), detection("lamp", [210, 20, 300, 310], 0.9)]
IMAGE = {"item_id": "spatial_001", "tile": 0, "detections": SEEN}


@pytest.fixture(autouse=True)
def _prompts(run: Run) -> None:
    Path("prompts").mkdir()
    Path("prompts/spatial_val.txt").write_text("a dog next to a lamp\n")


def score(run: Run, *images: dict[str, Any], end: str = "\n") -> Any:
    Path("seen.jsonl").write_text("\n".join(map(json.dumps, images)) + end)
    words = ("--bench", "prompts", "--judge", "spatial", "--detections", "seen.jsonl")
    return run("score", *words, "--num-images", 1, "--out", "out", "--json")


def changed(**fields: Any) -> dict[str, Any]:
    return {**IMAGE, "detections": [{**SEEN[0], **fields}, SEEN[1]]}


def overall(ended: Any) -> float:
    return float(json.loads(ended.out)["results"][0]["overall"])


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (changed(score=91.0), "detections.0.score is above 1"),
        (changed(score=-0.1), "detections.0.score is below 0"),
        (changed(box=[200, 310, 10, 20]), "the box [200, 310, 10, 20] ends before it begins"),
        ({**IMAGE, "tile": -1}, "tile is below 0"),
    ],
)  # fmt: skip
def test_detections_that_cannot_be_are_refused(run: Run, image: dict[str, Any], said: str) -> None:
    ended = score(run, image)
    assert ended.code == 3
    assert said in ended.err
    assert not Path("out").exists()


@pytest.mark.parametrize("end", ["", "\n\n", "\r\n"])
def test_the_last_line_counts_however_it_ends(run: Run, end: str) -> None:
    ended = score(run, IMAGE, end=end)
    assert ended.code == 0
    assert overall(ended) == pytest.approx(95)
    assert "does not tell which questions" not in ended.err


def test_another_frame_other_labels_and_other_items_are_said(run: Run) -> None:
    ended = score(run, changed(box=[10, 20, 200, 1024]), {**IMAGE, "item_id": "spatial_009"})
    assert ended.code == 0
    assert "boxes of 1 of 2 images reach beyond the detector's frame" in ended.err
    assert "first: item spatial_001 tile 0, to 1024" in ended.err
    assert "1 answer is about no item" in ended.err


def test_a_label_in_other_letters_is_said(run: Run) -> None:
    ended = score(run, changed(label="Dog"))
    assert overall(ended) == 0
    assert "the label 'Dog' is not 'dog' and counts as another thing" in ended.err


def test_the_last_line_of_chunks_counts_too(tmp_path: Path) -> None:
    (tmp_path / "chunks.jsonl").write_text('{"item_id": "a", "chunks": ["a dog"]}')
    assert read_chunk_file(tmp_path / "chunks.jsonl", ["a"]) == {"a": ["a dog"]}
