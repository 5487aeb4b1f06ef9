"""The embedded world by `--engine ray`, on a cluster that the command starts and ends itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.parts import content
from tests.helpers import Run, run_process

GENERATE = (
    "generate",
    "--model",
    "tiny-ella-sd15",
    "--device",
    "cpu",
    "--items",
    "few_001,many_002",
    "--num-images",
    "2",
    "--steps",
    "3",
)
SCORE = ("--judge", "tiny-mplug", "--device", "cpu")
WORKERS = ("--engine", "ray", "--workers", 1)


@pytest.fixture(autouse=True)
def _needs_ray() -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install 'dpgbench[ray]'")


def test_the_steps_of_the_demo_give_what_they_give_in_one_process(run: Run, tmp_path: Path) -> None:
    for words in ((*GENERATE, "--out", "here"), ("score", "here", *SCORE)):
        assert run(*words).code == 0
    for words in ((*GENERATE, "--out", "there"), ("score", "there", *SCORE)):
        ended = run_process(*words, *WORKERS, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert "ray" not in ended.stderr.lower()
    assert content(tmp_path / "there") == content(tmp_path / "here")
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if _of(path, tmp_path)]


@pytest.mark.slow
def test_the_demo_gives_what_it_gives_in_one_process(run: Run, tmp_path: Path) -> None:
    here = run("demo", "--limit", 6, "--out", "here")
    there = run_process("demo", "--limit", 6, "--out", "there", *WORKERS[:3], 2, cwd=tmp_path)
    assert (here.code, there.returncode) == (0, 0), there.stderr
    assert there.stdout == here.out.replace("here", "there")
    for model in ("tiny-sd15", "tiny-ella-sd15"):
        assert content(tmp_path / "there" / model) == content(tmp_path / "here" / model)


def _of(cmdline: Path, folder: Path) -> bool:
    """Return whether a process works in a folder."""
    try:
        return (cmdline.parent / "cwd").resolve() == folder and b"ray" in cmdline.read_bytes()
    except OSError:
        return False
