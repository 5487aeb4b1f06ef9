"""Pictures that were not drawn: they fail with a reason, and never pass as black ones."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from dpgbench.backends.device import is_out_of_memory
from dpgbench.backends.generators.image_checks import draw_checked
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.embedded import embedded_path
from dpgbench.engine.portable_error import PortableError
from dpgbench.errors import DataError
from ella import tiny
from tests.helpers import Run, json_lines, row, write_csv

TINY = ("generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "2")


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "bench.csv", [row("a", 1), row("b", 1)])


def logged(folder: Path) -> dict[str, Any]:
    return {r["item_id"]: r for r in json_lines(folder / "images.jsonl")}


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def poisoned(path: Path, value: float = float("nan")) -> Path:
    """Write the embedded connector with one tensor of `value`."""
    with safe_open(embedded_path("ella/connector.safetensors"), "pt") as file:
        metadata = file.metadata()
    tensors = load_file(embedded_path("ella/connector.safetensors"))
    tensors["connector.proj_in.weight"].fill_(value)
    save_file(tensors, path, metadata=metadata)
    return path


def test_nan_is_a_failure_with_its_reason_and_not_a_black_picture(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    connector = poisoned(tmp_path / "nan.safetensors")
    ended = run(*TINY, "--weights", f"connector={connector}", "--bench", bench, "--out", "r")
    assert ended.code == 6
    assert "the latents hold NaN or infinite numbers in 4 of 4 tiles" in ended.error
    assert "--dtype float32" in ended.error
    assert not list((tmp_path / "r/images").glob("*"))
    reasons = {item_id: record["error"] for item_id, record in logged(tmp_path / "r").items()}
    assert set(reasons) == {"a", "b"}
    assert all("NaN or infinite" in reason for reason in reasons.values())
    assert manifest_of(tmp_path / "r")["generation"]["failed"] == reasons


class Vae:
    def __init__(self, make: Any) -> None:
        self.make = make

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return self.make(latents)


class Processor:
    def postprocess(self, decoded: torch.Tensor) -> torch.Tensor:
        return decoded.clamp(0, 1)


class Output:
    def __init__(self, images: Any, nsfw_content_detected: Any = None) -> None:
        self.images = images
        self.nsfw_content_detected = nsfw_content_detected


class Pipeline:
    def __init__(self, latents: torch.Tensor, make: Any = lambda latents: latents) -> None:
        self.vae, self.image_processor, self.latents = Vae(make), Processor(), latents

    def __call__(self) -> Output:
        return Output(list(self.image_processor.postprocess(self.vae.decode(self.latents))))


def test_numbers_that_are_not_finite_are_found_in_every_tile_and_place() -> None:
    latents = torch.zeros(4, 3, 2, 2)
    assert len(draw_checked(p := Pipeline(latents), 4, p)) == 4
    latents[2, 0, 0, 0] = float("nan")
    with pytest.raises(DataError, match=r"latents hold NaN.* in 1 of 4 tiles \(2, counted"):
        draw_checked(p := Pipeline(latents), 4, p)

    def overflow(latents: torch.Tensor) -> torch.Tensor:
        decoded = latents.nan_to_num().clone()
        decoded[1] = float("inf")  # the clamp would make it white
        return decoded

    with pytest.raises(DataError, match=r"decoded image holds NaN.* in 1 of 4 tiles \(1, counted"):
        draw_checked(p := Pipeline(torch.zeros(4, 3, 2, 2), overflow), 4, p)


def test_a_pipeline_is_left_as_it_was_after_each_drawing() -> None:
    pipeline = tiny.tiny_pipeline()
    draw_checked(pipeline, 1, lambda: pipeline("a", num_inference_steps=1))
    assert "decode" not in vars(pipeline.vae)
    assert "postprocess" not in vars(pipeline.image_processor)
    assert "numpy_to_pil" not in vars(pipeline)


def test_checking_changes_no_pixel() -> None:
    pipeline = tiny.tiny_pipeline()

    def call() -> Any:
        generator = torch.Generator().manual_seed(3)
        return pipeline("a red circle", num_inference_steps=2, generator=generator)

    assert draw_checked(pipeline, 1, call)[0].tobytes() == call().images[0].tobytes()


def test_what_a_safety_checker_blanked_is_named() -> None:
    def flagged() -> Output:
        return Output(["one", "two", "three"], [False, True, True])

    message = r"safety checker blanked 2 of 3 tiles \(1, 2, counted from 0\): .*--seed"
    with pytest.raises(DataError, match=message):
        draw_checked(object(), 3, flagged)
    assert draw_checked(object(), 1, lambda: Output(["one"], [False])) == ["one"]


OWN = """
import numpy as np
from PIL import Image
class Model:
    width_px = height_px = 8
    def draw(self, prompt, seeds):
        return [self.one(prompt, seed) for seed in seeds]
    def one(self, prompt, seed):
        kind = prompt.split()[0]
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        if kind == "nan":
            return Image.fromarray((noise * np.float32("nan")).astype("uint8"))
        if kind == "flat":
            noise[:] = 7
        if kind == "none":
            return None
        if kind == "memory":
            raise MemoryError
        if kind == "download":
            raise ConnectionResetError(104, "Connection reset by peer")
        if kind == "array":
            return noise
        image = Image.fromarray(noise)
        return image.resize((4, 8)) if kind == "small" else image
