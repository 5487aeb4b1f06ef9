"""A model on rewritten prompts beside the same model on the originals: compare, page, tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpgbench.analysis.board import make_board
from dpgbench.analysis.comparison import compare_runs
from dpgbench.jobs.rewrite.files import rewritten_csv
from dpgbench.report import build_report
from dpgbench.report.beside_published import beside_published
from dpgbench.report.tables.model_card import model_cards
from dpgbench.store.benchmarks import load_benchmark, load_csv
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import describe_benchmark
from tests.helpers import Run
from tests.report.chromium import CHROMIUM, Browser
from tests.report.page_checks import OVERFLOW
from tests.report.report_runs import RunMaker, maker


def rewritten(dpg: RunMaker, *, without: int = 0) -> RunMaker:
    """A maker on the same items with longer prompts, but for the first few, which failed."""
    original = dpg.benchmark
    texts = {item: f"{text}, in soft light" for item, text in original.prompts.items()}
    texts = dict(list(texts.items())[without:])
    path = dpg.folder.parent / "dpg-longer.csv"
    path.write_text(rewritten_csv(original, texts), encoding="utf-8")
    return replace(dpg, benchmark=load_csv(path, "dpg-longer"))


def make(dpg: RunMaker, name: str, **more: Any) -> RunDir:
    about = dict(describe_benchmark(dpg.benchmark))
    return dpg.make(name, model="painter", benchmark=about, **more)


@pytest.mark.parametrize("without", [0, 3])
def test_the_difference_is_paired_over_the_items_that_both_have(
    tmp_path: Path, without: int
) -> None:
    """Also where some prompts could not be rewritten; it is told that the prompts are others."""
    dpg = maker(tmp_path, num_items=20)
    longer = rewritten(dpg, without=without)
    runs = [make(longer, "long", skill=0.9, seed=1), make(dpg, "short", skill=0.5)]
    first = next(r for r in compare_runs(*runs) if r.first.rule == "corrected-v1").comparison
    assert first.overall is not None
    assert first.items == 20 - without
    assert first.overall.difference > 0
    assert first.overall.interval is not None
    labels = {reason.label: (reason.first, reason.second) for reason in first.reasons}
    assert labels["prompts"] == ("dpg-longer (rewritten from it)", "dpg")
    assert not any(reason.decides for reason in first.reasons)
    board = make_board(runs)
    assert [board.rows[pair.first].run for pair in board.rewritten] == ["long", "long"]
    assert all(pair.overall and pair.overall.difference > 0 for pair in board.rewritten)
    assert [len(group.rows) for group in board.groups] == [1] * 4  # never ranked together


def test_rewritten_prompts_of_the_published_benchmark_are_no_equal_of_it(tmp_path: Path) -> None:
    """Whatever their file is called."""
    dpg = rewritten(maker(tmp_path, num_items=5))
    named = replace(dpg, benchmark=load_csv(dpg.benchmark.path, "dpg"))
    about = dict(describe_benchmark(named.benchmark))
    board = make_board([named.make("run", model="sd15", benchmark=about)])
    beside = beside_published(board)
    assert beside
    assert all(
        one.differs_text.startswith("prompts (rewritten here, the original ones there)")
        for one in beside
    )


def test_other_questions_or_other_prompts_are_not_set_side_by_side(tmp_path: Path) -> None:
    """Edited after the rewriting, or of another original: two benchmarks."""
    dpg = maker(tmp_path, num_items=10)
    longer = rewritten(dpg)
    path = longer.benchmark.path
    path.write_text(path.read_text("utf-8").replace("Is it a painting?", "Is it a photograph?"))
    edited = replace(longer, benchmark=load_csv(path, "dpg-longer"))
    other = maker(tmp_path / "other", num_items=9)
    short = make(dpg, "short")
    for made in (make(edited, "edited"), make(other, "other")):
        assert all(r.comparison.overall is None for r in compare_runs(made, short))
        assert make_board([made, short]).rewritten == ()


def test_the_report_has_them_as_a_table_of_their_own(tmp_path: Path) -> None:
    """Page, Markdown and JSON; a report without rewritten prompts has none."""
    dpg = maker(tmp_path, num_items=20)
    runs = [make(rewritten(dpg), "long", skill=0.9, seed=1), make(dpg, "short", skill=0.5)]
    build_report(runs, tmp_path / "report")
    page, markdown = (
        (tmp_path / "report" / f"leaderboard.{end}").read_text("utf-8") for end in ("html", "md")
    )
    assert 'id="rewritten"' in page
    assert "| painter | dpg-longer | dpg | fake | corrected-v1 |" in markdown
    build_report(runs[:1], tmp_path / "rewritten-alone")
    for end in ("html", "md"):
        text = (tmp_path / "rewritten-alone" / f"leaderboard.{end}").read_text("utf-8")
        assert "its prompts were rewritten from those of dpg" in text
    assert "its prompts were rewritten from those of dpg" in next(
        iter(model_cards(make_board(runs[:1])).values())
    )
    build_report(runs[1:], tmp_path / "alone")
    assert 'id="rewritten"' not in (tmp_path / "alone/leaderboard.html").read_text("utf-8")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1440, 390])
def test_the_view_is_reached_and_fits(browser: Browser, tmp_path: Path, width: int) -> None:
    """By its link in the bar; nothing leaves its box."""
    dpg = maker(tmp_path, num_items=20)
    runs = [make(rewritten(dpg), "long", skill=0.9, seed=1), make(dpg, "short", skill=0.5)]
    page = browser.open(build_report(runs, tmp_path / "report")[0], width=width)
    page.run("[...document.querySelectorAll('nav a')].find(a => /Rewritten/.test(a.text)).click()")
    page.run("await new Promise((done) => setTimeout(done, 50))")
    assert page.value("document.body.dataset.view") == "rewritten"
    assert page.value("document.querySelectorAll('#rewritten tbody tr').length") == 2
    assert page.run(OVERFLOW + "return out;") == []
    assert page.complaints() == []
    page.close()


def test_drawn_judged_and_compared_with_the_embedded_models(run: Run, tmp_path: Path) -> None:
    """What `generate` records is enough, and the original's questions are asked of both."""
    shapes = load_benchmark("shapes")
    items = list(shapes.prompts)[:2]
    texts = {item: f"{shapes.prompts[item]} Soft light." for item in items}
    (tmp_path / "shapes-longer.csv").write_text(rewritten_csv(shapes, texts), encoding="utf-8")
    draw = ("--model", "tiny-sd15", "--num-images", 1, "--steps", 2, "--items", ",".join(items))
    for name in ("shapes", "shapes-longer.csv"):
        assert run("generate", *draw, "--bench", name, "--out", f"runs/{name[:8]}").code == 0
    for name in ("runs/shapes", "runs/shapes-l"):
        ended = run("score", name, "--judge", "tiny-mplug", "--rule", "corrected-v1")
        assert ended.code == 0, ended.err
    compared = json.loads(run("compare", "runs/shapes-l", "runs/shapes", "--json").out)
    assert compared["results"][0]["items"] == 2
    assert "shapes-longer (rewritten from it)" in json.dumps(compared["results"][0]["reasons"])
