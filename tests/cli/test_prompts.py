"""The benchmarks on the command line."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.helpers import Run, row, write_csv


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    rows = [
        row("a1", 1, question_natural_language="Is there a cat?"),
        row("a1", 2, "1", tuple="attribute - color (cat, red)", text="a prompt for a1"),
        row("7", 1, "9"),
    ]
    return write_csv(tmp_path / "bench.csv", rows)


def test_list(run: Run, bench: Path) -> None:
    ended = run("prompts", "list")
    assert ended.code == 0
    assert "not here yet: dpgbench prompts pull" in ended.out
    assert "shapes" in ended.out
    assert run("prompts", "list", "--bench", bench).out == (
        "a1\ta prompt for a1\n7\ta prompt for 7\n"
    )
    listed = json.loads(run("prompts", "list", "--bench", bench, "--json", "--source", "web").out)
    assert listed["items"] == [
        {"item_id": "7", "source": "web", "questions": 1, "text": "a prompt for 7"}
    ]


def test_show(run: Run, bench: Path) -> None:
    ended = run("prompts", "show", "a1", "--bench", bench)
    assert ended.code == 0
    assert "1. Is there a cat? [entity - whole]\n└── 2. Is there thing 2? [attribute - color]" in (
        ended.out
    )
    shown = json.loads(run("prompts", "show", "a1", "--bench", bench, "--json").out)
    assert shown["questions"][1]["parents"] == [1]


def test_check(run: Run, bench: Path) -> None:
    ended = run("prompts", "check", bench, "--strict")
    assert ended.code == 3
    assert "warning: row 4 (item 7): parent 9 is not a question of this item" in ended.out
    assert "1 unknown_parent" in ended.error
    problems = json.loads(run("prompts", "check", bench, "--json").out)
    assert [(p["row"], p["kind"]) for p in problems["problems"]] == [
        (3, "category_columns"),
        (4, "unknown_parent"),
    ]
    clean = run("prompts", "check", "shapes")
    assert clean.code == 0
    assert "no problem" in clean.err


def test_stats(run: Run, bench: Path) -> None:
    ended = run("prompts", "stats", bench, "--json")
    stats = json.loads(ended.out)
    assert (stats["items"], stats["questions"]) == (2, 3)
    assert stats["sources"] == {"a": 1, "web": 1}
    assert stats["l1"] == {"attribute": 1, "entity": 2}
    assert stats["l2"] == {"attribute - color": 1, "entity - whole": 2}
    assert stats["words"]["mean"] == 4
    assert "3 questions" in run("prompts", "stats", bench).out


def test_pull_real_prompts_then_generate_but_not_score(
    run: Run, shared: Path, tmp_path: Path
) -> None:
    ended = run("prompts", "pull", "--from", shared / "data" / "dpg_bench")
    assert ended.code == 0, ended.err
    assert "1065 prompts verified" in ended.out
    assert "'score' needs 'dpgbench prompts pull'" in ended.err
    stats = json.loads(run("prompts", "stats", "dpg", "--json").out)
    assert stats["items"] == 1065
    assert stats["words"]["mean"] == pytest.approx(67.1, abs=0.05)
    words = ("--model", "tiny-ella-sd15", "--bench", "dpg", "--limit", 2, "--steps", 2)
    assert run("generate", *words, "--out", "r").code == 0
    ended = run("score", "r", "--judge", "tiny-mplug")
    assert ended.code == 4
    assert "dpg_bench.csv is missing" in ended.error


def test_pull_refuses_an_archive_with_a_wrong_byte(run: Run, shared: Path, tmp_path: Path) -> None:
    prompts = shared / "data" / "dpg_bench" / "prompts"
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for path in sorted(prompts.iterdir()):
            data = path.read_bytes()
            if path.name == "100.txt":
                data = data[:-1] + b"!"
            member = tarfile.TarInfo(f"ELLA-x/dpg_bench/prompts/{path.name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    ended = run("prompts", "pull", "--from", "a.tar.gz")
    assert ended.code == 3
    assert "prompts/100.txt differs" in ended.error
    assert run("prompts", "stats", "dpg").code == 4
