"""docs/own-prompts.md: its commands and its Python, run as they stand."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.helpers import REPOSITORY, Run

PAGE = (REPOSITORY / "docs/own-prompts.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_whole_way_from_three_prompts_to_a_report(run: Run, tmp_path: Path) -> None:
    (script,) = blocks("bash")
    name, prompts, commands = re.fullmatch(
        r"cat > (\S+) <<'END'\n(.*\n)END\n(.*)", script, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    (tmp_path / name).write_text(prompts)
    ended = {}
    for line in commands.split("\n"):
        if line:
            program, *words = shlex.split(line)
            assert program == "dpgbench"
            command = " ".join(words[:2]) if words[0] == "prompts" else words[0]
            ended[command] = run(*words)
            assert ended[command].code == 0, ended[command].err
    assert "3 of 3 prompts" in ended["prompts make"].out
    assert "no problem" in ended["prompts check"].err
    assert "Is there" in ended["prompts show"].out
    assert "tiny-ella-sd15" in (tmp_path / "report/leaderboard.html").read_text()
    assert (tmp_path / "review.html").stat().st_size > 1000
    scores = next((tmp_path / "runs/mine/scores").rglob("corrected-v1.json"))
    assert json.loads(scores.read_text())["items_scored"] == 3


def test_python_on_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = blocks("python")
    exec(compile(block, "docs/own-prompts.md", "exec"), {})
    assert capsys.readouterr().out.startswith("1 {} ")


def test_the_page_says_what_the_code_does() -> None:
    from dpgbench.jobs.make.conversation import MakeSettings
    from dpgbench.jobs.make.template import TEMPLATE

    assert f"version `{TEMPLATE}`" in PAGE
    assert f"`--max-questions` ({MakeSettings().max_questions})" in PAGE
