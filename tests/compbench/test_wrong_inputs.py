"""What is wrong in files of detections and chunks, and T2I-CompBench's own folders of samples."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.compbench.small_benchmark import (
    CHUNKS,
    NUM_IMAGES,
    PROMPTS,
    detection,
    write_chunks,
    write_detections,
    write_prompts,
)
from tests.compbench.small_networks import write_blip
from tests.helpers import Run, json_lines

SPATIAL = ("score", "--bench", "bench", "--judge", "spatial", "--detections", "d.jsonl")
GOOD = detection("dog", [10.0, 10.0, 90.0, 90.0], 0.9)


@pytest.fixture
def lines(tmp_path: Path) -> list[dict[str, Any]]:
    write_prompts(tmp_path / "bench")
    return json_lines(write_detections(tmp_path / "d.jsonl"))


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tile": 1}, "stands twice"),
        ({"tile": -1}, "tile"),
        ({"tile": "0"}, "tile"),
        ({"item_id": 3}, "item_id"),
        ({"detections": {}}, "detections"),
        ({"detections": [3]}, "detections"),
        ({"detections": [GOOD | {"score": 1.5}]}, "score"),
        ({"detections": [GOOD | {"score": -0.1}]}, "score"),
        ({"detections": [GOOD | {"score": "high"}]}, "score"),
        ({"detections": [GOOD | {"score": float("nan")}]}, "d.jsonl"),
        ({"detections": [GOOD | {"label": " "}]}, "without a label"),
        ({"detections": [GOOD | {"label": None}]}, "label"),
        ({"detections": [GOOD | {"box": [1, 2, 3]}]}, "a box is"),
        ({"detections": [GOOD | {"box": [90, 10, 10, 90]}]}, "ends before it begins"),
        ({"detections": [GOOD | {"box": [1, 2, 3, float("inf")]}]}, "d.jsonl"),
        ({"nouns": ["dog"]}, "nouns are two"),
    ],
)
def test_damaged_detections_are_refused(
    run: Run, tmp_path: Path, lines: list[dict[str, Any]], change: Any, words: str
) -> None:
    lines[0] |= change
    write(tmp_path / "d.jsonl", lines)
    ended = run(*SPATIAL)
    assert ended.code == 3
    assert words in ended.error and "d.jsonl" in ended.error


def test_torn_and_empty_files_are_refused(
    run: Run, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    for content in ("", "[]\n", "{\n", json.dumps(lines[0])[:-9]):
        (tmp_path / "d.jsonl").write_text(content)
        assert "d.jsonl" in run(*SPATIAL).error
    (tmp_path / "d.jsonl").unlink()
    assert "does not exist" in run(*SPATIAL).error


def test_missing_pictures_and_other_frames_are_said(
    run: Run, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    write(tmp_path / "d.jsonl", lines[:-1])
    ended = run(*SPATIAL, "--json", "--out", "r")
    assert ended.code == 6
    (result,) = json.loads(ended.out)["results"]
    assert result["failed_items"] == ["spatial_002"]
    assert "tile 9" in result["failures"]["spatial_002"]
    assert any("label of no detection in d.jsonl: cup" in note for note in result["notes"])
    lines[3]["detections"][0]["box"] = [10, 10, 900, 900]
    write(tmp_path / "d.jsonl", lines)
    ended = run(*SPATIAL, "--json", "--out", "r2")
    assert ended.code == 0
    assert "reach beyond the detector's frame" in ended.err


def test_other_chunks_are_refused_or_said(run: Run, tmp_path: Path) -> None:
    write_prompts(tmp_path / "bench")
    write_blip(tmp_path / "blip")
    (tmp_path / "pictures").mkdir()
    for item in CHUNKS:
        Image.new("RGB", (50, 20), (9, 90, 200)).save(tmp_path / f"pictures/{item}.png")
    words = ["score", "pictures", "--bench", "bench", "--judge", "blip-vqa", "--num-images", 10]
    words += ["--weights", "judge=blip", "--chunks", "c.jsonl", "--device", "cpu", "--partial"]
    good = json_lines(write_chunks(tmp_path / "c.jsonl"))
    for wrong, what in (
        ({"chunks": ["a red car", " "]}, "empty chunk"),
        ({"chunks": "a red car"}, "chunks"),
        ({"item_id": good[1]["item_id"]}, "stands twice"),
        ({"item_id": "color_999"}, "has no chunks of color_001"),
    ):
        write(tmp_path / "c.jsonl", [good[0] | wrong, *good[1:]])
        ended = run(*words)
        assert ended.code == 3
        assert what in ended.error
    write(tmp_path / "c.jsonl", [good[0] | {"chunks": ["a blue whale"]}, *good[1:]])
    ended = run(*words)
    assert ended.code == 0, ended.err
    assert "does not stand in the prompt" in ended.err
    assert run(*[w if w != "c.jsonl" else "3.5.0" for w in words]).code == 2


class Harmful:
    """A pickle that would make a file where it were read as one."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("harm"),)


