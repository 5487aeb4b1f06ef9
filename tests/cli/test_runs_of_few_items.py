"""Runs over a few items and of pictures that are not square: what is counted and what is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.helpers import Run, row, write_csv

DRAW = ("generate", "--model", "tiny-sd15", "--device", "cpu", "--steps", "1", "--num-images", "1")
TEXTS = ("A red circle.", "A blue square " * 40, "A green star above a cross.", "A red heart " * 60)


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    rows = [row(f"item_{n}", 1, text=text) for n, text in enumerate(TEXTS)]
    return write_csv(tmp_path / "bench.csv", rows)


def truncation(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / "manifest.json").read_text())
    truncation: dict[str, Any] = manifest["generation"]["truncation"]
    return truncation


@pytest.mark.parametrize(
    ("items", "cut"),
    [
        ("item_2", []),
        ("item_3", ["item_3"]),
        ("item_1,item_2", ["item_1"]),
        ("item_0,item_3", ["item_3"]),
    ],
)
def test_cut_prompts_are_those_of_the_runs_items(
    run: Run, tmp_path: Path, bench: Path, items: str, cut: list[str]
) -> None:
    ended = run(*DRAW, "--bench", bench, "--items", items, "--out", "r")
    assert ended.code == 0, ended.err
    number = len(items.split(","))
    assert truncation(tmp_path / "r") == {
        "limit": 77, "truncated": len(cut), "prompts": number, "items": cut,
    }  # fmt: skip
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["generation"]["device"] == "cpu"
    weights = manifest["generation"]["weights"]
    assert weights.keys() == manifest["identity"]["weights"].keys()
    assert all(isinstance(record, dict) for record in weights.values())
    assert ("longer than the text encoder's 77 tokens" in ended.err) == bool(cut)


def test_pictures_that_are_not_square_are_drawn_and_scored(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    words = (*DRAW[:-1], "4", "--width", 64, "--height", 32, "--bench", bench, "--limit", 1)
    assert run(*words, "--out", "r").code == 0
    with Image.open(tmp_path / "r/images/item_0.png") as image:
        assert image.size == (128, 64)
    ended = run("score", "r", "--judge", "tiny-mplug", "--device", "cpu", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)["results"][1]
    assert (result["items_scored"], result["num_tiles"]) == (1, 4)
    # and the judge sees those very tiles: cut by hand they get the same answers
    cut = tmp_path / "cut"
    cut.mkdir()
    with Image.open(tmp_path / "r/images/item_0.png") as image:
        image.crop((64, 32, 128, 64)).save(cut / "item_0.png")
    words = ("score", cut, "--num-images", 1, "--limit", 1, "--bench", bench, "--out", "c")
    assert run(*words, "--judge", "tiny-mplug", "--device", "cpu").code == 0
    last = json.loads((tmp_path / "r/answers/tiny-mplug.jsonl").read_text().splitlines()[-1])
    alone = json.loads((tmp_path / "c/answers/tiny-mplug.jsonl").read_text().splitlines()[0])
    assert last["tile"] == 3
    assert last["p_yes"] == pytest.approx(alone["p_yes"], abs=2e-6)


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_prompt_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    rows = [row("a1", 1), row("a2", 1, text=text)]
    bench = write_csv(tmp_path / "empty.csv", rows)
    ended = run(*DRAW, "--bench", bench, "--out", "r")
    assert ended.code == 3
    assert "item a2 has an empty prompt" in ended.error
    assert not (tmp_path / "r" / "images").exists()
    assert run(*DRAW, "--bench", bench, "--items", "a1", "--out", "r").code == 0


def test_a_seed_below_0_is_refused(run: Run, tmp_path: Path, bench: Path) -> None:
    for rule in ("per-tile", "per-item"):
        ended = run(*DRAW, "--bench", bench, "--out", "r", "--seed", "-1", "--seed-rule", rule)
        assert ended.code == 2
        assert "--seed" in ended.error
    assert not (tmp_path / "r").exists()
