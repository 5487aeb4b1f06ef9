"""What is on the disk at the moment when something could go wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import dpgbench
from dpgbench import JudgeAnswer
from dpgbench.errors import SetupError
from tests.cli.own_judges import Noise
from tests.helpers import Run, row, write_csv


class ReadsTheManifest:
    """Answers yes where the run on the disk names this judge already, no where it does not."""

    num_images_at_once = 1

    def __init__(self, request: Any) -> None:
        self.request = request

    def describe(self) -> dict[str, Any]:
        return {"model": "reads the manifest"}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        manifest = json.loads(Path("r/manifest.json").read_text())
        word = "yes" if self.request.label in manifest["judges"] else "no"
        return [[JudgeAnswer(word) for _ in tile.qids] for tile in tiles]


class FailsAlmostAlways(Noise):
    """Draws for a prompt that ends in 0, and raises for all others."""

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        if not prompt.endswith("0"):
            raise RuntimeError("no idea")
        return super().draw(prompt, seeds)


def test_a_judge_is_named_in_the_run_before_it_answers(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a", 1)])
    (tmp_path / "pictures").mkdir()
    Image.effect_noise((8, 8), 50).save(tmp_path / "pictures/a.png")
    judge = f"{__name__}:ReadsTheManifest"
    words = ["score", "pictures", "--bench", bench, "--judge", judge, "--out", "r"]
    assert run(*words).code == 0
    (lines,) = (tmp_path / "r/answers").glob("*.jsonl")
    answers = [json.loads(line)["answer"] for line in lines.read_text().splitlines()]
    assert answers == ["yes"] * 4


def test_failures_that_a_success_interrupts_end_nothing(run: Run, tmp_path: Path) -> None:
    rows = [row(f"i{n:02}", 1, text=f"number {n}") for n in range(1, 30)]
    bench = write_csv(tmp_path / "b.csv", rows)
    model = f"{__name__}:FailsAlmostAlways"
    ended = run("generate", "--model", model, "--bench", bench, "--out", "r", "--device", "cpu")
    assert ended.code == 6
    lines = [json.loads(line) for line in (tmp_path / "r/images.jsonl").read_text().splitlines()]
    assert len(lines) == 29  # nine fail, one does not, nine fail, one does not, nine fail
    assert sum("error" in line and bool(line["error"]) for line in lines) == 27


def test_answers_about_prompts_without_questions_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a red cube\n")
    benchmark = dpgbench.load_benchmark(tmp_path / "p.txt")
    with pytest.raises(SetupError, match="question"):
        dpgbench.score_answers(benchmark, {})


class CostsAndFails:
    """Answers one tile, and then has no weights any more; each request costs one."""

    num_images_at_once = 1

    def __init__(self, request: Any) -> None:
        self.requests = 0

    def describe(self) -> dict[str, Any]:
        return {"model": "costs"}

    def account(self) -> dict[str, Any]:
        return {"requests": self.requests}

    def ask(self, tiles: Sequence[Any]) -> list[list[JudgeAnswer]]:
        self.requests += 1
        if self.requests > 1:
            raise SetupError("the weights are gone")
        return [[JudgeAnswer("yes") for _ in tile.qids] for tile in tiles]


def test_what_asking_has_cost_is_kept_when_it_fails(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a", 1)])
    (tmp_path / "pictures").mkdir()
    Image.effect_noise((8, 8), 50).save(tmp_path / "pictures/a.png")
    judge = f"{__name__}:CostsAndFails"
    ended = run("score", "pictures", "--bench", bench, "--judge", judge, "--out", "r")
    assert ended.code == 4
    (record,) = json.loads((tmp_path / "r/manifest.json").read_text())["judges"].values()
    assert record["account"] == {"requests": 2}