def test_a_checkpoint_is_never_executed(run: Run, tmp_path: Path) -> None:
    write_prompts(tmp_path / "bench")
    write_blip(tmp_path / "blip")
    (tmp_path / "blip/model_base_vqa_capfilt_large.pth").write_bytes(pickle.dumps(Harmful()))
    write_chunks(tmp_path / "c.jsonl")
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (50, 20)).save(tmp_path / "pictures/color_001.png")
    words = ["score", "pictures", "--bench", "bench", "--judge", "blip-vqa", "--num-images", 10]
    words += ["--weights", "judge=blip", "--chunks", "c.jsonl", "--device", "cpu", "--partial"]
    ended = run(*words)
    assert ended.code == 4
    assert "model_base_vqa_capfilt_large.pth" in ended.error
    assert not (tmp_path / "harm").exists()


def write_samples(folder: Path, category: str) -> None:
    """Pictures as the original's script leaves them: a number over the category."""
    folder.mkdir(parents=True)
    number = 0
    for prompt in PROMPTS[category]:
        for tile in range(NUM_IMAGES):
            level = 20 * tile
            Image.new("RGB", (24, 24), (level, 9, 9)).save(folder / f"{prompt}_{number:06d}.png")
            number += 1


@pytest.mark.parametrize("place", ["samples", "samples/color/samples"])
def test_the_originals_samples_are_read(run: Run, tmp_path: Path, place: str) -> None:
    write_prompts(tmp_path / "bench")
    write_blip(tmp_path / "blip")
    write_chunks(tmp_path / "c.jsonl")
    write_samples(tmp_path / "output" / place, "color")
    words = ["score", "output", "--bench", "bench", "--judge", "blip-vqa", "--source", "color"]
    words += ["--weights", "judge=blip", "--chunks", "c.jsonl", "--device", "cpu", "--json"]
    ended = run(*words, "--out", "r")
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    assert (result["items_scored"], result["num_tiles"]) == (1, NUM_IMAGES)
    files = json_lines(tmp_path / "r/images.jsonl")[0]["files"]
    assert [Path(name).name for name in sorted(files)] == [
        f"a red car and a green bowl_{number:06d}.png" for number in range(NUM_IMAGES)
    ]
    assert run(*words, "--out", "r").code == 0
    if place == "samples":
        assert run("verify", "r").code == 0
        (tmp_path / "output/samples/a red car and a green bowl_000003.png").unlink()
        ended = run(*words, "--out", "r2", "--num-images", NUM_IMAGES)
        assert "9 of 10 images" in ended.out + ended.err


def test_any_prompts_can_name_files(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        json.dumps({"item_id": "one", "prompt": "a dog_house"}) + "\n"
    )
    (tmp_path / "pictures").mkdir()
    for number in (7, 12):
        Image.new("RGB", (8, 8), (200, 200, 200)).save(
            tmp_path / f"pictures/a dog_house_{number}.png"
        )
    words = ["score", "pictures", "--bench", "p.jsonl", "--rule", "vqascore"]
    words += ["--judge", "tests.cli.right_answers:Sure", "--json"]
    ended = run(*words)
    assert ended.code == 3
    assert "--pattern '{prompt}_{number:06d}.png' fits" in ended.error
    ended = run(*words, "--pattern", "{prompt}_{number}.png")
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    assert result["num_tiles"] == 2
    assert result["overall"] == pytest.approx(20000 / 255, abs=1e-5)
    for wrong in ("{prompt}.png", "{prompt}_{tile}.png", "{item_id}/{prompt}_{number}.png"):
        assert run(*words, "--pattern", wrong).code == 2
