"""A kill at any rename loses nothing: the same command again ends as if undisturbed."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.own_parts import GENERATE, SCORE, write_parts

MOST = 40  # renames of one of these commands, with room
CALLS = "rename,renameat,renameat2"
TIMES = ("created", "completed", "commands")  # a second start has a time and a command more


def start(folder: Path, words: tuple[str, ...], *, kill_at: int | None = None) -> int:
    """Run the command line in `folder`, killed at its rename number `kill_at`, from 1."""
    tracer = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={CALLS}"]
    tracer += ["-e", f"inject={CALLS}:signal=KILL:when={kill_at}"]
    ended = subprocess.run(
        [*(tracer if kill_at else ()), sys.executable, "-m", "dpgbench", "-q", *words],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},  # its renames are not ours
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode


def content(folder: Path) -> dict[str, Any]:
    """Return everything in a run by path, without the times at which things were done."""
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name == ".lock":
            continue
        files[name] = path.read_bytes()
        if path.name == "manifest.json":
            record = json.loads(files[name])
            files[name] = {key: value for key, value in record.items() if key not in TIMES}
        elif path.name == "images.jsonl":
            lines = [json.loads(line) for line in files[name].splitlines()]
            files[name] = [{**line, "seconds": None} for line in lines]
    return files


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `drawn`, a run after `generate`, and `scored`, the same after `score`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_parts(folder / "drawn")
    assert start(folder / "drawn", (*GENERATE, "--bench", "b.csv")) == 0
    shutil.copytree(folder / "drawn", folder / "scored")
    assert start(folder / "scored", (*SCORE, "--bench", str(folder / "drawn/b.csv"))) == 0
    return folder


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
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
