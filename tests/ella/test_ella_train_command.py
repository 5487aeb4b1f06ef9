"""`python -m ella.train`: from a folder to a file that `dpgbench generate` accepts."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import diffusers
import pytest

import ella
from ella import TimestepAwareSemanticConnector, TrainConfig, tiny, train
from ella.training import run as train_run
from tests.ella.data_layouts import as_tars
from tests.ella.tiny_training import check_learnt_alike, write_folder

ROOT = Path(ella.__file__).parents[1]
SIZES = ["--connector-layers", "1", "--connector-num-latents", "4", "--connector-heads", "4"]
SIZES += ["--connector-time-embed-dim", "16", "--connector-time-channel", "8"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Models and data in folders, as a user has them."""
    where = tmp_path_factory.mktemp("folders")
    encoder = tiny.tiny_text_encoder()
    tiny.tiny_pipeline().save_pretrained(where / "base")
    encoder.model.save_pretrained(where / "t5")
    encoder.tokenizer.save_pretrained(where / "t5")
    write_folder(where / "data")
    return where


@pytest.fixture
def words(folders, tmp_path):
    named = [f"--base={folders / 'base'}", f"--text-encoder={folders / 't5'}"]
    named += [f"--data={folders / 'data'}", f"--out={tmp_path / 'out'}"]
    return [*named, "--device=cpu", "--steps=2", "--batch-size=2", "--learning-rate=0.001"]


def test_to_a_file_that_generate_accepts(words, folders, tmp_path, capsys, monkeypatch):
    from dpgbench.cli import main

    assert train.main([*words, *SIZES, "--text-cache=disk"]) == 0
    file = tmp_path / "out/connector.safetensors"
    assert capsys.readouterr().out == f"{file}\n"
    config = TimestepAwareSemanticConnector.from_safetensors(file).config
    assert (config.layers, config.num_latents, config.heads) == (1, 4, 4)
    generate = ["dpgbench", "generate", "--model=ella-sd15", "--bench=shapes", "--limit=1"]
    generate += ["--steps=2", "--width=64", "--height=64", "--device=cpu", "--out=run"]
    generate += [f"--weights=base={folders / 'base'}", f"--weights=text_encoder={folders / 't5'}"]
    monkeypatch.setattr(sys, "argv", [*generate, f"--weights=connector={file}"])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert len(list((tmp_path / "run/images").glob("*.png"))) == 1


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ((), ella.TrainedText("fixed", 128)),
        (("--text-tokens=16",), ella.TrainedText("fixed", 16)),
        (("--length=flexible",), ella.TrainedText("flexible")),
    ],
)
def test_the_finished_files_say_how_long_the_texts_were(words, tmp_path, capsys, more, text):
    assert train.main([*words, *SIZES, *more]) == 0
    for name in ("connector", "connector-ema"):
        file = tmp_path / f"out/{name}.safetensors"
        assert TimestepAwareSemanticConnector.from_safetensors(file).trained_text == text


def test_a_connector_of_another_width_to_begin_with_is_one_line(words, tmp_path, capfd):
    from dataclasses import replace

    config = tiny.tiny_connector().config
    other = TimestepAwareSemanticConnector(replace(config, width=64))
    other.save_safetensors(tmp_path / "wide.safetensors")
    assert train.main([*words, f"--init={tmp_path / 'wide.safetensors'}"]) == 1
    errors = capfd.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in errors) == 1
    assert "from width 32 to 64" in errors[-1]


