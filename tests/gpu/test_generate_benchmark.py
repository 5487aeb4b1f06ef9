"""`benchmarks/generate.py` at tiny size: every contestant draws, and ratios are of one run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.generate import PARTS, main


def test_every_contestant_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    words = ["--size", "tiny", "--steps", "2", "--prompts", "4", "--rounds", "2"]
    figures = main([*words, "--batch-sizes", "1", "4", "--threads", "1", "--out", str(out)])
    assert json.loads(out.read_text()) == figures
    rounds = figures["rounds"]
    assert list(rounds) == [
        "(a) diffusers, a prompt a call",
        "ours with CLIP, 1 a call",
        "ours with CLIP, 4 a call",
        "(b) ELLA's own way",
        "ours with ELLA, 1 a call",
        "ours with ELLA, 4 a call",
    ]
    assert rounds["(a) diffusers, a prompt a call"]["times as fast as (a)"] == 1
    assert rounds["ours with CLIP, 4 a call"]["times as fast as (a)"] > 1.1
    for parts in figures["parts"].values():
        assert set(parts) == {*PARTS, "whole"}
        assert parts["denoiser"] > 0
        assert parts["VAE"] > 0
        assert parts["writing"] > 0
    assert (
        figures["parts"]["(b) ELLA's own way"]["connector"]
        > (figures["parts"]["ours with ELLA, 4 a call"]["connector"])
    )
    printed = capsys.readouterr().out
    assert "x (a)" in printed
    assert "milliseconds a grid" in printed
