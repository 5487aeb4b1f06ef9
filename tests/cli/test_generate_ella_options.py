"""Options of ELLA's models alone: what they do to pictures, and what stands in a run's identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ella import Ella
from tests.helpers import Run, row, run_process, write_csv

WORDS = ("generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "2")
WORDS += ("--num-images", "1", "--bench", "bench.csv")
Draw = Callable[..., tuple[np.ndarray, dict[str, Any]]]


@pytest.fixture
def draw(run: Run, tmp_path: Path) -> Draw:
    write_csv(tmp_path / "bench.csv", [row("a", 1, text="a red circle left of a blue square")])

    def call(out: str, *options: str) -> tuple[np.ndarray, dict[str, Any]]:
        words = [word for option in options for word in ("--option", option)]
        ended = run(*WORDS, "--negative-prompt", "blue", "--out", out, *words)
        assert ended.code == 0, ended.err
        with Image.open(tmp_path / out / "images/a.png") as image:
            pixels = np.asarray(image, dtype=int)
        manifest = json.loads((tmp_path / out / "manifest.json").read_text())
        options_of_run: dict[str, Any] = manifest["identity"]["generation"]["options"]
        return pixels, options_of_run

    return call


def test_each_option_changes_the_pictures_and_the_identity(draw: Draw) -> None:
    usual, options = draw("usual")
    assert options == {"text_length": "fixed", "with_clip": False}
    for option, expected in (
        ("positive_only=true", {"positive_only": True}),
        ("text_tokens=24", {"text_tokens": 24}),
        ("text_layer=1", {"text_layer": 1}),
        ("with_clip=true", {"with_clip": True}),
        ("text_length=flexible", {"text_length": "flexible"}),
    ):
        pixels, chosen = draw(option.replace("=", "-"), option)
        assert chosen == {**options, **expected}
        assert np.abs(pixels - usual).max() > 1, option


def test_options_as_by_default_are_the_run_that_was_there_before(draw: Draw) -> None:
    first, _ = draw("r")
    defaults = ("positive_only=false", "compile_connector=false", "text_tokens=128")
    again, options = draw("r", *defaults)  # else it would be another run: exit code 5
    assert options == {"text_length": "fixed", "with_clip": False}
    assert (first == again).all()


def test_a_connector_is_compiled_where_that_is_asked(
    draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def compile_connector(ella: Ella) -> None:
        compiled.append(ella)

    monkeypatch.setattr(Ella, "compile_connector", compile_connector)
    usual, _ = draw("usual")
    assert not compiled
    pixels, options = draw("compiled", "compile_connector=true")
    assert len(compiled) == 1
    assert options["compile_connector"] is True
    assert np.abs(pixels - usual).max() <= 1


@pytest.mark.slow
def test_a_compiled_connector_draws_the_same(draw: Draw, tmp_path: Path) -> None:
    usual, _ = draw("usual")
    words = (*WORDS, "--negative-prompt", "blue", "--out", "compiled")
    ended = run_process(*words, "--option", "compile_connector=true", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    with Image.open(tmp_path / "compiled/images/a.png") as image:
        assert np.abs(np.asarray(image, dtype=int) - usual).max() <= 1


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("positive_only=maybe", "write true or false"),
        ("text_layer=last", "write a whole number"),
        ("text_tokens=few", "write a whole number"),
        ("text_tokens=0", "`fixed_length` must be at least 1"),
        ("text_layer=99", "`hidden_layer` must be from"),
        ("other=1", "positive_only"),
    ],
)
def test_what_cannot_be_is_one_line(run: Run, tmp_path: Path, option: str, message: str) -> None:
    write_csv(tmp_path / "bench.csv", [row("a", 1)])
    ended = run(*WORDS, "--out", "r", "--option", option)
    assert ended.code in (2, 4)
    assert message in ended.error


def test_models_lists_the_options(run: Run) -> None:
    page = run("models", "ella-sd15").out
    for option in ("positive_only=false", "text_layer=none", "compile_connector=false"):
        assert f"--option {option}" in page
