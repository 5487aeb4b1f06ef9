"""Each family of published models at tiny size: what its settings do to the real classes.

A tiny pipeline of the family stands for each model's weights; all else is the model's own entry.
Counted are the denoiser's rows, the size of pictures, the precision, and the tokens that each text
encoder is shown.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ImageChops

from dpgbench.backends.generators import plan as plans
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.hub_pipeline import HubPipeline
from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest, make_plan
from dpgbench.backends.generators.published_models import PublishedModel, published_models
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import ItemToDraw
from dpgbench.errors import DataError, SetupError, UsageError
from tests.backends.tiny_pipelines import FAMILIES, write_pipeline
from tests.helpers import Run, row, write_csv

TABLE = published_models()
FAMILY_OF = {
    "sd15": "sd",
    "sd2": "sd",
    "sd21": "sd",
    "sdxl": "sdxl",
    "sdxl-turbo": "sdxl",
    "playground-v2.5": "playground",
    "pixart-alpha": "pixart",
    "pixart-sigma": "pixart-sigma",
    "sd3-medium": "sd3",
    "sd3.5-large": "sd3",
    "flux-dev": "flux",
    "flux-schnell": "flux",
    "flux2-dev": "flux2",
    "sana-1.6b": "sana",
    "sana-0.6b": "sana",
    "hunyuan-dit": "hunyuan-dit",
    "lumina-next": "lumina-next",
    "lumina2": "lumina2",
    "cogview4": "cogview4",
    "kolors": "kolors",
    "omnigen": "omnigen",
    "hidream-i1-full": "hidream",
    "qwen-image": "qwen",
    "qwen-image-2512": "qwen",
    "z-image": "z-image",
    "z-image-turbo": "z-image",
}
ONE_OF_EACH = list({family: name for name, family in reversed(FAMILY_OF.items())}.values())
STEPS = 2
PX = {"sana": 256, "hidream": 128}
"""Sides of the square that is drawn; 64 where nothing is said."""
AROUND = {"qwen": 34, "sana": 0}
"""Tokens around a prompt that do not count towards the limit, at least."""
LONG = "red " * 1100


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("families")

    def folder(family: str) -> Path:
        if not (root / family).exists():
            write_pipeline(family, root / family)
        return root / family

    return folder


@pytest.fixture
def planned(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., GenerationPlan]:
    monkeypatch.setattr(plans, "_check_packages", lambda _: None)

    def plan(name: str, device: str = "cpu", **settings: Any) -> GenerationPlan:
        family = FAMILY_OF[name]
        monkeypatch.setattr(plans, "find_device", lambda _: device)
        weights = {"base": str(folders(family))}
        if "llama" in TABLE[name].extra:
            weights["llama"] = str(_llama(folders(family)))
        px = PX.get(family, 64)
        own = {"steps": STEPS, "width_px": px, "height_px": px, **settings}
        return make_plan(GeneratorRequest(name, weights, own, device))

    return plan


def _llama(folder: Path) -> Path:
    """Return a folder as the hub has Llama: network and tokenizer together."""
    whole = folder.parent / f"{folder.name}-llama"
    if not whole.exists():
        whole.mkdir()
        for part in ("text_encoder_4", "tokenizer_4"):
            for file in (folder / part).iterdir():
                (whole / file.name).write_bytes(file.read_bytes())
    return whole


def denoiser(pipeline: Any) -> Any:
    return getattr(pipeline, "transformer", None) or pipeline.unet


def encoders(pipeline: Any) -> list[Any]:
    names = ("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4")
    return [part for name in names if (part := getattr(pipeline, name, None)) is not None]


@contextlib.contextmanager
def recorded(network: Any, argument: str) -> Iterator[list[Any]]:
    """Record the first argument of each call of a network."""
    seen: list[Any] = []

    def record(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        seen.append(args[0] if args else kwargs.get(argument))

    handle = network.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def draw(generator: Any, prompt: str = "a red circle", num_images: int = 1) -> list[Any]:
    images: list[Any] = generator.draw(prompt, list(range(num_images)))
    return images


def differ(first: list[Any], second: list[Any]) -> bool:
    return ImageChops.difference(first[0], second[0]).getbbox() is not None


def test_each_model_has_a_family() -> None:
    assert FAMILY_OF.keys() == TABLE.keys() - {"ella-sd15"}  # tests/ella draw with it
    assert {*FAMILY_OF.values()} == {*FAMILIES}


@pytest.mark.parametrize("name", FAMILY_OF)
def test_steps_and_precision_of_the_table(
    name: str, planned: Callable[..., GenerationPlan]
) -> None:
    model = TABLE[name]
    cuda = planned(name, "cuda", steps=None).spec
    if model.value("dtype"):
        assert cuda.dtype == model.value("dtype")
    assert cuda.steps == model.value("steps")
    assert planned(name).spec.dtype == "float32", "on a CPU"


def one_drawn_of_those_alike() -> Iterator[Any]:
    """Yield the models; slow is drawing with one whose family another draws alike with."""
    drawn = set()
    for name, family in FAMILY_OF.items():
        kind = (family, TABLE[name].value("rows"), TABLE[name].value("dtype"))
        yield pytest.param(name, marks=pytest.mark.slow if kind in drawn else [])
        drawn.add(kind)


@pytest.mark.parametrize("name", list(one_drawn_of_those_alike()))
def test_rows_size_and_precision(name: str, planned: Callable[..., GenerationPlan]) -> None:
    model = TABLE[name]
    dtype = model.value("dtype") or "float16"
    steps = 1 if FAMILY_OF[name] == "hidream" else STEPS  # it draws 128 px at least
    plan = planned(name, dtype=dtype, steps=steps)
    generator = plan.load()
    pipeline = generator.pipeline  # type: ignore[attr-defined]
    network = denoiser(pipeline)
    with recorded(network, "hidden_states") as calls:
        images = draw(generator, num_images=2)
    size = (plan.spec.width_px, plan.spec.height_px)
    assert [image.size for image in images] == [size] * 2
    assert differ(images[:1], images[1:]), "a seed each"
    rows = sum(map(len, calls)) / steps / 2
    assert rows == (1 if name == "lumina2" else model.value("rows"))  # of its 50 steps the first 12
    parts = [network, pipeline.vae, *encoders(pipeline)]
    assert {str(part.dtype) for part in parts} == {f"torch.{dtype}"}


def expected_tokens(model: PublishedModel) -> list[int]:
    return [encoder.tokens for encoder in model.encoders if encoder.tokens]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_guidance_negative_prompt_and_tokens(
    name: str, planned: Callable[..., GenerationPlan]
) -> None:
    model, family = TABLE[name], FAMILY_OF[name]
    # Lumina 2 is guided in the first quarter of its steps; HiDream-I1 draws 128 px at least.
    steps = {"lumina2": 4, "hidream": 1}.get(family, STEPS)
    planned = functools.partial(planned, steps=steps)
    plan = planned(name)
    generator = plan.load()
    pipeline = generator.pipeline  # type: ignore[attr-defined]
    plain = draw(generator)
    other = planned(name, guidance_scale=(plan.spec.guidance_scale or 0) + 3)
    generator.spec = other.spec  # type: ignore[attr-defined]
    assert differ(plain, draw(generator)), "guidance reaches the denoiser"
    takes_negative = model.value("rows") == 2 and family != "omnigen"
    if takes_negative:
        generator.spec = planned(name, negative_prompt="blue square").spec  # type: ignore[attr-defined]
        assert differ(plain, draw(generator)), "the negative prompt reaches the denoiser"
    else:
        with pytest.raises(UsageError, match="--negative-prompt"):
            planned(name, negative_prompt="blue square")
    generator.spec = plan.spec  # type: ignore[attr-defined]
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(recorded(one, "input_ids")) for one in encoders(pipeline)]
        draw(generator, LONG)
    shown = [max(ids.shape[1] for ids in seen) for seen in calls]
    around = AROUND.get(family)
    tokens = expected_tokens(model)
    if around is None:
        assert shown == (tokens or [77] * len(shown))
    else:
        assert shown[0] >= tokens[0] + around
    truncation = generator.truncation(["a red circle", LONG])
    if family == "omnigen":
        assert truncation.limit is None
    else:
        assert truncation == (max(shown) if around is None else tokens[0], (1,))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("hunyuan-dit", "omnigen") else pytest.mark.slow)
        for name in ONE_OF_EACH
    ],
)
def test_no_family_draws_black_pictures_of_nan(
    name: str, planned: Callable[..., GenerationPlan]
) -> None:
    generator = planned(name).load()
    with torch.no_grad():
        for weights in generator.pipeline.vae.decoder.parameters():  # type: ignore[attr-defined]
            weights.fill_(float("nan"))
    with pytest.raises(DataError, match="holds NaN or infinite numbers in 1 of 1 tile"):
        draw(generator)


def test_lumina2_is_guided_for_the_first_quarter_of_its_steps(
    planned: Callable[..., GenerationPlan],
) -> None:
    generator = planned("lumina2", steps=8).load()
    with recorded(denoiser(generator.pipeline), "hidden_states") as calls:  # type: ignore[attr-defined]
        draw(generator)
    rows = list(map(len, calls))
    assert sum(rows) == 8 + 2
    asked = planned("lumina2", steps=8, options={"cfg_trunc_ratio": 1.0}).load()
    with recorded(denoiser(asked.pipeline), "hidden_states") as calls:  # type: ignore[attr-defined]
        draw(asked)
    assert sum(map(len, calls)) == 16


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_size_that_would_not_come_out_is_refused(
    name: str, planned: Callable[..., GenerationPlan]
) -> None:
    model = TABLE[name]
    multiple = 32 if FAMILY_OF[name] == "sana" else 8
    with pytest.raises(UsageError, match=rf"--width \d+: {name.replace('.', '[.]')} draws"):
        planned(name, width_px=PX.get(FAMILY_OF[name], 64) + multiple // 2)
    if FAMILY_OF[name] == "hidream":
        with pytest.raises(UsageError, match="scales every size to the area of 128x128"):
            planned(name, width_px=64, height_px=64)
        assert planned(name, width_px=64, height_px=256).spec.width_px == 64
    assert math.gcd(model.value("px") or 1024, 32) % multiple == 0


def test_sizes_of_hunyuan_dit_are_drawn_as_asked(planned: Callable[..., GenerationPlan]) -> None:
    images = draw(planned("hunyuan-dit", width_px=96, height_px=64).load())
    assert images[0].size == (96, 64), "and not the nearest of its own, 1024x1024"


def test_kolors_samples_with_karras_sigmas(planned: Callable[..., GenerationPlan]) -> None:
    spec = planned("kolors").spec
    assert spec.scheduler == "DPMSolverMultistepScheduler"
    assert spec.scheduler_config["use_karras_sigmas"] is True
    assert spec.scheduler_config["beta_end"] == 0.02, "the repository's"
    scheduler = planned("kolors").load().pipeline.scheduler  # type: ignore[attr-defined]
    assert type(scheduler).__name__ == "DPMSolverMultistepScheduler"


def test_words_after_the_prompt(planned: Callable[..., GenerationPlan]) -> None:
    plain = planned("pixart-alpha").load()
    suffixed = planned("pixart-alpha", options={"prompt_suffix": ", a blue square"}).load()
    assert differ(draw(plain), draw(suffixed))
    whole = draw(plain, "a red circle, a blue square")
    assert not differ(whole, draw(suffixed))


def test_files_of_a_variant_alone_load(
    planned: Callable[..., GenerationPlan], folders: Callable[[str], Path], tmp_path: Path
) -> None:
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folders("sdxl"), dtype=torch.float16)
    pipeline.save_pretrained(tmp_path / "fp16", variant="fp16")
    assert not (tmp_path / "fp16/unet/diffusion_pytorch_model.safetensors").exists()
    settings = {"steps": STEPS, "width_px": 64, "height_px": 64}
    request = GeneratorRequest("sdxl", {"base": str(tmp_path / "fp16")}, settings, "cpu")
    assert draw(make_plan(request).load())[0].size == (64, 64)


def test_another_class_than_the_model_s_is_refused(
    folders: Callable[[str], Path], run: Run, tmp_path: Path
) -> None:
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    ended = run(
        "generate", "--model", "pixart-alpha", "--bench", bench,
        "--weights", f"base={folders('sdxl')}",
    )  # fmt: skip
    assert ended.code == 4
    assert "holds a StableDiffusionXLPipeline, but pixart-alpha is a PixArtAlpha" in ended.error
    assert "--model hf:" in ended.error


def test_a_missing_package_is_said_before_anything_is_fetched(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    for name in ("omnigen", "flux2-dev"):
        ended = run("generate", "--model", name, "--bench", bench)
        assert ended.code == 4
        assert f"model {name} needs torchvision" in ended.error
        assert "pip install torchvision" in ended.error


def test_a_pipeline_that_diffusers_lacks_a_package_for_is_one_line(
    planned: Callable[..., GenerationPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.pipelines.omnigen import pipeline_omnigen

    plan = planned("omnigen")
    monkeypatch.delattr(pipeline_omnigen, "OmniGenMultiModalProcessor")
    with pytest.raises(SetupError, match="pip install torchvision"):
        plan.load()


def test_options_of_the_command_line(
    folders: Callable[[str], Path], run: Run, tmp_path: Path
) -> None:
    import json

    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    words = ["generate", "--model", "pixart-alpha", "--weights", f"base={folders('pixart')}",
             "--bench", bench, "--width", 64, "--height", 64, "--steps", 2, "--out", "r",
             "--device", "cpu"]  # fmt: skip
    ended = run(*words, "--option", "max_sequence_length=60", "--option", "prompt_suffix= yes")
    assert ended.code == 0, ended.err
    generation = json.loads((tmp_path / "r/manifest.json").read_text())["identity"]["generation"]
    assert generation["options"] == {"max_sequence_length": 60, "prompt_suffix": " yes"}
    assert run(*words, "--option", "max_sequence_length=many").code == 2
    assert run(*words, "--option", "other=1").code == 2


def test_the_class_is_the_hub_s() -> None:
    from dpgbench.backends.generators.table import find_model

    for name in FAMILY_OF.keys() - {"sd15"}:
        assert find_model(name).target.endswith(HubPipeline.__name__)


ONE_PROMPT_A_CALL = {"qwen-image", "qwen-image-2512", "omnigen", "cogview4"}
LARGE = {"hidream-i1-full", "sana-0.6b", "sana-1.6b", "flux2-dev"}
"""Even at tiny size their drawing takes seconds."""
PROMPTS = ("a red circle", "a large blue square left of a small green triangle, on white", "two")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in ONE_OF_EACH],
)
def test_several_prompts_in_a_call_are_drawn_as_each_alone(
    name: str, planned: Callable[..., GenerationPlan]
) -> None:
    steps = 1 if FAMILY_OF[name] == "hidream" else STEPS
    plan = planned(name, steps=steps, num_images=2)
    generator: Any = plan.load()
    alone = [generator.draw(prompt, [1, 2]) for prompt in PROMPTS]
    several = generator.takes_several_prompts(plan.entry, plan.weights)
    assert differ(alone[0], alone[1]), "prompts matter"
    within = DrawnWithinMemory(generator, DrawingOptions(3 if several else 1))
    items = [ItemToDraw(prompt, prompt, (1, 2)) for prompt in PROMPTS]
    with recorded(denoiser(generator.pipeline), "hidden_states") as calls:
        together = list(within.draw_items(items))
    for images, item in zip(alone, together, strict=True):
        assert not isinstance(item.result, Exception), item.result
        for first, second in zip(images, item.result, strict=True):
            apart = ImageChops.difference(first, second).getextrema()
            assert max(high for _, high in apart) <= 1
    assert several == (name not in ONE_PROMPT_A_CALL)
    assert len(calls) <= steps * (1 if several else 3) * 2
