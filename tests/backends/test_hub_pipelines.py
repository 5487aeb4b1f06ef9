"""Pipelines of the hub: their size, guidance and limits reach the networks as they should."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from dpgbench.backends.generators import plan as plans
from dpgbench.backends.generators.hub_classes import (
    draws_from_text,
    furthest_reader,
    guidance_argument,
    native_size,
    stored_dtype,
)
from dpgbench.backends.generators.hub_pipeline import HubPipeline
from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest, make_plan
from dpgbench.backends.generators.published_models import published_model, published_models
from dpgbench.backends.generators.table import find_model
from dpgbench.backends.weights.locate import Weights
from dpgbench.errors import DataError, UsageError
from tests.backends.tiny_pipelines import PIPELINES, sd3, write_pipeline
from tests.helpers import Run, row, write_csv

STEPS = 3
Planned = Callable[..., GenerationPlan]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pipelines")
    for name in PIPELINES:
        write_pipeline(name, root / name)
    return root


@pytest.fixture
def planned(folders: Path) -> Planned:
    def plan(name: str, **settings: Any) -> GenerationPlan:
        return make_plan(
            GeneratorRequest(
                f"hf:{folders / name}", settings={"steps": STEPS, **settings}, device="cpu"
            )
        )

    return plan


def denoised(generator: Any, num_images: int = 2) -> tuple[float, dict[str, Any], Any]:
    """Draw, and return the denoiser's rows a step, its last arguments and the images."""
    rows: list[int] = []
    seen: dict[str, Any] = {}

    def record(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        latents = args[0] if args else kwargs["hidden_states"]
        rows.append(len(latents))
        seen.update(kwargs)

    handle = generator.pipeline.transformer.register_forward_pre_hook(record, with_kwargs=True)
    images = generator.draw("a red circle", list(range(num_images)))
    handle.remove()
    return sum(rows) / STEPS, seen, images


@pytest.mark.parametrize(
    ("name", "size", "guided"),
    [
        ("flux", (64, 64), 1),
        ("sd3", (64, 64), 2),
        ("pixart", (256, 256), 2),
        ("sana", (512, 512), 2),
        ("lumina2", (32, 32), 2),
        ("qwen", (64, 64), 2),
    ],
)
def test_guidance_reaches_the_denoiser_and_images_have_the_asked_size(
    planned: Planned, name: str, size: tuple[int, int], guided: int
) -> None:
    asked = {"width_px": size[0], "height_px": size[1]} if name in ("flux", "qwen") else {}
    generator = planned(name, **asked).load()
    rows, seen, images = denoised(generator)
    assert rows == 2 * guided
    assert [image.size for image in images] == [size] * 2
    if name == "flux":
        assert seen["guidance"].tolist() == [3.5, 3.5]


@pytest.mark.parametrize("name", ["flux", "sana"])
def test_no_pipeline_draws_black_pictures_of_nan(planned: Planned, name: str) -> None:
    asked = {"width_px": 64, "height_px": 64} if name in ("flux", "qwen") else {}
    generator = planned(name, **asked).load()
    with torch.no_grad():
        next(generator.pipeline.vae.decoder.parameters()).fill_(float("nan"))
    with pytest.raises(DataError, match=r"decoded image holds NaN .* in 2 of 2 tiles \(0, 1"):
        generator.draw("a red circle", [0, 1])
    with torch.no_grad():
        for weights in generator.pipeline.transformer.parameters():
            weights.fill_(float("inf"))
    with pytest.raises(DataError, match=r"latents hold NaN .* in 2 of 2 tiles \(0, 1"):
        generator.draw("a red circle", [0, 1])


def test_qwen_image_is_guided_by_an_empty_negative_prompt_and_not_without_guidance(
    planned: Planned,
) -> None:
    plan = planned("qwen", width_px=64, height_px=64)
    assert (plan.spec.guidance_scale, plan.spec.negative_prompt) == (4.0, " ")
    assert plan.spec.options["guidance_argument"] == "true_cfg_scale"
    for negative in ("", "blurry"):
        asked = planned("qwen", width_px=64, height_px=64, negative_prompt=negative)
        assert denoised(asked.load())[0] == 4
    unguided = planned("qwen", width_px=64, height_px=64, guidance_scale=1.0).load()
    assert denoised(unguided)[0] == 2


def test_guidance_that_is_given_is_the_guidance_that_is_used(planned: Planned) -> None:
    _, seen, _ = denoised(planned("flux", width_px=64, height_px=64, guidance_scale=0.0).load())
    assert seen["guidance"].tolist() == [0.0, 0.0]
    assert denoised(planned("sd3", guidance_scale=1.0).load())[0] == 2


@pytest.mark.parametrize(
    ("name", "px"),
    [("flux", 256), ("sd3", 64), ("pixart", 256), ("sana", 512), ("lumina2", 32), ("qwen", 512)],
)
def test_the_pipeline_is_asked_for_its_size(folders: Path, name: str, px: int) -> None:
    index = json.loads((folders / name / "model_index.json").read_text())
    cls = getattr(diffusers, index["_class_name"])
    assert native_size(folders / name, cls) == (px, px)


@pytest.mark.parametrize("sample_size", [16, 32, 64, 128])
def test_each_size_of_sana_is_known(folders: Path, tmp_path: Path, sample_size: int) -> None:
    shutil.copytree(folders / "sana", tmp_path / "sana")
    file = tmp_path / "sana/transformer/config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sample_size": sample_size}))
    px = 32 * sample_size
    assert native_size(tmp_path / "sana", diffusers.SanaPipeline) == (px, px)