"""


def own(tmp_path: Path, kinds: list[str]) -> tuple[Any, ...]:
    (tmp_path / "own_trouble.py").write_text(OWN)
    rows = [row(kind, 1, text=f"{kind} picture") for kind in kinds]
    bench = write_csv(tmp_path / "own.csv", rows)
    return ("generate", "--model", "own_trouble:Model", "--bench", bench, "--out", "own")


def test_an_own_class_that_draws_no_pictures_fails_item_by_item(run: Run, tmp_path: Path) -> None:
    ended = run(*own(tmp_path, ["nan", "none", "array", "small", "memory", "download", "good"]))
    assert ended.code == 6
    assert "6 items are not drawn" in ended.error
    assert "the same command tries what failed again" in ended.error
    reasons = {item_id: record["error"] for item_id, record in logged(tmp_path / "own").items()}
    assert reasons.pop("good") is None
    assert "NaN or infinite" in reasons["nan"]
    assert "image 0 (from 0) is None" in reasons["none"]
    assert "is of type ndarray" in reasons["array"]
    assert "4x8 px instead of 8x8" in reasons["small"]
    assert "have the class draw fewer or smaller images at a time" in reasons["memory"]
    assert reasons["download"] == "ConnectionResetError: [Errno 104] Connection reset by peer"


def test_a_network_that_is_down_ends_the_command_in_one_line(run: Run, tmp_path: Path) -> None:
    words = own(tmp_path, ["good"])
    texts = ["good one", *[f"download {n}" for n in range(12)]]
    write_csv(tmp_path / "own.csv", [row(f"k{n:02}", 1, text=t) for n, t in enumerate(texts)])
    ended = run(*words)
    assert ended.code == 6
    assert "10 items on end failed, the last one k10: ConnectionResetError" in ended.error
    assert "run the same command again when the network and the disk are well" in ended.error
    assert [path.name for path in (tmp_path / "own/images").iterdir()] == ["k00.png"]


def test_what_fails_alike_from_the_start_is_not_tried_a_thousand_times(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "own_trouble.py").write_text(OWN)
    rows = [row(f"k{n:02}", 1, text="none here") for n in range(30)]
    words = own(tmp_path, ["none"])
    write_csv(tmp_path / "own.csv", rows)
    ended = run(*words)
    assert ended.code == 6
    assert "the first 10 items all failed, so the others were not tried: " in ended.error
    assert "image 0 (from 0) is None" in ended.error
    assert len(logged(tmp_path / "own")) == 10
    assert len(manifest_of(tmp_path / "own")["generation"]["failed"]) == 10
    assert manifest_of(tmp_path / "own")["completed"] is None
    write_csv(tmp_path / "own.csv", [row("k00", 1, text="good one"), *rows[1:]])
    ended = run(*own_words(words, "other"))
    assert ended.code == 6
    assert len(logged(tmp_path / "other")) == 30  # one was drawn: the others may be, too


def own_words(words: tuple[Any, ...], out: str) -> tuple[Any, ...]:
    return (*words[:-1], out)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('width_px = "512"', "width_px must be a whole number of pixels, not '512'"),
        ("height_px = 0", "height_px must be a whole number of pixels, not 0"),
        ("settings = [1]", "settings must be a dict of plain data"),
        ("settings = {'a': object()}", "settings must be a dict of plain data"),
        ("token_limit = 7", "has a token_limit but no method count_tokens"),
    ],
)
def test_what_an_own_class_says_of_itself_is_checked(
    run: Run, tmp_path: Path, bench: Path, line: str, message: str
) -> None:
    name = f"own_says_{abs(hash(line))}"
    body = "    def draw(self, prompt, seeds):\n        raise NotImplementedError\n"
    (tmp_path / f"{name}.py").write_text(f"class Model:\n    {line}\n{body}")
    ended = run("generate", "--model", f"{name}:Model", "--bench", bench, "--out", "r")
    assert ended.code == 2
    assert message in ended.error


def test_tiles_of_one_colour_are_warned_about_and_counted(run: Run, tmp_path: Path) -> None:
    ended = run(*own(tmp_path, ["good", "flat"]))
    assert ended.code == 0
    assert "4 tiles of 1 item are of one single colour (first: tile 0 of flat)" in ended.err
    assert logged(tmp_path / "own")["flat"]["single_colour"] == [0, 1, 2, 3]
    counts = manifest_of(tmp_path / "own")["generation"]["single_colour"]
    assert counts == {"tiles": 4, "items": {"flat": [0, 1, 2, 3]}}


def test_a_grid_that_a_kill_left_without_a_record_is_counted_too(run: Run, tmp_path: Path) -> None:
    words = own(tmp_path, ["good", "flat"])
    run(*words)
    (tmp_path / "own/images.jsonl").unlink()
    assert run(*words).code == 0
    assert logged(tmp_path / "own")["flat"]["single_colour"] == [0, 1, 2, 3]
    assert "single_colour" not in logged(tmp_path / "own")["good"]


class Hungry:
    """Has memory for so many images at once; counts what it was asked for."""

    def __init__(self, fits: int, error: Exception | None = None) -> None:
        self.fits, self.asked = fits, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def draw(self, prompt: str, seeds: Any) -> list[Image.Image]:
        self.asked.append(len(seeds))
        if len(seeds) > self.fits:
            raise self.error
        return [
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8))
            for seed in seeds
        ]

    def truncation(self, prompts: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("fits", [1, 2, 3])
def test_fewer_images_at_once_give_the_same_images(fits: int) -> None:
    whole = [image.tobytes() for image in Hungry(4).draw("p", [5, 6, 7, 8])]
    hungry = Hungry(fits)
    drawn = DrawnWithinMemory(hungry)
    assert [image.tobytes() for image in drawn.draw("p", [5, 6, 7, 8])] == whole
    assert hungry.asked[0] == 4
    hungry.asked.clear()
    assert len(drawn.draw("p", [1, 2, 3, 4])) == 4
    assert max(hungry.asked) <= fits  # it does not run out a second time


def test_a_blanked_tile_has_its_number_in_the_grid_whatever_shared_its_call() -> None:
    class Flagging(Hungry):
        def draw(self, prompt: str, seeds: Any) -> list[Image.Image]:
            images = super().draw(prompt, seeds)
            output = SimpleNamespace(images=images, nsfw_content_detected=[n == 7 for n in seeds])
            return draw_checked(object(), len(seeds), lambda: output)

    with pytest.raises(DataError, match=r"blanked 1 of 4 tiles \(2, counted from 0\): ") as raised:
        DrawnWithinMemory(Flagging(2)).draw("p", [5, 6, 7, 8])
    sent = PortableError.of(raised.value).error()
    assert str(sent) == str(raised.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="other"):
        DrawnWithinMemory(Hungry(1, RuntimeError("other"))).draw("p", [1, 2])
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))


def test_an_item_that_does_not_fit_fails_and_the_rest_goes_on(
    run: Run, tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpgbench.backends.generators.stable_diffusion import TinyEllaStableDiffusion

    real = TinyEllaStableDiffusion.draw

    def draw(self: Any, prompt: str, seeds: Any) -> Any:
        if "for a" in prompt or len(seeds) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, prompt, seeds)

    monkeypatch.setattr(TinyEllaStableDiffusion, "draw", draw)
    ended = run(*TINY, "--bench", bench, "--out", "r")
    assert ended.code == 6
    assert "out of memory with a single image at once" in ended.error
    assert "--dtype float16" in ended.error
    assert [path.name for path in (tmp_path / "r/images").iterdir()] == ["b.png"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    run(*TINY, "--bench", bench, "--out", "whole", "--items", "b")
    with (
        Image.open(tmp_path / "r/images/b.png") as parts,
        Image.open(tmp_path / "whole/images/b.png") as whole,
    ):
        apart = np.abs(np.asarray(parts, dtype=int) - np.asarray(whole, dtype=int))
    assert apart.max() <= 1  # rounding in a batch of another size


@pytest.mark.parametrize("size", ["width", "input_dim"])
def test_a_connector_of_another_width_ends_in_one_line(
    run: Run, tmp_path: Path, bench: Path, size: str
) -> None:
    from dataclasses import replace

    from ella import TimestepAwareSemanticConnector

    config = TimestepAwareSemanticConnector.from_safetensors(
        embedded_path("ella/connector.safetensors")
    ).config
    other = TimestepAwareSemanticConnector(replace(config, **{size: 2 * getattr(config, size)}))
    other.save_safetensors(tmp_path / "wide.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ended = run(
            *TINY, "--weights", "connector=wide.safetensors", "--bench", bench, "--out", "r"
        )
    assert ended.code == 4
    assert str(2 * getattr(config, size)) in ended.error
    assert "trained" in ended.error
    assert not list((tmp_path / "r").glob("images/*"))


@pytest.mark.parametrize("model", ["sd15", "hf:pipe"])
def test_weights_that_lack_a_tensor_end_in_one_line(
    run: Run, tmp_path: Path, bench: Path, model: str
) -> None:
    tiny.tiny_pipeline().save_pretrained(tmp_path / "pipe")
    file = next((tmp_path / "pipe/unet").glob("*.safetensors"))
    tensors = load_file(file)
    del tensors["conv_out.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    weights = ("--weights", "base=pipe") if model == "sd15" else ()
    ended = run("generate", "--model", model, *weights, "--bench", bench, "--steps", 1)
    assert ended.code == 4
    assert "UNet2DConditionModel lack 1 of its tensors" in ended.error
    assert "conv_out.weight" in ended.error


@pytest.mark.filterwarnings("ignore")
def test_a_text_encoder_of_another_kind_ends_in_one_line(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=256,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    transformers.LlamaModel(config).save_pretrained(tmp_path / "llama")
    tiny.tiny_text_encoder().tokenizer.save_pretrained(tmp_path / "llama")
    ended = run(*TINY, "--weights", "text_encoder=llama", "--bench", bench, "--out", "r")
    assert ended.code == 4
    assert "features of width 128, but `text_encoder` gives 32" in ended.error
    transformers.ViTModel(
        transformers.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(tmp_path / "llama")
    ended = run(*TINY, "--weights", "text_encoder=llama", "--bench", bench, "--out", "v")
    assert ended.code == 4
    assert "no language model with its tokenizer" in ended.error


def base_with(folder: Path, part: str, **config: Any) -> Path:
    """Save the tiny pipeline with other words in one of its configurations."""
    tiny.tiny_pipeline().save_pretrained(folder)
    file = next((folder / part).glob("*config.json"))
    file.write_text(json.dumps({**json.loads(file.read_text()), **config}))
    return folder


def test_a_base_that_predicts_something_else_is_refused(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    base_with(tmp_path / "v", "scheduler", prediction_type="v_prediction")
    ended = run("generate", "--model", "sd15", "--weights", "base=v", "--bench", bench)
    assert ended.code == 4
    assert "predicts 'v_prediction', but sd15 draws with 'epsilon'" in ended.error
    assert "--model hf:v" in ended.error


def test_a_base_of_another_kind_is_refused(run: Run, tmp_path: Path, bench: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = tiny.tiny_pipeline().unet
    for name, change, message in (
        ("inpaint", {"in_channels": 9}, "takes 9 channels"),
        ("wide", {"cross_attention_dim": 48}, "tokens of width 48"),
    ):
        tiny.tiny_pipeline().save_pretrained(tmp_path / name)
        config = {**unet.config, **change, "_use_default_values": []}
        other = UNet2DConditionModel.from_config(config)
        other.save_pretrained(tmp_path / name / "unet")
        words = ("--weights", f"base={name}", "--bench", bench, "--out", f"r-{name}")
        ended = run("generate", "--model", "sd15", *words)
        assert ended.code == 4
        assert message in ended.error


def test_a_folder_for_a_connector_is_one_line(run: Run, tmp_path: Path, bench: Path) -> None:
    (tmp_path / "folder").mkdir()
    ended = run(*TINY, "--weights", "connector=folder", "--bench", bench)
    assert ended.code == 4
    assert "is a folder; give the connector's file" in ended.error
