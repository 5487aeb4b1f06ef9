"""`dpgbench score` on several runs, on the newest, and on the wrong judge's world."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.helpers import Run, answers_csv, row, write_csv


@pytest.fixture
def two_runs(run: Run, tmp_path: Path) -> list[str]:
    """Two scored runs of recorded answers under runs/: 100 and 0."""
    write_csv(tmp_path / "b.csv", [row("x", 1), row("a1", 1)])
    names = []
    for age, (name, word) in enumerate({"good": "yes", "poor": "no"}.items()):
        answers_csv(tmp_path / f"{name}.csv", [("x", 0, 1, word), ("a1", 0, 1, word)])
        words = ("--bench", "b.csv", "--answers", f"{name}.csv", "--out", f"runs/{name}")
        assert run("score", *words).code == 0
        os.utime(tmp_path / f"runs/{name}/manifest.json", (1e9 + age, 1e9 + age))
        names.append(f"runs/{name}")
    return names


def test_several_runs_are_scored_in_the_order_named(run: Run, two_runs: list[str]) -> None:
    ended = run("score", *reversed(two_runs), "--rule", "dsg", "--json")
    assert ended.code == 0, ended.err
    results = json.loads(ended.out)["results"]
    assert [(result["model"], result["overall"]) for result in results] == [
        ("poor", 0.0),
        ("good", 100.0),
    ]


def test_all_takes_every_run(run: Run, two_runs: list[str]) -> None:
    ended = run("score", "--all", "--rule", "dsg", "--json")
    assert [result["model"] for result in json.loads(ended.out)["results"]] == ["good", "poor"]
    assert run("score", "--all", two_runs[0]).code == 2


@pytest.mark.usefixtures("two_runs")
def test_a_bare_score_says_which_run_it_took_and_how_many_it_left(run: Run) -> None:
    ended = run("score")
    assert ended.code == 0
    assert "scoring runs/poor, the newest run; 1 other run: --all scores all" in ended.err
    assert run("score", "--quiet").err == ""


def test_one_bad_target_does_not_stop_the_others(run: Run, two_runs: list[str]) -> None:
    ended = run("score", "absent", two_runs[0], "also-absent", "--json")
    assert ended.code == 3
    assert len(json.loads(ended.out)["results"]) == 2
    assert ended.err.count("error: ") == 2
    assert "absent is not there" in ended.err


@pytest.mark.parametrize("option", ["--out", "--name"])
def test_options_of_one_target_are_refused_for_several(
    run: Run, two_runs: list[str], option: str
) -> None:
    ended = run("score", *two_runs, option, "z")
    assert ended.code == 2
    assert f"{option} is for one run or folder; 2 are named" in ended.error


@pytest.mark.parametrize(
    ("bench", "judge", "hint"),
    [("shapes", "mplug", "--judge tiny-mplug"), ("b.csv", "tiny-mplug", "--judge mplug")],
)
def test_the_judge_of_the_world_is_hinted_at(
    run: Run, tmp_path: Path, bench: str, judge: str, hint: str
) -> None:
    from PIL import Image

    from dpgbench.store.benchmarks import load_benchmark

    write_csv(tmp_path / "b.csv", [row("x", 1)])
    (tmp_path / "p").mkdir()
    item = next(iter(load_benchmark(bench).prompts))
    Image.new("RGB", (64, 64)).save(tmp_path / f"p/{item}.png")
    words = ("score", "p", "--bench", bench, "--judge", judge, "--out", "r", "--max-requests", 1)
    assert run(*words).code == 2  # an option of another judge: no work is done
    ended = run(*words[:-2], "--weights", "judge=nowhere")
    assert hint in ended.err
    assert "hint" not in run(*words[:-2], "--weights", "judge=nowhere", "-q").err


def test_help_names_every_rule_and_completion_offers_values(run: Run, tmp_path: Path) -> None:
    from dpgbench.cli.options import complete_bench, complete_judge, complete_model, complete_rule
    from dpgbench.domain.rules import RULES

    text = "".join(run("score", "--help").out.split())
    assert all(rule in text for rule in RULES)
    assert complete_rule("ella-") == ["ella-reference"]
    assert complete_judge("tiny") == ["tiny-mplug"]
    assert "ella-sd15" in complete_model("ella")
    write_csv(tmp_path / "sheet.csv", [row("x", 1)])
    (tmp_path / "shelf").mkdir()
    assert complete_bench("sh") == ["shapes", "sheet.csv", "shelf/"]


@pytest.mark.parametrize(
    ("words", "choice"),
    [("score --rule u", "ulmeval"), ("generate --model tiny", "tiny-sd15"),
     ("doctor --judge tiny", "tiny-mplug"), ("prompts show --bench sha", "shapes")],
)  # fmt: skip
def test_the_shell_is_offered_values(
    run: Run, monkeypatch: pytest.MonkeyPatch, words: str, choice: str
) -> None:
    monkeypatch.setenv("_DPGBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"dpgbench {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    assert choice in run().out.split()


@pytest.mark.parametrize(
    "words",
    [("models",), ("judges",), ("prompts", "list"), ("report", "--help"),
     ("judges", "compare", "--help")],
)  # fmt: skip
def test_quiet_works_after_every_command(run: Run, words: tuple[str, ...]) -> None:
    assert run(*words, "-q").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("score", "absent", "--judge", "tiny-mplug"),
        ("score", "--bench", "b.csv", "--answers", "absent.csv"),
        ("score", "p", "--bench", "absent.csv", "--judge", "tiny-mplug"),
        ("report", "absent", "--out", "rep"),
        ("compare", "absent", "absent"),
        ("judges", "compare", "absent.csv", "b.csv", "--bench", "b.csv"),
        ("judges", "compare", "absent.jsonl", "b.csv", "--bench", "b.csv"),
        ("judges", "compare", "x", "y", "--run", "absent"),
        ("judges", "compare", "b.csv", "--bench", "b.csv", "--human", "absent.csv"),
        ("generate", "--model", "tiny-sd15", "--bench", "absent.csv"),
        ("generate", "--model", "tiny-sd15", "--bench", "nowhere/absent.csv"),
        ("prompts", "check", "absent.csv"),
        ("prompts", "list", "--bench", "absent.csv"),
        ("prompts", "stats", "--bench", "absent.csv"),
        ("prompts", "show", "x", "--bench", "absent.csv"),
        ("prompts", "pull", "--from", "absent.zip"),
    ],
    ids=" ".join,
)
def test_a_path_that_is_not_there_ends_with_3(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    write_csv(tmp_path / "b.csv", [row("x", 1)])
    (tmp_path / "p").mkdir()
    ended = run(*words)
    assert ended.code == 3, ended.err
    assert "absent" in ended.error
