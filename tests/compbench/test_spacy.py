"""Noun chunks and nouns of own prompts by real spaCy, through the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from dpgbench.compbench.noun_chunks import load_spacy
from tests.compbench.hand_tagger import NAME, write_package
from tests.compbench.small_benchmark import detection
from tests.compbench.small_networks import write_blip
from tests.helpers import Run, json_lines

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PROMPTS = {"one": "a red car and the wooden dog", "two": "green bowl beside a cat ."}


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    load_spacy.cache_clear()
    yield
    load_spacy.cache_clear()
    sys.modules.pop(NAME, None)


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    write_blip(tmp_path / "blip")
    (tmp_path / "pictures").mkdir()
    lines = []
    for item, prompt in PROMPTS.items():
        Image.new("RGB", (30, 30), (200, 40, 9)).save(tmp_path / f"pictures/{item}.png")
        lines.append(json.dumps({"item_id": item, "prompt": prompt}) + "\n")
    (tmp_path / "p.jsonl").write_text("".join(lines))
    score = ["score", "pictures", "--bench", "p.jsonl", "--num-images", 1, "--judge", "blip-vqa"]
    return [*score, "--weights", "judge=blip", "--device", "cpu", "--out", "r", "--json"]


def test_chunks_and_the_release_in_the_name(
    run: Run, tmp_path: Path, words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    write_package(site, "9.9.1")
    monkeypatch.syspath_prepend(site)
    ended = run(*words)
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    assert result["judge"] == "blip-vqa:en_core_web_sm-9.9.1"
    assert result["items_scored"] == 2
    (path,) = (tmp_path / "r/questions").glob("*.jsonl")
    asked = {(line["item_id"], line["qid"]): line["question"] for line in json_lines(path)}
    assert asked == {
        ("one", 1): "a red car?",
        ("one", 2): "the wooden dog?",
        ("two", 1): "green bowl?",
        ("two", 2): "a cat?",
    }
    line = {
        "item_id": "two",
        "tile": 0,
        "detections": [
            detection("bowl", [10, 10, 90, 90], 1.0),
            detection("cat", [20, 10, 95, 90], 0.8),
        ],
    }
    (tmp_path / "p2.jsonl").write_text(
        json.dumps({"item_id": "two", "prompt": "a green bowl next to a wooden cat"}) + "\n"
    )
    (tmp_path / "d.jsonl").write_text(json.dumps(line) + "\n")
    spatial = ["score", "--bench", "p2.jsonl", "--judge", "spatial", "--detections", "d.jsonl"]
    ended = run(*spatial, "--json", "--out", "r3")
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    assert result["overall"] == pytest.approx(100 * (0.25 + 0.25 * 0.8 + 0.5))


def test_without_the_model_the_command_is_named(
    run: Run, words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, NAME, raising=False)
    ended = run(*words)
    assert ended.code == 4
    assert "python -m spacy download en_core_web_sm" in ended.error
    assert "--chunks FILE.jsonl" in ended.error


def test_without_spacy_the_extra_is_named(
    run: Run, words: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    ended = run(*words)
    assert ended.code == 4
    assert "pip install 'dpgbench[compbench]'" in ended.error
