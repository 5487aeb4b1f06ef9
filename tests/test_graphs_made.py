"""`scripts/graphs_made.py`: how well made graphs agree with given ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dpgbench.domain.benchmark import Benchmark
from dpgbench.shapes import benchmark_items
from dpgbench.store.benchmarks import load_benchmark
from scripts.graphs_made import agreement, controls, fact_of, parsed, scores, table
from tests.helpers import REPOSITORY, Run, row, write_csv

PAGE = REPOSITORY / "docs" / "graphs-made.md"


@pytest.fixture(scope="module")
def shapes() -> Benchmark:
    return load_benchmark("shapes")


def graphs(path: Path, *rows: tuple[int, str, str]) -> Benchmark:
    """A benchmark of one item: numbers, dependencies, tuples."""
    cells = [
        row("one", qid, dependency, tuple=words, question_natural_language=f"Is it {qid}?")
        for qid, dependency, words in rows
    ]
    return load_benchmark(write_csv(path, cells))


def test_tuples_match_one_to_one_by_category_and_words(tmp_path: Path) -> None:
    """The more alike first; articles, plurals, order and capitals do not count."""
    given = graphs(
        tmp_path / "given.csv",
        (1, "0", "entity - whole (dogs)"),
        (2, "1", "attribute - color (dogs, dark brown)"),
        (3, "1", "relation - spatial (dog, mat, on)"),
        (4, "0", "entity - whole (mat)"),
    )
    made = graphs(
        tmp_path / "made.csv",
        (1, "0", "Entity – whole (the Dog)"),
        (2, "1", "attribute - other (dog, brown)"),
        (3, "4", "relation - spatial (on, the mat, dog)"),
        (4, "0", "entity - whole (rug)"),
    )
    report = agreement(given, made)
    assert report["categories"]["entity"]["coverage"] == {"same": 0.5, "near": 0.5}
    assert report["categories"]["attribute"]["coverage"] == {"same": 0, "near": 1}
    assert report["categories"]["relation"]["precision"] == {"same": 1, "near": 1}
    assert report["edges"] == {"between_matched": 2, "made_too": 1, "share": 0.5}
    assert agreement(given, made, near=0.9)["all"]["coverage"] == {"same": 0.5, "near": 0.5}
    assert "| attribute | 1 | 1 | 0.0% | 100.0% | 0.0% | 100.0% |" in table(report)


def test_controls_give_what_is_known_of_them(shapes: Benchmark) -> None:
    """All of itself, half where half is left out, and little of another item's."""
    few = replace(shapes, items=dict(list(shapes.items.items())[:12]))
    alike, half, other = (control["all"]["coverage"]["same"] for control in controls(few).values())
    assert alike == 1
    assert half == pytest.approx(0.5, abs=0.06)
    assert other < 0.25


def test_every_tuple_of_shapes_is_read_as_the_fact_that_it_was_written_from(
    shapes: Benchmark,
) -> None:
    """So made graphs in this form have true answers; others have none."""
    for item in benchmark_items()[::5]:
        facts = [fact_of(row) for row in shapes.items[item.item_id]]
        assert facts == [question.fact for question in item.questions]
    known = shapes.items["few_000"][0]
    for words in ("entity - whole (dog)", "attribute - size (star, red)", "entity - part (star)"):
        assert fact_of(replace(known, tuple=words)) is None


def test_scores_by_true_answers(shapes: Benchmark) -> None:
    """The parser's graphs lose wherever the given do; graphs that ask less do not."""
    few = replace(shapes, items=dict(list(shapes.items.items())[::40]))
    made, failures = parsed(replace(few, prompts={i: few.prompts[i] for i in few.items}))
    assert failures == {}
    report = scores(few, made, 10)
    assert report["items_that_lose_what_the_given_lose"] == 1
    assert report["changed_pictures"]["given_alone"] == 0
    blind = replace(few, items={item: rows[:1] for item, rows in few.items.items()})
    assert scores(few, blind, 10)["items_that_lose_what_the_given_lose"] < 0.5
    odd = {
        item: (replace(rows[0], tuple="entity - whole (dog)"),) for item, rows in few.items.items()
    }
    report = scores(few, replace(few, items={**few.items, **dict([*odd.items()][:2])}), 10)
    assert (report["items"], report["unreadable"]) == (3, 2)


def test_the_page_has_the_figures_of_today(shapes: Benchmark) -> None:
    """The table of agreement in docs/graphs-made.md."""
    made, _ = parsed(shapes)
    assert table(agreement(shapes, made)) in PAGE.read_text(encoding="utf-8")


def test_the_script_of_the_page_runs_on_files(tmp_path: Path) -> None:
    """As the page calls it for a user's own files; the report is plain JSON."""
    commands = re.findall(r"^python -m scripts\.graphs_made (.*)$", PAGE.read_text("utf-8"), re.M)
    assert "dpg_bench.csv made/dpg_bench/dpg_bench.csv --out agreement.json" in commands
    given = graphs(tmp_path / "given.csv", (1, "0", "entity - whole (dog)"))
    words = [given.path, given.path, "--controls", "--out", tmp_path / "agreement.json"]
    done = subprocess.run(
        [sys.executable, "-m", "scripts.graphs_made", *map(str, words)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "| entity | 1 | 1 | 100.0% | 100.0% | 100.0% | 100.0% |" in done.stdout
    report = json.loads((tmp_path / "agreement.json").read_text("utf-8"))
    assert report["agreement"]["all"]["coverage"]["same"] == 1
    assert report["failures"] == {}


def test_the_command_makes_graphs_that_lose_what_the_given_ones_lose(
    run: Run, shapes: Benchmark, tmp_path: Path
) -> None:
    """`prompts make --llm shapes`: sound files whose scores fall wherever the given ones do."""
    items = list(shapes.items)[::20]
    chosen = ("--items", ",".join(items))
    done = run("prompts", "make", "shapes", "--llm", "shapes", *chosen, "--out", "made.csv")
    assert done.code == 0, done.err
    assert run("prompts", "check", "made.csv", "--strict").code == 0
    made = load_benchmark(tmp_path / "made.csv")
    report = scores(shapes, made, 20)
    assert (report["items"], report["unreadable"]) == (len(items), 0)
    assert report["items_that_lose_what_the_given_lose"] >= 0.95
    assert report["changed_pictures"]["both_lose"] > 50
