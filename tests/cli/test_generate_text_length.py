"""`generate` takes the length of texts that a connector was trained with, or says its guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ella import TrainedText, tiny
from tests.helpers import Ended, Run, row, write_csv

Draw = Callable[..., tuple[Ended, dict[str, Any]]]


@pytest.fixture
def draw(run: Run, tmp_path: Path) -> Draw:
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1, text="a red circle " * 40)])

    tiny.tiny_pipeline().save_pretrained(tmp_path / "base")
    tiny.tiny_text_encoder().model.save_pretrained(tmp_path / "t5")
    tiny.tiny_text_encoder().tokenizer.save_pretrained(tmp_path / "t5")

    def call(text: TrainedText | None, *words: str) -> Any:
        connector = tiny.tiny_connector()
        connector.trained_text = text
        connector.save_safetensors(tmp_path / "mine.safetensors")
        weights = ["base=base", "connector=mine.safetensors", "text_encoder=t5"]
        weight_words = [word for weight in weights for word in ("--weights", weight)]
        small = ("--steps", 1, "--width", 64, "--height", 64, "--num-images", 1, "--out", "r")
        ended = run(
            "generate", "--model", "ella-sd15", *weight_words, "--bench", bench, *small, *words
        )
        assert ended.code == 0, ended.err
        return ended, json.loads((tmp_path / "r/manifest.json").read_text())

    return call


def test_the_files_word_is_taken(draw: Draw) -> None:
    ended, manifest = draw(TrainedText("fixed", 64))
    options = manifest["identity"]["generation"]["options"]
    assert options == {"text_length": "fixed", "text_tokens": 64, "with_clip": False}
    assert manifest["generation"]["truncation"]["limit"] == 64
    assert "assumed" not in ended.err


def test_the_usual_length_adds_nothing_to_the_identity(draw: Draw) -> None:
    _, manifest = draw(TrainedText("fixed", 128))
    options = manifest["identity"]["generation"]["options"]
    assert options == {"text_length": "fixed", "with_clip": False}
    assert manifest["generation"]["truncation"]["limit"] == 128


def test_what_is_asked_for_goes_before_what_the_file_says(draw: Draw) -> None:
    _, manifest = draw(TrainedText("fixed", 128), "--option", "text_length=flexible")
    assert manifest["identity"]["generation"]["options"]["text_length"] == "flexible"
    assert manifest["generation"]["truncation"]["limit"] is None


def test_a_guess_is_said(draw: Draw) -> None:
    ended, manifest = draw(None)
    assert manifest["identity"]["generation"]["options"]["text_length"] == "flexible"
    note = "text_length flexible is assumed: the connector's file does not say"
    assert f"note: {note}" in ended.err
    assert any(one.startswith(note) for one in manifest["notes"])


def test_a_length_that_was_asked_for_is_no_guess(draw: Draw) -> None:
    ended, _ = draw(None, "--option", "text_length=fixed")
    assert "assumed" not in ended.err


def test_the_embedded_connector_is_known_to_the_table(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    ended = run("generate", "--model", "tiny-ella-sd15", "--steps", 1, "--bench", bench)
    assert ended.code == 0
    assert "assumed" not in ended.err
