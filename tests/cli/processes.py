"""Commands in processes of their own, and what they leave in a run."""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from tests.faults.commands import MODULES
from tests.warm import Warm

TIMES = ("created", "completed", "commands")  # a second start has a time and a command more


@cache
def _warm() -> Warm:
    """Return a process that forks commands; it ends with this one."""
    warm = Warm(*MODULES)
    atexit.register(warm.__exit__, None, None, None)
    return warm


def start(folder: Path, words: tuple[str, ...], *, kill_at: int | None = None) -> int:
    """Run a command in a process of its own, killed at its rename number `kill_at`, from 1."""
    _warm().start(("-q", *words), folder, kill_at_rename=kill_at)
    return _warm().wait().code


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


def begin(folder: Path, words: tuple[str, ...]) -> subprocess.Popen[str]:
    """Start a command and return when it listens: Python's own start is not ours to mend."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dpgbench", *words],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # a shell may start tests with SIGINT ignored, which a child would inherit
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    while process.poll() is None and len(os.listdir(f"/proc/{process.pid}/task")) < 2:  # noqa: PTH208
        time.sleep(0.002)
    return process


def is_whole(run: Path) -> None:
    """See that all that an interrupted command has left in a run is whole."""
    for path in run.glob("images/*"):
        Image.open(path).load()
    for path in (*run.glob("answers/*"), *run.glob("*.jsonl")):
        assert path.read_bytes()[-1:] in (b"", b"\n")
    for path in (*run.glob("*.json"), *run.glob("scores/*/*.json")):
        json.loads(path.read_bytes())
