"""Made-up benchmarks and runs, written with the toolkit's own scoring and files."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from dpgbench.domain.benchmark import COLUMNS, Benchmark
from dpgbench.domain.result import Origin
from dpgbench.domain.rules import find_rule
from dpgbench.domain.score import score_benchmark
from dpgbench.store.benchmarks import load_csv
from dpgbench.store.files import JsonLines, write_atomic, write_json
from dpgbench.store.images import png_bytes
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.scores import items_csv, result_json

HOSTILE = (
    "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"'`{{ 7*7 }}{% raw %}"
    "\u202eשלום עולם 🎨👩‍🎨 | " + "very " * 2000
)

RULES = ("ella-reference", "corrected-v1")
QUESTIONS = (
    ("0", "entity", "whole", "entity - whole (cube)", "Is there a cube?"),
    ("1", "attribute", "color", "attribute - color (cube, purple)", "Is the cube purple?"),
    ("0", "entity", "whole", "entity - whole (table)", "Is there a table?"),
    ("1,3", "relation", "spatial", "relation - spatial (cube, table, on)", "Is it on the table?"),
    ("0", "global", "", "global - (painting)", "Is it a painting?"),
)


def write_benchmark(path: Path, num_items: int = 30, text: str = 'A purple cube, "None"') -> Path:
    """Write a clean benchmark of five questions an item, in two sources."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for item in range(num_items):
            name = f"COCOval{item}" if item % 2 else f"stanford_{item}"
            for qid, (parents, broad, fine, tuple_, question) in enumerate(QUESTIONS, 1):
                prompt = f"{text} number {item}"
                writer.writerow([name, prompt, "", qid, parents, broad, fine, tuple_, question])
    return path


@dataclass
class RunMaker:
    """Makes run directories of one benchmark under one folder."""

    folder: Path
    benchmark: Benchmark
    rules: Sequence[str] = RULES
    num_images: int = 4
    manifest: dict[str, Any] = field(default_factory=dict)

    def make(
        self,
        name: str,
        *,
        skill: float = 0.7,
        model: str | None = None,
        judge: str = "fake",
        judge_record: Mapping[str, Any] | None = None,
        unanswered: Sequence[str] = (),
        items: Sequence[str] | None = None,
        images: bool = False,
        seed: int = 0,
        answer: str = "no",
        **manifest: Any,
    ) -> RunDir:
        """Make a run whose judge says yes with probability `skill`, else `answer`."""
        run = RunDir(self.folder / name)
        chosen = list(self.benchmark.items if items is None else items)
        answers = self._answers(chosen, skill, seed, answer, unanswered)
        with JsonLines(run.answers(judge)) as lines:
            for (item, tile), texts in answers.items():
                for qid, text in texts.items():
                    lines.append({"item_id": item, "tile": tile, "qid": qid, "answer": text})
        about = (
            {"weights": {"judge": {"sha256": "a" * 64}}} if judge_record is None else judge_record
        )
        self._manifest(name, model, chosen, {judge: dict(about)}, manifest).write(run.manifest)
        for rule in self.rules:
            self._score(run, judge, rule, answers, chosen)
        if images:
            for number, item in enumerate(chosen):
                write_atomic(run.image(item), _picture(number))
        return run

    def _answers(
        self, chosen: Sequence[str], skill: float, seed: int, no: str, unanswered: Sequence[str]
    ) -> dict[tuple[str, int], dict[int, str]]:
        rng = random.Random(seed)
        return {
            (item, tile): {
                row.qid: "yes" if rng.random() < skill else no for row in self.benchmark.items[item]
            }
            for item in chosen
            for tile in range(self.num_images)
            if item not in unanswered
        }

    def _manifest(
        self,
        name: str,
        model: str | None,
        chosen: list[str],
        judges: dict[str, dict[str, Any]],
        fields: Mapping[str, Any],
    ) -> Manifest:
        values: dict[str, Any] = {
            "kind": "generated",
            "model": model or name,
            "identity": {
                "generation": {
                    "seed_rule": "per-tile",
                    "base_seed": 0,
                    "width_px": 8,
                    "height_px": 8,
                    "steps": 4,
                    "scheduler": "DDIMScheduler",
                },
                "weights": {"base": "b" * 64},
                "name": name,
            },
            "items": chosen,
            "benchmark": {
                "name": self.benchmark.name,
                "path": str(self.benchmark.path),
                "prompts_sha256": self.benchmark.prompts_sha256,
                "questions_sha256": self.benchmark.questions_sha256,
            },
            "num_images": self.num_images,
            "judges": judges,
            "commands": [f"dpgbench generate --model {name}"],
            "created": "2026-01-02T03:04:05+00:00",
            "completed": "2026-01-02T04:04:05+00:00",
        }
        return Manifest(**{**values, **self.manifest, **fields})

    def _score(
        self,
        run: RunDir,
        judge: str,
        rule: str,
        answers: Mapping[tuple[str, int], Mapping[int, str]],
        chosen: Sequence[str],
    ) -> None:
        result = score_benchmark(
            self.benchmark,
            answers,
            find_rule(rule),
            num_images=self.num_images,
            items=chosen,
            origin=Origin(judge=judge),
        )
        newer = ("benchmark_sha256", "model", "subset", "notes")  # than the first score files
        fields = {name: v for name, v in result_json(result).items() if name not in newer}
        fields["warnings"].pop("items_not_chosen", None)
        write_json(run.scores(judge, rule), fields)
        write_atomic(run.item_scores(judge, rule), items_csv(result))


def _picture(number: int) -> bytes:
    return png_bytes(Image.new("RGB", (16, 16), (40 + number * 5 % 200, 90, 160)))


def maker(folder: Path, num_items: int = 30, name: str = "dpg", **options: Any) -> RunMaker:
    """Return a maker of runs on a benchmark called `name`, its file and runs under `folder`."""
    path = write_benchmark(folder / f"{name}.csv", num_items)
    return RunMaker(folder / "runs", load_csv(path, name), **options)


def maker_again(made: RunMaker) -> RunMaker:
    return RunMaker(made.folder, load_csv(made.benchmark.path, made.benchmark.name))
