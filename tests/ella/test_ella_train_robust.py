"""What a long run meets: damaged pictures, other processes, bad gradients, kills, full disks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

import ella
from ella import ResumeError, TrainingError, tiny, train
from tests.ella.data_layouts import LAYOUTS, as_captions, as_sidecars, as_tars
from tests.ella.tiny_training import (
    QUICK,
    TinyPairs,
    check_learnt_alike,
    equal,
    metrics,
    run_tiny,
)
from tests.helpers import REPOSITORY


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models in folders, as a user has them."""
    where = tmp_path_factory.mktemp("folders")
    encoder = tiny.tiny_text_encoder()
    tiny.tiny_pipeline().save_pretrained(where / "base")
    encoder.model.save_pretrained(where / "t5")
    encoder.tokenizer.save_pretrained(where / "t5")
    tiny.tiny_connector().save_safetensors(where / "start.safetensors")
    return where


@pytest.fixture
def words(folders):
    """The command line without data and out."""
    named = [f"--base={folders / 'base'}", f"--text-encoder={folders / 't5'}"]
    named += [f"--init={folders / 'start.safetensors'}", "--device=cpu", "--batch-size=4"]
    return [*named, "--learning-rate=0.001", "--log-every=1"]


NUM_PAIRS = 32


def launch(words, processes=2, script="-m ella.train"):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    run = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
    run += [f"--master-port={port}", *script.split(), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    return subprocess.run(
        run, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=100,
        check=False,
    )  # fmt: skip


def errors_of(text):
    return [line for line in text.splitlines() if line.startswith("error: ")]


def test_the_same_pairs_in_any_layout_train_alike(tmp_path, words, capsys):
    files = []
    for layout in LAYOUTS:
        LAYOUTS[layout](tmp_path / layout, NUM_PAIRS)
        out = tmp_path / f"out of {layout}"
        more = [f"--data={tmp_path / layout}", f"--out={out}", "--steps=10", "--ema-decay=0"]
        assert train.main([*words, *more]) == 0, layout
        files.append((out / "connector.safetensors").read_bytes())
    assert len(set(files)) == 1
    assert "1 process on cpu; global batch 4" in capsys.readouterr().err


def damage(folder, numbers):
    for number in numbers:
        path = folder / f"{number:04d}.png"
        path.write_bytes(path.read_bytes()[:60])


DAMAGED = (3, 15, 30)


@pytest.mark.slow
def test_damaged_pictures_are_left_out_alike_by_two_processes(tmp_path, words):
    as_sidecars(tmp_path / "data", NUM_PAIRS)
    damage(tmp_path / "data", DAMAGED)
    words += [f"--data={tmp_path / 'data'}", "--ema-decay=0", "--steps=16"]
    assert train.main([*words, f"--out={tmp_path / 'one'}"]) == 0
    for workers in (0, 2):
        out = tmp_path / f"two{workers}"
        ended = launch([*words, f"--out={out}", "--batch-size=2", f"--workers={workers}"])
        assert ended.returncode == 0, ended.stderr[-2000:]
        assert f"3 of {NUM_PAIRS} pairs could not be used" in ended.stderr
        assert "2 processes on cpu; global batch 4" in ended.stderr
        check_learnt_alike(tmp_path / "one/connector.safetensors", out / "connector.safetensors")
    ended = launch([*words, f"--out={tmp_path / 'strict'}", "--batch-size=2", "--max-bad=2"])
    assert ended.returncode != 0
    assert len(errors_of(ended.stderr)) == 1


def test_damaged_pictures_are_left_out_alike_by_all(tmp_path, words, capsys):
    as_sidecars(tmp_path / "data", NUM_PAIRS)
    damage(tmp_path / "data", DAMAGED)
    words += [f"--data={tmp_path / 'data'}", "--ema-decay=0"]
    runs = {
        "plain": ["--workers=0"],
        "workers": ["--workers=2"],
    }
    for name, more in runs.items():
        assert train.main([*words, *more, f"--out={tmp_path / name}", "--steps=16"]) == 0
        said = capsys.readouterr().err
        assert f"3 of {NUM_PAIRS} pairs could not be used" in said
        lines = (tmp_path / name / "damaged.jsonl").read_text().splitlines()
        listed = [json.loads(line)["picture"] for line in lines]
        assert sorted(listed) == [str(tmp_path / f"data/{n:04d}.png") for n in DAMAGED]
        assert all(picture in said for picture in listed)
    again = [*words, f"--out={tmp_path / 'again'}"]
    assert train.main([*again, "--steps=5"]) == 0
    assert train.main([*again, "--steps=16", "--workers=1"]) == 0
    one = (tmp_path / "plain/connector.safetensors").read_bytes()
    for name in ("workers", "again"):
        assert (tmp_path / name / "connector.safetensors").read_bytes() == one
    capsys.readouterr()
    more = [f"--out={tmp_path / 'strict'}", "--steps=16", "--max-bad=2", "--workers=2"]
    assert train.main([*words, *more]) == 1
    (error,) = errors_of(capsys.readouterr().err)
    assert f"3 of {NUM_PAIRS} pairs cannot be used, more than --max-bad 2 allows" in error


OWN_FOLDERS = """
import os, sys
from ella import train
out = sys.argv.pop(1)
rank = os.environ["RANK"]
sys.exit(train.main([*sys.argv[1:], f"--out={out}/node-{rank}"]))
"""


@pytest.mark.slow
def test_another_number_of_processes_and_folders_of_their_own(tmp_path, words):
    as_captions(tmp_path / "data", 24)
    words += [f"--data={tmp_path / 'data'}", "--text-cache=disk", "--latent-cache=disk"]
    assert train.main([*words, f"--out={tmp_path / 'one'}", "--steps=12"]) == 0
    two = [word for word in words if word != "--batch-size=4"] + ["--batch-size=2"]
    (tmp_path / "own.py").write_text(OWN_FOLDERS)
    script = f"{tmp_path / 'own.py'} {tmp_path / 'own'}"
    ended = launch([*two, "--steps=4"], script=script)
    assert ended.returncode == 0, ended.stderr[-2000:]
    out = tmp_path / "own/node-0"
    assert not (tmp_path / "own/node-1/checkpoints").exists()
    assert train.main([*two, f"--out={out}", "--steps=8"]) == 0
    ended = launch([*two, "--steps=12"], script=script)
    assert ended.returncode == 0, ended.stderr[-2000:]
    check_learnt_alike(tmp_path / "one/connector.safetensors", out / "connector.safetensors")
    assert [line["step"] for line in metrics(out)] == list(range(1, 13))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_is_left_out(tmp_path, monkeypatch, value, capsys):
    from accelerate import Accelerator

    real = Accelerator.clip_grad_norm_
    calls = []

    def clip(self, parameters, *arguments, **options):
        parameters = list(parameters)
        calls.append(1)
        if len(calls) in (2, 4):  # of them step 4 saves
            parameters[0].grad.view(-1)[0] = value
        return real(self, parameters, *arguments, **options)

    monkeypatch.setattr(Accelerator, "clip_grad_norm_", clip)
    config = replace(QUICK, steps=5, save_every=2, keep_last=9, ema_decay=0.9)
    run_tiny(tmp_path, config)
    files = list(tmp_path.rglob("*.safetensors"))
    assert len(files) == 5
    for file in files:
        assert all(torch.isfinite(tensor).all() for tensor in load_file(file).values()), file
    one, two = (load_file(tmp_path / f"checkpoints/step-0000000{n}.safetensors") for n in (2, 4))
    assert any(not torch.equal(one[name], two[name]) for name in one)
    assert [line["skipped_steps"] for line in metrics(tmp_path)] == [0, 1, 1, 2, 2]
    assert "2 steps were left out" in capsys.readouterr().err


def test_too_many_in_a_row_stop_and_the_way_out_is_open(tmp_path, monkeypatch):
    from accelerate import Accelerator

    real = Accelerator.clip_grad_norm_

    def clip(self, parameters, *arguments, **options):
        parameters = list(parameters)
        parameters[0].grad.view(-1)[0] = float("nan")
        return real(self, parameters, *arguments, **options)

    config = replace(QUICK, steps=9, keep_last=1, save_every=1)
    run_tiny(tmp_path, replace(config, steps=2))
    with monkeypatch.context() as patch:
        patch.setattr(Accelerator, "clip_grad_norm_", clip)
        with pytest.raises(TrainingError, match=r"gradient of step 3 is nan, and 2 more in a row"):
            run_tiny(tmp_path, config)
    slower = replace(config, learning_rate=1e-4)
    with pytest.raises(ResumeError, match=r"learning_rate: 0.001 -> 0.0001.*--allow learning_rate"):
        run_tiny(tmp_path, slower)
    weights = run_tiny(tmp_path, replace(slower, allow="learning_rate"))
    assert all(torch.isfinite(tensor).all() for tensor in weights.values())
    run_tiny(tmp_path, replace(slower, steps=10))


def test_grown_data_is_allowed_by_name(tmp_path, words, capsys):
    as_captions(tmp_path / "data", 8)
    words += [f"--data={tmp_path / 'data'}", f"--out={tmp_path / 'out'}"]
    assert train.main([*words, "--steps=2"]) == 0
    as_captions(tmp_path / "data", 12)
    capsys.readouterr()
    assert train.main([*words, "--steps=4"]) == 1
    (error,) = errors_of(capsys.readouterr().err)
    assert "pairs: 8 -> 12" in error
    assert "--allow captions,pairs" in error
    assert train.main([*words, "--steps=4", "--allow=data"]) == 0
    assert train.main([*words, "--steps=4", "--allow=dat"]) == 1
    assert "did you mean data" in capsys.readouterr().err


def test_runs_from_before_there_were_indexes_go_on(tmp_path, words, monkeypatch, capsys):
    """Their checkpoints name the parts of the batch, and no order."""
    from ella.training import checkpoints

    as_captions(tmp_path / "data", 12)
    pairs = ella.FolderPairs(tmp_path / "data")
    config = replace(QUICK, batch_size=4)
    whole = run_tiny(tmp_path / "whole", replace(config, steps=6), pairs)
    run_tiny(tmp_path / "old", replace(config, steps=3), pairs)
    (file,) = (tmp_path / "old/checkpoints").iterdir()
    old = checkpoints._read(file)
    settings = {name: old.settings[name] for name in old.settings if name != "global_batch"}
    settings |= {"batch_size": 4, "accumulation": 1, "processes": 1}
    checkpoints.Checkpoints(file.parent, 2).save(old._replace(settings=settings))
    words += [f"--data={tmp_path / 'data'}", f"--out={tmp_path / 'old'}", "--steps=6"]
    assert train.main([*words, "--log-every=1"]) == 0
    assert equal(load_file(tmp_path / "old/connector.safetensors"), whole)


@pytest.mark.slow
def test_three_kills_leave_nothing(tmp_path):
    code = (
        "import sys, torch\ntorch.set_num_threads(1)\n"
        "from dataclasses import replace\nfrom tests.ella.tiny_training import RESUMED, run_tiny\n"
        "run_tiny(sys.argv[1], replace(RESUMED, steps=int(sys.argv[2]), save_every=1,"
        " latent_cache='disk', text_cache='disk'))\n"
    )
    out = tmp_path / "out"
    for kill in range(3):
        process = subprocess.Popen([sys.executable, "-c", code, str(out), "10000"], cwd=REPOSITORY)
        until = time.monotonic() + 60
        wanted = 3 * (kill + 1)
        while time.monotonic() < until and process.poll() is None:
            steps = [int(p.stem[5:]) for p in out.glob("checkpoints/step-*.safetensors")]
            part = list(out.glob("checkpoints/.step*"))
            if steps and max(steps) >= wanted and (part or max(steps) > wanted + 10):
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    (out / "checkpoints/.step-00000001.safetensors.abcd1234").mkdir()  # as older versions left it
    done = max(int(p.stem[5:]) for p in out.glob("checkpoints/step-*.safetensors"))
    subprocess.run(
        [sys.executable, "-c", code, str(out), str(done + 1)], cwd=REPOSITORY, check=True
    )
    hidden = list(out.rglob(".*"))
    assert hidden == []


def test_two_data_sets_with_equal_names_share_a_cache_and_never_mix(tmp_path):
    class Other(TinyPairs):
        def image(self, index):
            return super().image(index + 100)

    config = replace(QUICK, latent_cache="disk")
    run_tiny(tmp_path / "one", config, cache_folder=tmp_path / "cache")
    mixed = run_tiny(tmp_path / "two", config, Other(), cache_folder=tmp_path / "cache")
    assert equal(mixed, run_tiny(tmp_path / "alone", config, Other()))
    assert not equal(mixed, load_file(tmp_path / "one/connector.safetensors"))


def test_files_of_equal_names_and_sizes_never_mix(tmp_path, words):
    for name in ("a", "b"):
        as_captions(tmp_path / name, 8)
    images = sorted((tmp_path / "b/images").iterdir())
    content = [path.read_bytes() for path in images]
    longest = max(map(len, content))
    for place, path in enumerate(images):  # other pictures, all of one number of bytes
        path.write_bytes(content[place - 1].ljust(longest, b"\0"))
    for place, path in enumerate(sorted((tmp_path / "a/images").iterdir())):
        path.write_bytes(content[place].ljust(longest, b"\0"))
    words += ["--latent-cache=disk", "--steps=3", "--ema-decay=0"]
    shared = f"--cache-folder={tmp_path / 'cache'}"
    for name in ("a", "b"):
        data = f"--data={tmp_path / name}"
        assert train.main([*words, data, shared, f"--out={tmp_path / f'shared {name}'}"]) == 0
        assert train.main([*words, data, f"--out={tmp_path / f'own {name}'}"]) == 0
        one, other = (
            (tmp_path / f"{kind} {name}/connector.safetensors").read_bytes()
            for kind in ("shared", "own")
        )
        assert one == other


def test_all_that_can_be_asked_of_data_at_once(tmp_path, words):
    as_captions(tmp_path / "a", 20)
    as_tars(tmp_path / "b", 40)
    words += [f"--data={tmp_path / 'a'}:1", f"--data={tmp_path / 'b'}:3", "--steps=3"]
    words += ["--largest-aspect=2", "--bucket-px=16", "--min-px=32", "--sentence-tokens=8"]
    words += ["--caption-column=text:1,caption:2", "--latent-cache=disk", "--workers=1"]
    for name in ("one", "again"):
        assert train.main([*words, f"--out={tmp_path / name}"]) == 0
    one, again = (
        (tmp_path / f"{name}/connector.safetensors").read_bytes() for name in ("one", "again")
    )
    assert one == again


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount: 'sudo make test-slow' tries it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_anywhere_is_one_line_and_resumable(tmp_path, words, disk, capsys):
    as_captions(tmp_path / "data", 12)
    words += [f"--data={tmp_path / 'data'}", "--steps=3", "--save-every=1", "--latent-cache=disk"]
    words += ["--text-cache=disk"]
    assert train.main([*words, f"--out={tmp_path / 'whole'}"]) == 0
    whole = (tmp_path / "whole/connector.safetensors").read_bytes()
    for room in range(0, 3000, 230):  # KiB
        out, ballast = disk / str(room), disk / "ballast"
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        ballast.write_bytes(bytes(max(0, free - room * 1024)))
        capsys.readouterr()
        code = train.main([*words, f"--out={out}"])
        errors = capsys.readouterr().err
        ballast.unlink()
        if code:
            assert len(errors_of(errors)) == 1, room
            assert "No space left on device" in errors
        assert train.main([*words, f"--out={out}"]) == 0
        assert (out / "connector.safetensors").read_bytes() == whole
        assert list(out.rglob(".*")) == []
        shutil.rmtree(out)
