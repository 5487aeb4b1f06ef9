"""Checkpoints in one file, and names that the hub is or is not asked for."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file

from dpgbench.backends.generators.single_file import check_single_file
from dpgbench.backends.weights.hub_errors import hub_trouble
from dpgbench.errors import SetupError
from ella import tiny
from tests.backends.original_layout import write_single_file
from tests.helpers import Run, row, write_csv

SMALL = ("--steps", 2, "--width", 64, "--height", 64)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline as a folder, and as one file among its configurations."""
    folder = tmp_path_factory.mktemp("checkpoint")
    pipeline = tiny.tiny_pipeline()
    pipeline.save_pretrained(folder / "folder")
    pipeline.save_pretrained(folder / "file")
    for weights in (folder / "file").rglob("*.safetensors"):
        weights.unlink()
    write_single_file(pipeline, folder / "file/dream.safetensors")
    return folder


@pytest.fixture
def draw(run: Run, tmp_path: Path) -> Callable[..., Any]:
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])

    def call(base: Path | str, out: str = "r") -> Any:
        words = ("--model", "sd15", "--weights", f"base={base}", "--bench", bench)
        return run("generate", *words, *SMALL, "--out", out)

    return call


def test_a_single_file_draws_what_the_same_weights_draw_as_a_folder(
    draw: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    assert draw(made / "folder", "folder").code == 0
    ended = draw(made / "file/dream.safetensors", "file")
    assert ended.code == 0, ended.err
    assert (tmp_path / "file/images/a.png").read_bytes() == (
        tmp_path / "folder/images/a.png"
    ).read_bytes()
    note = "dream.safetensors is a single file: configuration and tokenizer are those of the folder"
    assert note in ended.err
    assert json.loads((tmp_path / "file/manifest.json").read_text())["notes"][0].startswith(note)


@pytest.mark.parametrize("content", [b"", b"\0" * 100_000, b"junk" * 99])
def test_a_damaged_single_file_is_one_line_and_no_look_up(
    draw: Callable[..., Any], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "dream.safetensors").write_bytes(content)
    ended = draw("dream.safetensors")
    assert ended.code == 4
    assert "dream.safetensors is a single file, but cut short, damaged" in ended.error
    assert "traffic" not in ended.err


def test_a_pickle_is_never_opened(draw: Callable[..., Any], tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "dream.ckpt")
    ended = draw("dream.ckpt")
    assert ended.code == 4
    assert "pickle" in ended.error


def test_a_single_file_that_lacks_tensors_is_refused(
    draw: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    for part, name in (("unet", "out.2.weight"), ("vae", "decoder.conv_in.weight")):
        tensors = load_file(made / "file/dream.safetensors")
        del tensors[next(key for key in tensors if key.endswith(name))]
        broken = made / f"file/broken-{part}.safetensors"
        save_file(tensors, broken)
        ended = draw(broken, part)
        broken.unlink()
        assert ended.code == 4, ended.err
        assert len(ended.error) < 900


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"lora_unet_down.alpha": (1,)}, "no U-Net and no VAE and no text encoder"),
        ({"conditioner.embedders.0.x": (1,)}, "Stable Diffusion XL checkpoint"),
        (
            {"input_blocks.0.0.weight": (8, 9, 3, 3)},
            "takes 9 channels",
        ),
        ({"input_blocks.1.1.attn2.to_k.weight": (8, 1024)}, "a Stable Diffusion 2 checkpoint"),
    ],
)
def test_other_kinds_of_checkpoints_are_named(
    tmp_path: Path, names: dict[str, tuple[int, ...]], message: str
) -> None:
    tensors = {name: torch.zeros(shape) for name, shape in names.items()}
    if "input_blocks" in next(iter(names)):
        tensors = {f"model.diffusion_model.{name}": tensor for name, tensor in tensors.items()}
        tensors |= {
            "first_stage_model.x": torch.zeros(1),
            "cond_stage_model.x": torch.zeros(1),
        }
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(SetupError, match=message):
        check_single_file(tmp_path / "other.safetensors")


