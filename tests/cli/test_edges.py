"""Edges that an independent check of the first version found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import Run, answers_csv, row, write_csv

TINY = ("generate", "--model", "tiny-sd15", "--steps", 2, "--bench")


def test_a_run_is_scored_from_another_folder(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(tmp_path / "b.csv", [row("a1", 1)])
    assert run(*TINY, "b.csv", "--out", "r").code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run("score", "../r", "--judge", "tiny-mplug").code == 0
    (tmp_path / "b.csv").unlink()
    ended = run("score", "../r", "--judge", "tiny-mplug")
    assert ended.code == 3
    assert "b.csv is gone; name a copy of it with --bench" in ended.error


def test_an_item_that_comes_back_with_the_same_numbers(run: Run, tmp_path: Path) -> None:
    rows = [row("x", 1), row("a1", 1), row("b2", 1), row("a1", 1)]
    bench = write_csv(tmp_path / "b.csv", rows)
    cells = [("x", 0, 1, "yes"), ("a1", 0, 1, "no"), ("b2", 0, 1, "yes")]
    words = ("score", "--bench", bench, "--answers", answers_csv(tmp_path / "a.csv", cells))
    ended = run(*words, "--rule", "ella-reference", "--json", "--partial")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["results"][0]["overall"] == 50.0
    for rule in ("corrected-v1", "dsg", "ulmeval"):
        ended = run(*words, "--rule", rule, "--partial")
        assert ended.code == 3
        assert "row 5 (item a1): question 1 stands at row 3 already" in ended.error


def test_the_manifest_holds_every_argument_of_the_scheduler(run: Run, tmp_path: Path) -> None:
    from diffusers import DPMSolverMultistepScheduler

    write_csv(tmp_path / "b.csv", [row("a1", 1)])
    run(*TINY, "b.csv", "--out", "r")
    spec = json.loads((tmp_path / "r/manifest.json").read_text())["identity"]["generation"]
    whole = {k for k in DPMSolverMultistepScheduler().config if not k.startswith("_")}
    assert spec["scheduler_config"].keys() == whole
    assert spec["scheduler_config"]["lambda_min_clipped"] == "-inf"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--guidance", "nan"], "a finite number"),
        (["--width", 65], "multiples of 8"),
        (["--option", "text_length=fixed"], "write NAME=VALUE"),
        (["--limit", 0], "at least 1"),
    ],
)
def test_settings_are_refused_before_any_work(
    run: Run, tmp_path: Path, words: list[object], says: str
) -> None:
    ended = run(*TINY, "shapes", "--out", "r", *words)
    assert ended.code == 2
    assert says in ended.error
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("words", [("--limit", 0), ("--num-images", 0), ("--num-images", 11)])
def test_wrong_numbers_for_recorded_answers(
    run: Run, tmp_path: Path, words: tuple[object, ...]
) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1)])
    answers = answers_csv(tmp_path / "a.csv", [("a1", 0, 1, "yes")])
    assert run("score", "--bench", bench, "--answers", answers, *words).code == 2


def test_a_run_without_a_single_image_has_a_result(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad_model.py").write_text(
        "class Bad:\n    width_px = height_px = 8\n"
        "    def draw(self, prompt, seeds):\n        raise RuntimeError('no')\n"
    )
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1), row("a2", 1)])
    words = ("generate", "--model", "bad_model:Bad", "--bench", bench, "--out", "r")
    assert run(*words).code == 6
    ended = run("score", "r", "--judge", "tiny-mplug", "--json")
    assert ended.code == 6
    result = json.loads(ended.out)["results"][1]
    assert result["overall"] is None
    assert result["failures"] == {"a1": "RuntimeError: no", "a2": "RuntimeError: no"}


def test_pictures_that_fit_no_item_are_told(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1)])
    (tmp_path / "p").mkdir()
    for name in ("a1.png", "zz.png"):
        Image.new("RGB", (16, 16)).save(tmp_path / "p" / name)
    words = ("score", "p", "--bench", bench, "--judge", "tiny-mplug", "--out", "r")
    assert "1 image of p is named after no item" in run(*words).err
    Image.new("RGB", (16, 16)).save(tmp_path / "p/a1.jpg")
    ended = run(*words)
    assert ended.code == 3
    assert "a1.png and a1.jpg; keep one image of a1" in ended.error


def test_a_cut_zip_is_called_cut(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04" + b"x" * 100)
    ended = run("prompts", "pull", "--from", "cut.zip")
    assert ended.code == 3
    assert "cut off or damaged" in ended.error


def test_an_unknown_item_of_many_is_a_short_line(run: Run) -> None:
    ended = run("prompts", "show", "zzzzzzzz", "--bench", "shapes")
    assert ended.code == 2
    assert len(ended.error) < 400


def test_a_judge_that_never_answered_binds_nobody(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1)])
    (tmp_path / "p").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "p/a1.png")
    (tmp_path / "late_judge.py").write_text(
        "from pathlib import Path\nfrom dpgbench import JudgeAnswer\n"
        "class J:\n    num_images_at_once = 1\n"
        "    def __init__(self, request): pass\n"
        "    def describe(self): return {'version': Path('version').read_text()}\n"
        "    def ask(self, tiles):\n"
        "        if Path('version').read_text() == '1': raise ValueError('not yet')\n"
        "        return [[JudgeAnswer('yes') for _ in t.questions] for t in tiles]\n"
    )
    (tmp_path / "version").write_text("1")
    words = ("score", "p", "--bench", bench, "--judge", "late_judge:J", "--out", "r")
    assert run(*words).code == 6
    (tmp_path / "version").write_text("2")
    assert run(*words).code == 0
    (tmp_path / "version").write_text("3")
    assert run(*words).code == 0  # all is answered: the judge is not even loaded


def test_a_report_of_a_row_without_a_scored_item(run: Run, tmp_path: Path) -> None:
    run(*TINY, "shapes", "--limit", 1, "--out", "one")
    run("score", "one", "--judge", "tiny-mplug", "--partial")
    ended = run("report", "one", "--out", "rep", "--figures", "figs")
    assert ended.code == 0, ended.err
    assert 'd="M"' not in (tmp_path / "rep/leaderboard.html").read_text()
    assert list((tmp_path / "figs").glob("*.png"))
    assert run("report", "one", "--out", "z.txt").code == 2


def test_images_and_recorded_answers_do_not_go_together(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a1", 1)])
    answers = answers_csv(tmp_path / "a.csv", [("a1", 0, 1, "yes")])
    (tmp_path / "p").mkdir()
    ended = run("score", "p", "--bench", bench, "--answers", answers)
    assert ended.code == 2
    assert "not both" in ended.error


@pytest.mark.parametrize(
    ("name", "flag"),
    [("mplug:first-token", "--decode first-token"), ("tiny-mplug:bfloat16", "--dtype bfloat16")],
)
def test_the_name_in_a_result_leads_to_its_options(run: Run, name: str, flag: str) -> None:
    ended = run("score", "p", "--bench", "shapes", "--judge", name)
    assert ended.code == 2
    assert flag in ended.error