@pytest.mark.parametrize(
    ("name", "limit"),
    [("flux", 512), ("sd3", 256), ("pixart", 120), ("sana", 300), ("lumina2", 256), ("qwen", 512)],
)
def test_the_limit_is_that_of_the_encoder_that_reads_furthest(
    planned: Planned, name: str, limit: int
) -> None:
    generator = planned(name).load()
    reader = furthest_reader(generator.pipeline, generator.spec.options)
    assert reader is not None

    def tokens(text: str) -> int:
        return len(reader.tokenizer(reader.sent(text), verbose=False).input_ids) - reader.free

    prompt = "red "
    while tokens(prompt + "red ") <= limit:
        prompt += "red "
    longer = prompt + "red " * (limit + 1 - tokens(prompt))
    truncation = generator.truncation([prompt, "a red circle", longer])
    assert (truncation.limit, truncation.cut) == (limit, (2,))


def test_an_encoder_that_is_left_out_reads_nothing() -> None:
    assert furthest_reader(sd3(with_t5=False), {"max_sequence_length": 256}).limit == 77
    assert furthest_reader(sd3(), {"max_sequence_length": 256}).limit == 256


@pytest.mark.parametrize(
    ("cls", "argument"),
    [
        ("StableDiffusionPipeline", "guidance_scale"),
        ("FluxPipeline", "guidance_scale"),
        ("StableDiffusion3Pipeline", "guidance_scale"),
        ("SanaPipeline", "guidance_scale"),
        ("QwenImagePipeline", "true_cfg_scale"),
        ("ZImagePipeline", "guidance_scale"),
    ],
)
def test_the_argument_of_guidance(cls: str, argument: str) -> None:
    import inspect

    parameters = inspect.signature(getattr(diffusers, cls).__call__).parameters
    assert guidance_argument(parameters) == argument


def test_pipelines_that_need_a_picture_are_told_from_those_that_may_take_one() -> None:
    assert draws_from_text(diffusers.Flux2Pipeline)
    assert draws_from_text(diffusers.StableDiffusionPipeline)
    for cls in (
        diffusers.StableDiffusionImg2ImgPipeline,
        diffusers.StableDiffusionControlNetPipeline,
        diffusers.FluxFillPipeline,
    ):
        assert not draws_from_text(cls)


@pytest.fixture
def named(folders: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., GenerationPlan]:
    """Plan a repository of the hub as if it had been fetched."""

    def plan(repository: str, name: str, device: str = "cuda", **settings: Any) -> GenerationPlan:
        weights = {"base": Weights(folders / name, {"f": "0"})}
        monkeypatch.setattr(plans, "locate_weights", lambda *_: weights)
        monkeypatch.setattr(plans, "find_device", lambda name: name)
        return make_plan(GeneratorRequest(f"hf:{repository}", settings=settings, device=device))

    return plan


def test_schnell_is_run_as_its_authors_do_and_not_as_its_class_says(
    named: Callable[..., GenerationPlan],
) -> None:
    plan = named("black-forest-labs/FLUX.1-schnell", "flux")
    spec = plan.spec
    assert (spec.steps, spec.guidance_scale, spec.width_px) == (4, 0.0, 1024)
    assert spec.options == {"max_sequence_length": 256}
    assert spec.dtype == "bfloat16"
    assert "steps" not in " ".join(plan.notes)
    assert "scheduler" in " ".join(plan.notes)
    assert named("black-forest-labs/FLUX.1-schnell", "flux", "cpu").spec.dtype == "float32"
    asked = named("black-forest-labs/FLUX.1-schnell", "flux", steps=8, dtype="float16").spec
    assert (asked.steps, asked.dtype) == (8, "float16")