def test_a_file_of_settings_under_flags(words, tmp_path, capsys):
    tiny.tiny_connector().save_safetensors(tmp_path / "start.safetensors")
    settings = tmp_path / "train.toml"
    names = [word.removeprefix("--").split("=") for word in words[:4]]
    lines = [f'{name.replace("-", "_")} = "{value}"' for name, value in names]
    lines += ["steps = 9", "batch_size = 2", "learning_rate = 0.001", 'device = "cpu"']
    lines += [f'init = "{tmp_path / "start.safetensors"}"', "ema_decay = 0"]
    settings.write_text("\n".join(lines))
    assert train.main(["--config", str(settings), "--steps", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cache", "checkpoints", "connector.safetensors", "metrics.jsonl",
    ]  # fmt: skip
    assert len(list((tmp_path / "out/checkpoints").glob("step-00000001.safetensors"))) == 1
    capsys.readouterr()
    assert train.main(["--config", str(settings), "--seed", "4"]) == 1
    assert "made with other settings (seed: 0 -> 4)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "toml", "says"),
    [
        (["--base=none"], "", "--base none: no such folder"),
        (["--data=."], "", "needs one of captions.csv and captions.jsonl"),
        (["--base=."], "", "no diffusers model with unet, vae and scheduler"),
        (["--text-encoder=."], "", "no language model with its tokenizer"),
        (["--steps=0"], "", "`steps` must be finite and at least 1, got 0"),
        (["--image-px=60"], "", "`image_px` must be a multiple of 8, got 60"),
        (["--init=none"], "", "none: no such file"),
        (["--connector-heads=5"], "", "`width` 32 must be a multiple of `heads` 5"),
        ([], "step = 3", "no setting is called 'step'; did you mean steps"),
        ([], "steps = ", "is not TOML"),
        ([], "init = 3", "init must be of type str, got 3"),
        ([], 'seed = "x"', "`seed` must be of type int, got 'x'"),
        (["--config=none.toml"], "", "No such file or directory: 'none.toml'"),
    ],
)
def test_bad_input_is_one_line(words, tmp_path, capfd, monkeypatch, more, toml, says):
    monkeypatch.chdir(tmp_path)
    if toml:
        (tmp_path / "bad.toml").write_text(toml)
        more = ["--config=bad.toml"]
    assert train.main([*words, *more]) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert says in lines[0]
    assert not (tmp_path / "out").exists()


def test_missing_folders(capsys):
    assert train.main(["--base", "x"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: --text-encoder, --data, --out: missing")


def test_interrupted(words, monkeypatch, capsys):
    def interrupt(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("ella.training.trainer.Trainer.run", interrupt)
    assert train.main(words) == 130
    assert "the same command resumes" in capsys.readouterr().err


def test_two_processes_are_a_bigger_batch(words, tmp_path):
    tiny.tiny_connector().save_safetensors(tmp_path / "start.safetensors")
    words += [f"--init={tmp_path / 'start.safetensors'}", "--text-cache=disk"]
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    launch += [f"--master-port={port}", "-m", "ella.train", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    ended = subprocess.run(
        launch, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    one = [word for word in words if not word.startswith("--out")]
    assert train.main([*one, f"--out={tmp_path / 'one'}", "--batch-size=4"]) == 0
    check_learnt_alike(*tmp_path.glob("*/connector.safetensors"))


def test_every_setting_is_on_the_page():
    page = (ROOT / "docs/train-ella.md").read_text(encoding="utf-8")
    named = [*train.PATHS, *train.NUMBERS, *train.CHOICES, *train.CONFIG]
    missing = [name for name in named if f"`{name}`" not in page]
    assert missing == []
    for name in train.CONFIG:
        assert f"| `{name}` | {getattr(TrainConfig(), name)} |" in page, name
    assert [n for n in ella.__all__ if "raining" in ella._MODULE_OF[n] and n not in page] == []


def test_every_python_block_of_the_page_runs(folders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "from_pretrained", load_tiny_pipeline)
    monkeypatch.setattr(ella.T5TextEncoder, "from_pretrained", load_tiny_text_encoder)
    monkeypatch.setattr(train_run, "new_connector", lambda *_args: tiny.tiny_connector())
    (tmp_path / "data").symlink_to(folders / "data")
    page = (ROOT / "docs/train-ella.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    for block in blocks:
        small = block.replace("280_000", "1").replace("bf16", "no").replace("size=16", "size=1")
        exec(compile(small, "docs/train-ella.md", "exec"), names)
    assert len(blocks) == 2
    assert TimestepAwareSemanticConnector.from_safetensors(names["file"]).config.layers == 2
    assert (tmp_path / "runs/circles/connector-ema.safetensors").exists()


def load_tiny_pipeline(*_words, **_options):
    return tiny.tiny_pipeline()


def load_tiny_text_encoder(*_words, **_options):
    return tiny.tiny_text_encoder()


def test_every_block_of_the_page_on_data_runs(folders, tmp_path, monkeypatch, capsys):
    from ella.data import __main__ as data_command

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(folders / "data")
    (tmp_path / "data/laion").mkdir()
    as_tars(tmp_path / "data/laion", 6)
    page = (ROOT / "docs/training-data.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"```bash\npython -m ella.data (.*?)\n```", page)
    assert data_command.main(command.replace("16", "1").split()) == 0
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(block, "docs/training-data.md", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "4 a red circle (80, 64)"
