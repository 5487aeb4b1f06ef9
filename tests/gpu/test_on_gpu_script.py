"""`benchmarks/on_gpu.py` at tiny size on a CPU: every part that needs no compiler tells figures."""

import json
import os
import subprocess
import sys

from tests.helpers import REPOSITORY


def test_every_part_tells_figures(tmp_path):
    words = ["--size", "tiny", "--device", "cpu", "--minutes", "5", "--out", str(tmp_path)]
    parts = ["judge", "generate", "train"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.on_gpu", *words, "--parts", *parts],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "on_gpu.json").read_text())
    assert [part for part in parts if "failed" in figures[part]] == []
    assert figures["judge"]["float16: answers as float32"] == "52 of 52"
    drawn = figures["generate"]
    for name in (
        "(a) diffusers, a prompt a call",
        "(b) ELLA's own way",
        "ours with ELLA, 4 a call",
    ):
        assert drawn[f"{name}: images a second"] > 0
        assert drawn[f"{name}: denoiser, milliseconds a grid"] > 0
    assert figures["train"]["samples a second, median of the later half"] > 0


def test_without_time_nothing_begins(tmp_path):
    words = ["--size", "tiny", "--device", "cpu", "--minutes", "0", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.on_gpu", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "on_gpu.json").read_text())
    assert {figures[part]["left out"] for part in ("golden", "judge", "train")} == {"no time left"}
