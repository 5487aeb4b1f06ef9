"""The trainer's step beside a bare loop: the benchmark runs, and its loops do the same work."""

from __future__ import annotations

import json

from benchmarks import train


def test_the_benchmark_measures_both_loops(tmp_path):
    out = tmp_path / "train.json"
    figures = train.main(["--size=tiny", "--steps=4", "--batch=2", f"--out={out}"])
    assert json.loads(out.read_text()) == figures
    ratio = figures["trainer, ms a step"] / figures["bare loop, ms a step"]
    assert figures["trainer / bare loop"] == ratio
    assert ratio < 5