def test_without_its_configuration_the_conversion_is_named(
    draw: Callable[..., Any], made: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((made / "file/dream.safetensors").read_bytes())
    ended = draw(alone)
    assert ended.code == 4
    assert "from_single_file" in ended.error
    assert "save_pretrained('FOLDER')" in ended.error
    assert "hf download stable-diffusion-v1-5/stable-diffusion-v1-5" in ended.error


@pytest.mark.parametrize(
    "name", ["/nowhere/model", "./model", "a/b/c", "~/m", "x.safetensors", "m"]
)
def test_a_path_that_is_not_there_is_never_looked_up(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import diffusers

    def asked(*_: Any, **__: Any) -> Any:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", asked)
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    ended = run("generate", "--model", f"hf:{name}", "--bench", bench)
    assert ended.code == 4
    assert "there is no folder" in ended.error


def answered(kind: type[Exception], status: int = 404) -> Exception:
    """Return an error of the hub's client."""
    error = kind.__new__(kind)
    error.args = ("Client Error.\nmore lines",)
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


class ConnectError(Exception):
    """As httpx names it."""


KINDS: dict[str, tuple[Exception, str, str]] = {
    "gated": (answered(errors.GatedRepoError, 403), "org/it is gated", "hf auth login"),
    "unknown": (answered(errors.RepositoryNotFoundError), "no repository org/it", "check the name"),
    "revision": (answered(errors.RevisionNotFoundError), "no revision 'v9'", "commits"),
    "file": (answered(errors.RemoteEntryNotFoundError), "lacks a file", "check the name"),
    "offline": (errors.OfflineModeIsEnabled("no"), "HF_HUB_OFFLINE", "unset HF_HUB_OFFLINE"),
    "cache": (errors.LocalEntryNotFoundError("no"), "cannot be reached", "hf download org/it"),
    "network": (ConnectError("dns"), "cannot be reached", "hf download org/it --revision v9"),
    "refused": (ConnectionRefusedError(), "cannot be reached", "where there is a network"),
    "disk": (OSError(errno.ENOSPC, "No space left on device"), "full", "HF_HOME"),
    "login": (answered(errors.HfHubHTTPError, 401), "refuses (401)", "HF_TOKEN"),
    "busy": (answered(errors.HfHubHTTPError, 503), "answered with 503", "later"),
    "other": (ValueError("strange\nlines"), "strange", "hf download org/it"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_trouble_with_the_hub_is_told_from_the_others(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dpgbench.backends.weights.hub_errors._offline", lambda: False)
    error, reason, step = KINDS[kind]
    wrapped = OSError("Can't load the model")  # as diffusers and transformers do
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        message = hub_trouble(raised, "org/it", "v9")
        assert "\n" not in message
        if kind != "other" or raised is error:
            assert reason in message
        assert step in message
    others = {hub_trouble(one, "org/it", "v9") for one, _, _ in KINDS.values()}
    assert len(others) >= len(KINDS) - 2  # "cache", "network" and "refused" are one kind


@pytest.mark.parametrize("kind", ["gated", "unknown", "network", "disk"])
def test_models_and_judges_and_weights_say_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import diffusers
    from PIL import Image

    error, reason, _ = KINDS[kind]

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr("dpgbench.backends.weights.hub_errors._offline", lambda: False)
    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", fail)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "pictures/a.png")
    score = ("score", "pictures", "--num-images", 1, "--bench", bench, "--out", "s")
    for words in (
        ("generate", "--model", "hf:org/it", "--bench", bench),
        ("generate", "--model", "ella-sd15", "--weights", f"base={tmp_path}", "--bench", bench),
        (*score, "--judge", "hf:org/it"),
    ):
        ended = run(*words)
        assert ended.code == 4
        assert reason.replace("org/it", "").strip() in ended.error
