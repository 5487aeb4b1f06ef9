"""Stopping at any moment and going on gives the weights of not stopping, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import ella
from ella import ResumeError, files
from tests.ella.tiny_training import RESUMED, TinyPairs, equal, run_tiny
from tests.helpers import REPOSITORY, json_lines

FILES = ("connector", "connector-ema", "checkpoints/step-00000005")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    run_tiny(out, RESUMED)
    return out


def same(one, other):
    pairs = [(load_file(run / f"{file}.safetensors") for run in (one, other)) for file in FILES]
    return all(equal(*pair) for pair in pairs)


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_stopped_after_any_step(tmp_path, whole, stop):
    run_tiny(tmp_path, replace(RESUMED, steps=stop))
    torch.manual_seed(stop)  # nothing may depend on the global generator
    run_tiny(tmp_path, RESUMED)
    assert same(tmp_path, whole)


@pytest.mark.parametrize("broken", [1, 8, 14, 17, 21, 29])
def test_broken_off_within_a_step(tmp_path, whole, broken):
    with pytest.raises(OSError, match="the disk is gone"):
        run_tiny(tmp_path, RESUMED, TinyPairs(broken=broken))
    run_tiny(tmp_path, RESUMED)
    assert same(tmp_path, whole)
    steps = [record["step"] for record in json_lines(tmp_path / "metrics.jsonl")]
    assert steps == [1, 2, 3, 4, 5]


def test_again_after_the_end_changes_nothing(tmp_path):
    first = run_tiny(tmp_path, replace(RESUMED, steps=1))
    before = (tmp_path / "metrics.jsonl").read_text()
    assert equal(first, run_tiny(tmp_path, replace(RESUMED, steps=1)))
    assert (tmp_path / "metrics.jsonl").read_text() == before


KILLED = """
import sys, torch
torch.set_num_threads(1)
from tests.ella.tiny_training import RESUMED, run_tiny
from dataclasses import replace
run_tiny(sys.argv[1], replace(RESUMED, steps=10_000, save_every=1, keep_last=3))
"""


def test_killed(tmp_path):
    out = tmp_path / "killed"
    words = [sys.executable, "-c", KILLED, str(out)]
    process = subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while not list(out.glob("checkpoints/step-0000000[3-9].safetensors")):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = max(int(path.stem[5:]) for path in out.glob("checkpoints/step-*.safetensors"))
    assert len(list(out.glob("checkpoints/step-*.safetensors"))) <= 4
    weights = run_tiny(out, replace(RESUMED, steps=done + 2))
    assert equal(weights, run_tiny(tmp_path / "whole", replace(RESUMED, steps=done + 2)))


def test_other_settings_are_refused_by_name(tmp_path):
    run_tiny(tmp_path, replace(RESUMED, steps=1))
    before = sorted(path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file())
    other = replace(RESUMED, learning_rate=0.5, seed=7)
    with pytest.raises(ResumeError) as refused:
        run_tiny(tmp_path, other, TinyPairs(5))
    message = str(refused.value)
    for words in ("learning_rate: 0.001 -> 0.5", "seed: 0 -> 7", "pairs: 4 -> 5", "captions: "):
        assert words in message
    assert message.count(" -> ") == 4
    with pytest.raises(ResumeError, match="connector start: "):
        run_tiny(tmp_path, RESUMED, connector=ella.new_connector(ella.tiny.tiny_connector().config))
    assert before == sorted(path.read_bytes() for path in tmp_path.glob("**/*") if path.is_file())
    run_tiny(tmp_path, replace(RESUMED, steps=2, save_every=1, keep_last=1, log_every=2, workers=1))


def test_checkpoints_that_stay_and_that_cannot_be_read(tmp_path):
    run_tiny(tmp_path, replace(RESUMED, steps=4, save_every=1, keep_last=2))
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name for path in kept] == [f"step-0000000{n}.safetensors" for n in (3, 4)]
    kept[1].write_bytes(kept[1].read_bytes()[:5000])
    with pytest.raises(ResumeError, match=r"step-00000004.safetensors: damaged .* delete it"):
        run_tiny(tmp_path, RESUMED)
    kept[1].unlink()
    run_tiny(tmp_path, RESUMED)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, whole, monkeypatch):
    real = files.save_file

    def full(tensors, path, **others):
        real(tensors, path, **others)
        if "step-00000004" in str(path):
            raise files.SafetensorError("No space left on device")

    monkeypatch.setattr(files, "save_file", full)
    with pytest.raises(OSError, match=r"step-00000004.*No space left on device"):
        run_tiny(tmp_path, RESUMED)
    names = [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert names == ["step-00000002.safetensors"]
    monkeypatch.setattr(files, "save_file", real)
    run_tiny(tmp_path, RESUMED)
    assert same(tmp_path, whole)


def test_a_file_is_replaced_and_never_written_over(tmp_path):
    path = tmp_path / "a.safetensors"
    files.write_tensors(path, {"x": torch.zeros(3)}, {})
    old = path.read_bytes()
    with path.open("rb") as reader:
        files.write_tensors(path, {"x": torch.ones(3)}, {})
        assert reader.read() == old
    assert path.read_bytes() != old
    assert list(tmp_path.iterdir()) == [path]
