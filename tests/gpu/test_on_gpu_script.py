"""`benchmarks/on_gpu.py` at tiny size on a CPU: parts tell figures; nothing is compiled."""

import json
import os
import subprocess
import sys

from tests.helpers import REPOSITORY


def test_every_part_tells_figures(tmp_path):
    words = ["--size", "tiny", "--device", "cpu", "--minutes", "5", "--out", str(tmp_path)]
    parts = ["compiled generate", "batches", "memory", "train", "compiled train", "blip"]
    parts += ["judge"]
    environment = {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.on_gpu", *words, "--parts", *parts],
        cwd=REPOSITORY,
        env={**os.environ, **environment, "TORCH_COMPILE_DISABLE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "on_gpu.json").read_text())
    failed = [(part, name) for part, own in figures.items() for name in own if "failed" in name]
    assert failed == []
    assert figures["judge"]["float16: answers as float32"] == "52 of 52"
    compiled = figures["compiled generate"]
    for name in ("ours with ELLA compiled, 4 a call", "ours with ELLA compiled, 1 a call"):
        assert compiled[f"{name}: times as fast as (a)"] > 0
        assert compiled[f"{name}: times as fast as (a) compiled too"] > 0
        assert compiled[f"{name}: connector, milliseconds a grid"] > 0
        assert compiled[f"{name}: denoiser, milliseconds a grid"] > 0
    assert figures["batches"]["auto: prompts a call"] == 4
    trained = figures["train"]
    for name in ("trainer, tar", "trainer, parquet", "trainer compiled, tar"):
        assert trained[f"{name}: samples a second"] > 0
    assert trained["trainer, tar: its step against the bare loop's"] > 0
    assert figures["blip"]["float32: largest_difference_of_p"] < 1e-3
    assert figures["blip"]["float16: images_a_second"]["ours"] > 0


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
