"""`generate --batch-size`: several prompts in a call, and no picture depends on which."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dpgbench.backends.generators.decoding import TILED
from dpgbench.backends.generators.stable_diffusion import TinyEllaStableDiffusion
from tests.cli.own_parts import write_parts
from tests.helpers import Ended, Run, json_lines, row, write_csv

TEXTS = {
    "a": "a red circle",
    "b": "a large blue square left of a small green triangle, on a white ground",
    "c": "two yellow stars",
    "d": "a red circle above a blue square above a green triangle above a yellow star, in a row",
    "e": "a square",
    "f": "one green circle and one blue star beside it",
}
TINY = ("generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "2")


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "b.csv", [row(name, 1, text=text) for name, text in TEXTS.items()])


def drawn(run: Run, out: str, *words: object, model: Sequence[object] = TINY) -> Ended:
    ended = run(*model, "--bench", "b.csv", "--out", out, *words)
    assert ended.code == 0, ended.err
    return ended


def pixels(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {path.stem: np.asarray(Image.open(path), dtype=int) for path in folder.glob("**/*.png")}


def apart(first: Path, second: Path) -> int:
    ours, theirs = pixels(first), pixels(second)
    assert ours.keys() == theirs.keys() == TEXTS.keys()
    return max(int(np.abs(ours[name] - theirs[name]).max()) for name in ours)


def manifest(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return record


def lines(folder: Path) -> dict[str, dict[str, Any]]:
    return {line["item_id"]: line for line in json_lines(folder / "images.jsonl")}


@pytest.mark.parametrize(
    "option",
    [
        "text_length=flexible",
        pytest.param("text_length=fixed", marks=pytest.mark.slow),
        pytest.param("with_clip=true", marks=pytest.mark.slow),
        "--sd15",
    ],
)
def test_neither_batch_nor_order_nor_shard_moves_a_pixel_by_more_than_one(
    run: Run, tmp_path: Path, bench: Path, option: str
) -> None:
    model = [*TINY, "--option", option]
    if option == "--sd15":
        model = [*TINY[:2], "tiny-sd15", *TINY[3:], "--negative-prompt", "a blue star"]
    drawn(run, "one", model=model)
    for size in (4, 16):  # and auto, where a run goes on
        drawn(run, f"of-{size}", "--batch-size", size, model=model)
        assert apart(tmp_path / "one", tmp_path / f"of-{size}") <= 1
    drawn(run, "turned", "--batch-size", 4, "--items", "f,e,d,c,b,a", model=model)
    assert apart(tmp_path / "one", tmp_path / "turned") <= 1
    for number in (1, 2):
        drawn(run, "parts", "--batch-size", 2, "--shard", f"{number}/2", model=model)
    assert apart(tmp_path / "one", tmp_path / "parts") <= 1


def test_a_run_of_one_item_a_call_says_nothing_of_calls(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    drawn(run, "r")
    assert "batch" not in manifest(tmp_path / "r")["generation"]
    assert all("images_in_call" not in line for line in lines(tmp_path / "r").values())


def test_manifest_and_log_say_how_many_images_shared_a_call(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    drawn(run, "r", "--batch-size", 4)
    assert manifest(tmp_path / "r")["generation"]["batch"] == {
        "asked": 4,
        "compiled": False,
        "items_by_images_in_call": {"16": 4, "8": 2},
    }
    calls = [line.get("images_in_call") for line in lines(tmp_path / "r").values()]
    assert calls == [16, 16, 16, 16, 8, 8]


def test_a_run_goes_on_with_another_batch_size(run: Run, tmp_path: Path, bench: Path) -> None:
    drawn(run, "one")
    drawn(run, "r", "--batch-size", 4, "--limit", 4)
    drawn(run, "r", "--items", "e")
    drawn(run, "r", "--batch-size", "auto")
    assert apart(tmp_path / "one", tmp_path / "r") <= 1
    batch = manifest(tmp_path / "r")["generation"]["batch"]
    assert batch["asked"] == "auto"
    assert batch["items_by_images_in_call"] == {"16": 4, "4": 2}


def test_shards_of_several_items_a_call_are_merged(run: Run, tmp_path: Path, bench: Path) -> None:
    for number in (1, 2):
        drawn(run, "m", "--batch-size", 2, "--shard", f"{number}/2")
    assert run("merge", "m").code == 0
    assert manifest(tmp_path / "m")["generation"]["batch"] == {
        "asked": 2,
        "compiled": False,
        "items_by_images_in_call": {"8": 4, "4": 2},
    }


def out_of_memory() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Memory for six images; the images of each call that was tried."""
    tried: list[int] = []
    real = TinyEllaStableDiffusion._drawn

    def within(self: Any, prompts: Any, seeds: Any) -> Any:
        tried.append(sum(map(len, seeds)))
        if tried[-1] > 6:
            raise out_of_memory()
        return real(self, prompts, seeds)

    monkeypatch.setattr(TinyEllaStableDiffusion, "_drawn", within)
    return tried


