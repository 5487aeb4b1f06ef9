"""Benchmarks of the table from a local copy to a report: pulled, checked, drawn, judged, scored."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dpgbench.store.benchmark_table import named_benchmarks
from tests.cli.known_judges import is_right
from tests.helpers import Run

COPIES = {
    "dsg1k": "dsg1k",
    "corebench": "corebench",
    "oneig-alignment": "oneig",
    "geneval2": "geneval2",
}
"""The folder of each benchmark in ``../shared/data``."""
NOISE = ("--model", "tests.cli.own_judges:Noise")
TINY = ("--model", "tiny-ella-sd15", "--device", "cpu", "--steps", 2)


def pull_and_refuse(run: Run, name: str, data: Path, tmp_path: Path) -> None:
    """Pull a benchmark, once from a copy with a changed byte, which is refused."""
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    path = next(p for p in copy.rglob("*") if p.name == Path(next(iter(blobs(name)))).name)
    path.chmod(0o644)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"e", b"E", 1))
    ended = run("prompts", "pull", name, "--from", copy)
    assert ended.code == 3
    assert f"{path.name} is not {name}'s (git blob " in ended.error
    assert run("prompts", "list", "--bench", name).code == 4
    path.write_bytes(whole)
    ended = run("prompts", "pull", name, "--from", copy, "--json")
    assert ended.code == 0, ended.err
    entry = named_benchmarks()[name]
    assert entry.terms in ended.err
    pulled = json.loads(ended.out)
    assert (pulled["prompts"], pulled["questions"]) == (entry.items, entry.questions)
    assert pulled["licence"] == entry.terms


def blobs(name: str) -> dict[str, str]:
    return dict(named_benchmarks()[name].files)


def expected_overall(table: Path, items: int, images: int) -> float:
    """Return the score that `Known` must get, parents read off the table: direct ones zero."""
    rows: dict[str, list[dict[str, str]]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for cells in csv.DictReader(file):
            rows.setdefault(cells["item_id"], []).append(cells)
    means = []
    for item_id, questions in list(rows.items())[:items]:
        parents = {
            int(cells["proposition_id"]): [
                int(part) for part in cells["dependency"].split(",") if part.strip("0 ")
            ]
            for cells in questions
        }
        scores = []
        for tile in range(images):
            right = {qid: is_right(item_id, tile, qid) for qid in parents}
            held = [right[qid] and all(right[p] for p in parents[qid]) for qid in parents]
            scores.append(sum(held) / len(held))
        means.append(sum(scores) / images)
    return 100 * sum(means) / len(means)


def draw_judge_score_report(
    run: Run, name: str, tmp_path: Path, items: int, draw: tuple[object, ...]
) -> None:
    """Draw some items, judge them by `Known`, and look at the score and the report."""
    entry = named_benchmarks()[name]
    words = ("generate", *draw, "--bench", name, "--limit", items, "--out", "r")
    drawn = run(*words)
    assert drawn.code == 0, drawn.err
    manifest: dict[str, Any] = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["identity"]["generation"]["num_images"] == entry.images, manifest["identity"]
    scored = run(
        "score", "r", "--judge", "tests.cli.known_judges:Known", "--rule", "dsg", "--rule",
        "corebench", "--json",
    )  # fmt: skip
    assert scored.code == 0, scored.err
    by_rule = {result["rule"]: result for result in json.loads(scored.out)["results"]}
    folder = tmp_path / "cache" / "benchmarks" / name
    expected = expected_overall(folder / f"{name}.csv", items, entry.images)
    assert by_rule["dsg"]["overall"] == pytest.approx(expected, abs=1e-9)
    assert by_rule["dsg"]["items_scored"] == items
    assert run("verify", "r").code == 0
    usual = run("score", "r", "--judge", "tests.cli.known_judges:Known", "--json")
    assert usual.code == 0, usual.err
    without = [rule for rule in entry.rules if not rule.startswith("soft-tifa")]
    assert [result["rule"] for result in json.loads(usual.out)["results"]] == without
    assert usual.err.count("left out: rule soft-tifa") == len(entry.rules) - len(without)

    assert run("report", "r", "--out", "report").code == 0
    for ending in ("html", "md", "tex", "csv"):
        text = (tmp_path / f"report/leaderboard.{ending}").read_text(encoding="utf-8")
        assert entry.licence in text, ending
        if entry.non_commercial:
            assert "not for commercial use" in text, ending
    bib = (tmp_path / "report/leaderboard.bib").read_text()
    assert all(key in bib for key in entry.cites)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["oneig-alignment", "geneval2"])
def test_from_a_copy_to_a_report(
    run: Run, shared: Path, tmp_path: Path, cache: Path, name: str
) -> None:
    pull_and_refuse(run, name, shared / "data" / COPIES[name], tmp_path)
    assert run("prompts", "check", name).code == 0
    draw_judge_score_report(run, name, tmp_path, 3, NOISE)


@pytest.mark.slow
@pytest.mark.parametrize("name", COPIES)
def test_eight_items_by_the_embedded_model(
    run: Run, shared: Path, tmp_path: Path, cache: Path, name: str
) -> None:
    pull_and_refuse(run, name, shared / "data" / COPIES[name], tmp_path)
    # upstream's own file has dependencies that are no number, which `ella-reference` refuses
    assert run("prompts", "check", name).code == (3 if name == "dsg1k" else 0)
    draw_judge_score_report(run, name, tmp_path, 8, TINY)
