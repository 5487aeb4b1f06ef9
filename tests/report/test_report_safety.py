"""The page with anybody's text, and with parts of a run missing or changed."""

from __future__ import annotations

from pathlib import Path

from dpgbench.report import build_report
from tests.report.report_page import Page
from tests.report.report_runs import HOSTILE, RunMaker, maker, maker_again


def test_hostile_text_is_shown_and_does_nothing(tmp_path: Path) -> None:
    dpg = maker(tmp_path)
    rows = dpg.benchmark.path.read_text(encoding="utf-8")
    quoted = HOSTILE.replace('"', '""')
    dpg.benchmark.path.write_text(rows.replace('A purple cube, ""None""', quoted), "utf-8")
    dpg = maker_again(dpg)
    run = dpg.make(
        "run",
        model=HOSTILE,
        judge="<b>judge</b>",
        answer="<i>maybe</i>",
        images=True,
        notes=[HOSTILE],
        commands=["dpgbench generate --model '</code><script>alert(3)</script>'"],
    )
    paths = build_report([run], tmp_path / "out")
    page = Page(paths[0])
    assert page.stack == []
    assert len(page.all("script")) == 2
    assert not page.all("i")
    assert not page.all("b")
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}{% raw %}" in page.text
    assert "very " * 1999 in page.texts["blockquote"][0]
    markdown = paths[2].read_text(encoding="utf-8")
    assert "<script>" not in markdown


def test_half_a_character_stops_nothing(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run")
    text = run.manifest.read_text().replace('"model": "run"', '"model": "\\ud83c"')
    run.manifest.write_text(text)
    assert all(path.stat().st_size for path in build_report([run], tmp_path / "out"))


def test_items_whose_names_mean_something_in_addresses(tmp_path: Path) -> None:
    dpg = maker(tmp_path)
    rows = dpg.benchmark.path.read_text(encoding="utf-8")
    dpg.benchmark.path.write_text(rows.replace("stanford_0,", "50% #1&é,"), "utf-8")
    run = maker_again(dpg).make("run", images=True)
    page = Page(build_report([run], tmp_path / "out")[0])
    source = page.all("img")[0]["src"] or ""
    assert source == "../runs/run/images/50%25%20%231%26%C3%A9.png"


def test_a_missing_picture_is_told(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run", images=True)
    run.image("stanford_0").unlink()
    run.image("COCOval29").write_bytes(b"no image")
    page = Page(build_report([run], tmp_path / "out")[0])
    assert len(page.all("img")) == 10
    assert page.text.count("no picture") == 2


def test_images_of_others_are_shown_from_their_folder(dpg: RunMaker, tmp_path: Path) -> None:
    source = dpg.make("source", images=True)
    elsewhere = {"folder": str(source.images)}
    run = dpg.make("run", kind="images", generation=elsewhere)
    page = Page(build_report([run], tmp_path / "out")[0])
    assert len(page.all("img")) == 12


def test_a_benchmark_that_changed_hides_its_questions(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run", images=True)
    text = dpg.benchmark.path.read_text(encoding="utf-8")
    dpg.benchmark.path.write_text(text.replace("purple", "green"), encoding="utf-8")
    page = Page(build_report([run], tmp_path / "out")[0])
    assert "dpg has changed since these runs" in page.text
    assert "Is the cube" not in page.text
    assert len(page.all("img")) == 12


def test_replayed_answers_are_told_apart_from_a_judge(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run", kind="answers", judge="replay", judge_record={})
    page = Page(build_report([run], tmp_path / "out")[0])
    assert "The answers were replayed from a file" in page.text
    assert "answers were replayed: no picture" in page.text