def test_out_of_memory_halves_the_batch_for_the_rest_of_the_run(
    run: Run, tmp_path: Path, bench: Path, calls: list[int]
) -> None:
    ended = drawn(run, "r", "--batch-size", 16)
    assert calls == [24, 12, 4, 4, 4, 4, 4, 4]
    assert "out of memory with 24 images at once: 12 images at once from now on" in ended.err
    assert "out of memory with 12 images at once: 6 images at once from now on" in ended.err
    assert "memory ran out: 6 images a call from then on" in ended.err
    batch = manifest(tmp_path / "r")["generation"]["batch"]
    assert batch == {
        "asked": 16,
        "compiled": False,
        "images_that_fit": 6,
        "items_by_images_in_call": {"4": 6},
    }


def test_a_later_command_begins_with_what_fitted(
    run: Run, tmp_path: Path, bench: Path, calls: list[int]
) -> None:
    drawn(run, "r", "--batch-size", 2, "--limit", 3)
    calls.clear()
    drawn(run, "r", "--batch-size", "auto")
    assert set(calls) == {4}


@pytest.mark.parametrize("fits", [3, 100])
def test_auto_takes_what_the_first_item_leaves_room_for(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch, fits: int
) -> None:
    from dpgbench.backends.memory import MemoryGauge

    monkeypatch.setattr(MemoryGauge, "times_that_fit", lambda _: fits)
    drawn(run, "r", "--batch-size", "auto")
    by_call = manifest(tmp_path / "r")["generation"]["batch"]["items_by_images_in_call"]
    assert by_call == ({"4": 1, "8": 2, "12": 3} if fits == 3 else {"4": 2, "16": 4})


