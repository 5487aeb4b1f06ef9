"""Charts, thumbnails, prompt length, and whether a report is up to date."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner

from dpgbench.analysis.board import make_board
from dpgbench.analysis.prompt_length import bins
from dpgbench.cli import report as command
from dpgbench.errors import DataError
from dpgbench.report import ReportOptions, build_report
from dpgbench.report.plots.drawing import Dot, Drawing, Text, page_svg
from dpgbench.store.run.directory import RunDir
from tests.report.report_page import Page
from tests.report.report_runs import RunMaker


def test_hostile_names_do_nothing_in_a_chart() -> None:
    name = "<script>alert(1)</script>\"'&🎨שלום"
    text = page_svg(Drawing(200, 40, name, (Text(5, 20, name), Dot(100, 20, 4, "c0"))))
    root = ElementTree.fromstring(text)
    assert name in "".join(root.itertext())
    assert "<script" not in text


def test_thumbs_stand_in_the_page(pair: list[RunDir], tmp_path: Path) -> None:
    page = Page(build_report(pair, tmp_path / "out", ReportOptions(embed="thumbs"))[0])
    sources = [attrs["src"] or "" for attrs in page.all("img")]
    assert sources
    assert all(source.startswith("data:image/webp;base64,") for source in sources)
    data = json.loads(page.texts["script"][0])
    assert len(data["sets"][0]["runs"][0]["pictures"]["other"]) == 30


@pytest.mark.parametrize(
    ("words", "ranges"),
    [
        ([], []),
        ([5], [(0, 19)]),
        ([5] * 8 + [25] * 8, [(0, 19), (20, 39)]),
        ([5] * 3 + [25] * 5 + [90], [(0, 99)]),
        ([25] * 9 + [60] * 2, [(20, 79)]),
    ],
)
def test_lengths_are_binned_so_that_no_bin_is_thin(words: list, ranges: list) -> None:
    assert bins(words) == ranges


def test_what_cutting_did_is_told_by_item(dpg: RunMaker, tmp_path: Path) -> None:
    cut = [f"COCOval{n}" for n in range(1, 30, 2)]
    truncation = {"limit": 77, "truncated": 15, "prompts": 30, "items": cut}
    runs = [
        dpg.make("clip", generation={"truncation": truncation}),
        dpg.make("t5", seed=2, generation={"truncation": {"limit": None, "truncated": 0}}),
        dpg.make(
            "old", seed=3, generation={"truncation": {**truncation, "truncated": 4, "items": None}}
        ),
    ]
    board = make_board(runs)
    view, results = board.prompt_lengths[-1], board.records[0].results
    assert view.whole.items == (30,)
    assert {chart.name for chart in view.sources} == {"COCOval", "stanford"}
    views = {cut.rows[0].run: cut for cut in view.cuts}
    assert views["old"].results == ()
    rows = {result.row.run: result for result in views["clip"].results}
    assert [rows[name].reads_all for name in ("clip", "t5")] == [False, True]
    scores = {i: f.score or 0 for i, f in results[0].item_figures.items()}
    assert results[0].rule == "corrected-v1"
    assert rows["clip"].cut == pytest.approx(sum(scores[item] for item in cut) / 15)
    low, high = rows["clip"].gap.interval or (0, 0)
    assert low <= rows["clip"].cut - rows["clip"].whole <= high
    text = Page(build_report(runs, tmp_path / "out")[0]).text
    assert "Cut at 77 tokens: clip" in text
    assert "Which ones is not recorded in this run" in text


def test_check_tells_what_is_stale(dpg: RunMaker, tmp_path: Path) -> None:
    app = typer.Typer()
    command.register(app)
    run = dpg.make("run")
    folders = ["--latex", str(tmp_path / "tables"), "--cards", str(tmp_path / "cards")]
    words = [str(run.path), "--out", str(tmp_path / "out"), *folders]
    made = CliRunner().invoke(app, words)
    assert made.exit_code == 0
    assert len(made.output.splitlines()) == 5 + 6 + 1
    assert CliRunner().invoke(app, [*words, "--check"]).exit_code == 0
    (tmp_path / "out" / "leaderboard.md").write_text("old")
    outcome = CliRunner().invoke(app, [*words, "--check"])
    assert isinstance(outcome.exception, DataError)
    assert "leaderboard.md" in str(outcome.exception)
    assert (tmp_path / "out" / "leaderboard.md").read_text() == "old"
