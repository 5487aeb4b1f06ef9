"""Starts of a training that cannot go on, or must not: one line each, and nothing lost."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from ella import TrainingError, tiny, train
from ella.data.pairs import DataSource, IndexedPairs
from ella.train import _nothing_left
from ella.whole_files import locked
from tests.ella.data_layouts import as_captions
from tests.ella.tiny_training import TinyPairs, run_tiny


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    encoder = tiny.tiny_text_encoder()
    tiny.tiny_pipeline().save_pretrained(folder / "base")
    encoder.model.save_pretrained(folder / "t5")
    encoder.tokenizer.save_pretrained(folder / "t5")
    as_captions(folder / "data", 4)
    named = [f"--base={folder / 'base'}", f"--text-encoder={folder / 't5'}", "--device=cpu"]
    return [*named, f"--data={folder / 'data'}", "--steps=1", "--batch-size=2"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--largest-aspect=2", "--bucket-px=10"], "`bucket_px` must be a multiple of 8, got 10"),
        (["--config=empty.toml"], "--data: names no data"),
    ],
)
def test_settings_that_cannot_be(tmp_path, words, monkeypatch, capfd, more, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.toml").write_text("data = []\n")
    if "--config=empty.toml" in more:
        words = [word for word in words if not word.startswith("--data")]
    capfd.readouterr()
    assert train.main([*words, *more, "--out=out"]) == 1
    assert [line for line in capfd.readouterr().err.splitlines() if "error: " in line] == [
        f"error: {said}"
    ]


def test_a_share_below_a_sample_is_refused_before_anything_is_loaded(tmp_path):
    as_captions(tmp_path / "data", 2)
    sources = [DataSource(tmp_path / "data", 1e-5), DataSource(tmp_path / "data", 1.0)]
    with pytest.raises(ValueError, match="must each be at least 1/10000"):
        IndexedPairs.open(sources, tmp_path / "cache")


def test_one_process_trains_into_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    hold = (
        "import sys, pathlib; from ella.whole_files import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), wait=False): print('held', flush=True); input()"
    )
    lock = tmp_path / "out/.training.lock"
    command = [sys.executable, "-c", hold, str(lock)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(TrainingError, match="another process trains into this folder"):
        run_tiny(tmp_path / "out", pairs=TinyPairs(2))
    other.kill()
    other.wait()
    other.stdin.close()
    other.stdout.close()
    run_tiny(tmp_path / "out", pairs=TinyPairs(2))
    assert not lock.exists()


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path):
    with locked(tmp_path / "lock", wait=True):
        with pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
            pass
        assert (tmp_path / "lock").exists()
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize(("error", "seconds", "stays"), [
    (ValueError, 60, False), (ValueError, 0, True), (KeyboardInterrupt, 60, True),
])  # fmt: skip
def test_an_index_that_took_long_outlives_an_error(tmp_path, error, seconds, stays):
    with pytest.raises(error), _nothing_left(tmp_path / "out", seconds):
        (tmp_path / "out").mkdir()
        raise error
    assert (tmp_path / "out").exists() == stays


@pytest.mark.parametrize("error", [
    MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.\n See ..."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
])  # fmt: skip
def test_memory_that_runs_out_is_one_line(words, tmp_path, monkeypatch, capsys, error):
    def fail(settings):
        raise error

    monkeypatch.setattr(train, "_train", fail)
    assert train.main([*words, f"--out={tmp_path / 'out'}"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: out of memory (")
    assert shown.count("\n") == 1