def test_an_item_that_fails_in_a_call_of_several_fails_alone(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TinyEllaStableDiffusion._call

    def call(self: Any, prompts: list[str], seeds: Any) -> Any:
        if TEXTS["e"] in prompts:
            raise out_of_memory() if len(prompts) == 1 else ValueError("a bad prompt")
        return real(self, prompts, seeds)

    monkeypatch.setattr(TinyEllaStableDiffusion, "_call", call)
    ended = run(*TINY, "--bench", "b.csv", "--out", "r", "--batch-size", 3)
    assert ended.code == 6
    failed = manifest(tmp_path / "r")["generation"]["failed"]
    assert list(failed) == ["e"]
    assert "out of memory with a single image at once; take a smaller --width" in failed["e"]
    assert sorted(path.stem for path in (tmp_path / "r/images").iterdir()) == [*"abcdf"]


def test_the_vae_decodes_less_at_once_before_anything_is_drawn_again(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import AutoencoderKL

    drawn(run, "one")
    decoded: list[int] = []
    real = AutoencoderKL._decode

    def decode(self: Any, latents: Any, **more: Any) -> Any:
        decoded.append(len(latents))
        if len(latents) > 1:
            raise out_of_memory()
        return real(self, latents, **more)

    monkeypatch.setattr(AutoencoderKL, "_decode", decode)
    ended = drawn(run, "r", "--batch-size", 2)
    assert decoded == [8] + [1] * 24
    assert ended.err.count("the VAE decodes image by image from now on") == 1
    assert apart(tmp_path / "one", tmp_path / "r") <= 1
    assert "images_that_fit" not in manifest(tmp_path / "r")["generation"]["batch"]


def test_pictures_that_were_decoded_in_tiles_say_so(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers import AutoencoderKL

    real = AutoencoderKL._decode

    def decode(self: Any, latents: Any, **more: Any) -> Any:
        if not self.use_tiling:
            raise out_of_memory()
        return real(self, latents, **more)

    monkeypatch.setattr(AutoencoderKL, "_decode", decode)
    ended = drawn(run, "r", "--items", "b,c")
    assert f"note: from item b on: {TILED}" in ended.err
    assert f"from item b on: {TILED}" in manifest(tmp_path / "r")["notes"]


def test_the_negative_prompt_is_encoded_once(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import CLIPTextModel

    encoded: list[int] = []
    real = CLIPTextModel.forward

    def forward(self: Any, input_ids: Any, **more: Any) -> Any:
        encoded.append(len(input_ids))
        return real(self, input_ids=input_ids, **more)

    monkeypatch.setattr(CLIPTextModel, "forward", forward)
    model = [*TINY[:2], "tiny-sd15", *TINY[3:]]
    drawn(run, "r", model=model)
    assert len(encoded) == len(TEXTS) + 2  # the second time shows that it comes again
    encoded.clear()
    drawn(run, "s", "--batch-size", 2, model=model)
    assert encoded == [2, 1, 2, 1, 2]


@pytest.mark.parametrize("size", ["0", "-1", "many", "1.5", ""])
def test_what_is_no_batch_size_is_one_line(run: Run, bench: Path, size: str) -> None:
    ended = run(*TINY, "--bench", "b.csv", f"--batch-size={size}")
    assert ended.code == 2
    assert "give auto, or a whole number of at least 1" in ended.error


def test_a_class_of_one_s_own_is_given_one_prompt_a_call(run: Run, tmp_path: Path) -> None:
    write_parts(tmp_path)
    words = ("generate", "--model", "own_model:Model", "--out", "r", "--bench", "b.csv")
    ended = run(*words, "--batch-size", 4)
    assert ended.code == 0
    assert "--batch-size 4: own_model:Model takes one prompt a call" in ended.err
    ended = run(*words, "--compile")
    assert ended.code == 2
    assert "own_model:Model has no networks that could be compiled" in ended.error


def test_a_server_of_images_has_other_options(run: Run, bench: Path) -> None:
    words = ("generate", "--model", "images-api:x", "--base-url", "http://localhost:9/v1")
    for option in (("--batch-size", 2), ("--compile",)):
        ended = run(*words, "--bench", "b.csv", *option)
        assert ended.code == 2
        assert "drawn by a server, which has --concurrency" in ended.error


def test_without_a_compiler_one_line_says_which(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    ended = run(*TINY, "--bench", "b.csv", "--compile", "--out", "r")
    assert ended.code == 4
    assert "--compile needs a C++ compiler" in ended.error
    assert "leave --compile out" in ended.error
    assert not (tmp_path / "r").exists()


def test_a_compiler_that_fails_ends_the_command_and_no_item(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def call(self: Any, prompts: Any, seeds: Any) -> Any:
        raise BackendCompilerFailed(lambda: None, ValueError("no triton"), None)

    monkeypatch.setattr(TinyEllaStableDiffusion, "_call", call)
    ended = run(*TINY, "--bench", "b.csv", "--compile", "--out", "r")
    assert ended.code == 4
    assert "leave --compile out to draw without" in ended.error


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_networks_draw_the_same(run: Run, tmp_path: Path, bench: Path) -> None:
    drawn(run, "one")
    drawn(run, "r", "--batch-size", 4, "--compile")
    assert apart(tmp_path / "one", tmp_path / "r") <= 1
    batch = manifest(tmp_path / "r")["generation"]["batch"]
    assert batch["compiled"] is True
    assert batch["items_by_images_in_call"] == {"16": 6}  # the last call is filled up
