"""A kill at any rename loses nothing: the same command again ends as if undisturbed."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.own_parts import GENERATE, SCORE, write_parts
from tests.cli.processes import content, start

MOST = 40  # renames of one of these commands, with room


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `drawn`, a run after `generate`, and `scored`, the same after `score`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_parts(folder / "drawn")
    assert start(folder / "drawn", (*GENERATE, "--bench", "b.csv")) == 0
    shutil.copytree(folder / "drawn", folder / "scored")
    assert start(folder / "scored", (*SCORE, "--bench", str(folder / "drawn/b.csv"))) == 0
    return folder


@pytest.mark.parametrize("command", ["generate", "score"])
def test_after_a_kill_at_any_rename_the_same_command_goes_on(
    undisturbed: Path, tmp_path: Path, command: str
) -> None:
    bench = ("--bench", str(undisturbed / "drawn/b.csv"))
    words = (*(GENERATE if command == "generate" else SCORE), *bench)
    wanted = content(undisturbed / ("drawn" if command == "generate" else "scored") / "r")
    for number in range(1, MOST):
        folder = tmp_path / str(number)
        if command == "score":
            shutil.copytree(undisturbed / "drawn", folder)
        else:
            write_parts(folder)
        if start(folder, words, kill_at=number) == 0:
            assert number > 5  # the kills did come
            return
        if (folder / "r" / "scores").exists():
            assert not list((folder / "r" / "scores").glob("*/.*"))
        assert start(folder, words) == 0
        assert content(folder / "r") == wanted
    pytest.fail("the command never ended undisturbed")


def test_what_older_versions_left_is_no_result_and_is_swept(
    undisturbed: Path, tmp_path: Path
) -> None:
    from dpgbench.store.run.directory import RunDir

    shutil.copytree(undisturbed / "scored", tmp_path / "x")
    run = RunDir(tmp_path / "x/r")
    before = run.score_files()
    (before[0].parent / ".part-zz.json").write_text("")
    (run.path / "answers/.part-yy.jsonl").write_text("")
    (run.path / "images/.part-xx.png").write_text("")
    assert run.score_files() == before
    with run.locked():
        pass
    assert not list(run.path.rglob(".part-*"))


def test_parts_of_dead_writers_are_swept_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    from dpgbench.store.files import PART, write_atomic

    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    machine = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
    left = tmp_path / f"{PART}{machine}-{dead.pid}-x"
    living = tmp_path / f"{PART}{machine}-{os.getpid()}-x"
    stranger = tmp_path / f"{PART}00000000-{dead.pid}-x"
    for path in (left, living, stranger):
        path.write_text("")
    write_atomic(tmp_path / "a.txt", "b")
    assert [path.exists() for path in (left, living, stranger)] == [False, True, True]