def test_other_settings_of_the_table_reach_the_specification(
    named: Callable[..., GenerationPlan],
) -> None:
    qwen = named("Qwen/Qwen-Image", "qwen").spec
    assert (qwen.width_px, qwen.guidance_scale, qwen.negative_prompt) == (1328, 4.0, " ")
    lumina = named("Alpha-VLLM/Lumina-Image-2.0", "lumina2").spec
    assert (lumina.steps, lumina.options["cfg_trunc_ratio"]) == (50, 0.25)
    sana = named("Efficient-Large-Model/Sana_1600M_1024px_BF16_diffusers", "sana").spec
    assert (sana.width_px, sana.dtype) == (1024, "bfloat16")


def test_what_the_table_does_not_know_is_said(planned: Planned, folders: Path) -> None:
    notes = make_plan(GeneratorRequest(f"hf:{folders / 'flux'}", device="cpu")).notes
    assert len(notes) == 1
    assert "steps 28, guidance 3.5 by the defaults of FluxPipeline" in notes[0]
    assert "scheduler FlowMatchEulerDiscreteScheduler, size 256x256 px by the" in notes[0]
    assert "the table of published settings does not know it" in notes[0]
    assert "steps" not in planned("flux").notes[0]  # given


def test_a_precision_that_is_a_guess_is_said(named: Callable[..., GenerationPlan]) -> None:
    plan = named("some/other-model", "flux")
    assert plan.spec.dtype == "float16"
    assert "precision float16 assumed" in plan.notes[0]
    for other in (
        named("some/other-model", "flux", dtype="bfloat16"),
        named("some/other-model", "flux", "cpu"),
        named("black-forest-labs/FLUX.1-dev", "flux"),
    ):
        assert "precision" not in " ".join(other.notes)


def test_bfloat16_weights_run_in_bfloat16(folders: Path, tmp_path: Path) -> None:
    transformer = diffusers.FluxTransformer2DModel.from_pretrained(folders / "flux/transformer")
    for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16")):
        transformer.to(dtype).save_pretrained(tmp_path / name / "transformer")
        assert stored_dtype(tmp_path / name) == name
    assert stored_dtype(folders / "flux") is None
    assert stored_dtype(tmp_path) is None


def test_repositories_are_found_by_any_of_their_names() -> None:
    entry = published_model("black-forest-labs/FLUX.1-dev")
    assert entry is not None
    assert published_model("Black-Forest-Labs/flux.1-dev") is entry
    assert published_model("flux-dev") is entry
    cached = "/cache/models--black-forest-labs--FLUX.1-dev/snapshots/0f1e"
    assert published_model(cached) is entry
    assert published_model("black-forest-labs/FLUX.1-other") is None
    for pair in ("sd15", "ella-sd15"):  # their settings are of the pair, not of the repository
        assert published_model(published_models()[pair].repository) is None


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("flux", {"negative_prompt": "blurry"}, "--negative-prompt: the guidance of FluxPipeline"),
    ],
)
def test_settings_without_effect_are_refused(
    planned: Planned, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        planned(name, **settings)


def test_a_checker_of_the_repository_is_left_out_and_that_is_said(run: Run, tmp_path: Path) -> None:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPConfig, CLIPImageProcessor

    from ella import tiny

    size = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "projection_dim": 8,
    }
    config = CLIPConfig(
        vision_config={**size, "image_size": 32, "patch_size": 16},
        text_config={**size, "vocab_size": 100},
        projection_dim=8,
    )
    checker = StableDiffusionSafetyChecker(config)
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-5.0)  # everything is flagged
    parts = tiny.tiny_pipeline().components
    parts["safety_checker"] = checker
    parts["feature_extractor"] = CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )
    diffusers.StableDiffusionPipeline(**parts, requires_safety_checker=True).save_pretrained(
        tmp_path / "checked"
    )
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    words = ("--bench", bench, "--steps", 1, "--out", "r")
    ended = run("generate", "--model", "hf:checked", *words)
    assert ended.code == 0, ended.err
    assert "note: the safety checker of hf:checked is left out" in ended.err
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert "the safety checker of hf:checked is left out" in manifest["notes"]
    assert manifest["generation"]["single_colour"]["tiles"] == 0


def test_a_pipeline_that_draws_one_image_at_a_time_is_called_for_each(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = planned("sd3").load()
    whole = generator.draw("a red circle", [3, 4])
    monkeypatch.setattr(
        generator,
        "parameters",
        {k: v for k, v in generator.parameters.items() if k != "num_images_per_prompt"},
    )
    single = generator.draw("a red circle", [3, 4])
    assert len(single) == 2
    assert single[0].tobytes() != single[1].tobytes()
    assert [image.size for image in single] == [image.size for image in whole]


def test_the_entry_of_a_repository_has_its_class() -> None:
    assert find_model("hf:a/b").target.endswith(HubPipeline.__name__)
