"""Parity of the rule `diffusionbench` with that tool's own scorer, on the 60 random benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.rules import DIFFUSIONBENCH
from tests.domain.golden_cases import CASES, result_of
from tests.helpers import Run, answers_csv, write_csv

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "diffusionbench_cases.json").read_text()
)["cases"]


@pytest.mark.parametrize("number", range(len(GOLDEN)))
def test_diffusionbench(number: int) -> None:
    golden = GOLDEN[number]
    result = result_of(CASES[number], DIFFUSIONBENCH, CASES[number]["tiles"])
    expected = golden.get("without_them", golden)
    assert result.failures.keys() == set(golden.get("items_that_raise", []))
    assert result.overall == pytest.approx(expected["overall"], abs=1e-9)
    for level in ("l1", "l2"):
        scores = {name: c.score for name, c in getattr(result, level).items()}
        assert scores == pytest.approx(expected[level], abs=1e-9)
    scores = {item.item_id: [100 * s for s in item.tile_scores] for item in result.items}
    for item_id, images in golden["image_scores"].items():
        if None not in images:
            assert scores[item_id] == pytest.approx(images, abs=1e-9)


def test_through_the_command_line(run: Run, tmp_path: Path) -> None:
    case, golden = CASES[0], GOLDEN[0]
    bench = write_csv(tmp_path / "b.csv", case["rows"])
    qids: dict[str, list[int]] = {}
    for row in case["rows"]:
        qids.setdefault(row["item_id"], []).append(int(row["proposition_id"]))
    answers = answers_csv(
        tmp_path / "a.csv",
        [
            (item, tile, qid, text)
            for item, tiles in case["answers"].items()
            for tile, texts in enumerate(tiles)
            for qid, text in zip(qids[item], texts, strict=True)
        ],
    )
    ended = run(
        "score", "--bench", bench, "--answers", answers, "--rule", "diffusionbench", "--json"
    )
    result = json.loads(ended.out)["results"][0]
    assert result["overall"] == pytest.approx(golden["overall"], abs=1e-9)
