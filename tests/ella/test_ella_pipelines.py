"""ELLA on diffusers' other pipelines over the same networks, and with what people add to them."""

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image

from ella import UnsupportedPipelineError
from ella.tiny import IMAGE_PX, WIDTH

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # of diffusers

PROMPT = "a red circle left of a blue square"
PICTURE = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (IMAGE_PX, IMAGE_PX, 3), dtype=np.uint8)
)
MASK = Image.new("L", PICTURE.size, 255)


def build(pipeline_class, pipeline, **components):
    built = pipeline_class(**{**pipeline.components, **components}, requires_safety_checker=False)
    built.set_progress_bar_config(disable=True)
    return built


def tiny_controlnet(unet):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8))


CASES = {
    "img2img": (StableDiffusionImg2ImgPipeline, {"image": PICTURE, "strength": 0.6}, 3),
    "img2img-default-strength": (StableDiffusionImg2ImgPipeline, {"image": PICTURE}, 4),
    "inpaint": (
        StableDiffusionInpaintPipeline,
        {"image": PICTURE, "mask_image": MASK, "strength": 0.6},
        3,
    ),
    "inpaint-default-strength": (
        StableDiffusionInpaintPipeline,
        {"image": PICTURE, "mask_image": MASK},
        5,
    ),
    "controlnet": (StableDiffusionControlNetPipeline, {"image": PICTURE}, 5),
    "controlnet-guess": (
        StableDiffusionControlNetPipeline,
        {"image": PICTURE, "guess_mode": True},
        5,
    ),
    "controlnet-img2img": (
        StableDiffusionControlNetImg2ImgPipeline,
        {"image": PICTURE, "control_image": PICTURE, "strength": 0.6},
        3,
    ),
    "controlnet-inpaint": (
        StableDiffusionControlNetInpaintPipeline,
        {"image": PICTURE, "control_image": PICTURE, "mask_image": MASK, "strength": 0.6},
        3,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_step_gets_the_conditions_of_its_timestep(
    ella, pipeline, watch, expected_tokens, case
):
    pipeline_class, arguments, num_steps = CASES[case]
    controlnet = tiny_controlnet(pipeline.unet) if "controlnet" in case else None
    components = {"controlnet": controlnet} if controlnet else {}
    built = build(pipeline_class, pipeline, **components)
    seen = watch(built.unet)
    controlled = watch(controlnet) if controlnet else []

    images = ella.generate(
        built,
        [PROMPT, "a dog"],
        num_images_per_prompt=1,
        num_inference_steps=5,
        **batched(arguments),
    ).images

    assert [image.size for image in images] == [PICTURE.size] * 2
    assert len(seen) == num_steps
    assert [timestep for timestep, _ in seen] == built.scheduler.timesteps.tolist()[-num_steps:]
    for timestep, tokens in seen:
        expected = expected_tokens(timestep, ["", "", PROMPT, "a dog"])
        torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)
    assert len(controlled) == (num_steps if controlnet else 0)
    for (timestep, tokens), (unet_timestep, unet_tokens) in zip(controlled, seen, strict=False):
        assert timestep == unet_timestep
        assert torch.equal(tokens, unet_tokens[-len(tokens) :])  # guess mode: the prompts' only
    assert type(built.unet) is UNet2DConditionModel


def batched(arguments):
    """Two of each picture: some of these pipelines do not repeat one for a batch of prompts."""
    return {k: [v] * 2 if isinstance(v, Image.Image) else v for k, v in arguments.items()}


@pytest.mark.parametrize("strength", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, HeunDiscreteScheduler])
def test_any_strength_begins_at_the_right_timestep(
    ella, pipeline, watch, expected_tokens, scheduler, strength
):
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    built = build(StableDiffusionImg2ImgPipeline, pipeline)
    seen = watch(built.unet)
    ella.generate(built, PROMPT, image=PICTURE, strength=strength, num_inference_steps=5)
    begin = (5 - int(5 * strength)) * built.scheduler.order
    assert [timestep for timestep, _ in seen] == built.scheduler.timesteps.tolist()[begin:]
    for timestep, tokens in seen:
        torch.testing.assert_close(
            tokens, expected_tokens(timestep, ["", PROMPT]), atol=1e-4, rtol=1e-4
        )


def test_a_strength_that_leaves_no_step_is_named(ella, pipeline):
    built = build(StableDiffusionImg2ImgPipeline, pipeline)
    with pytest.raises(ValueError, match=r"`strength` 0\.1 leave no step"):
        ella.generate(built, PROMPT, image=PICTURE, strength=0.1, num_inference_steps=5)


def test_saving_after_use_saves_a_plain_pipeline(ella, pipeline, seeded, tmp_path):
    def draw(used):
        return ella.generate(used, PROMPT, generator=seeded(0), num_inference_steps=2).images[0]

    drawn = draw(pipeline)
    pipeline.save_pretrained(tmp_path)
    again = DiffusionPipeline.from_pretrained(tmp_path, local_files_only=True)
    again.set_progress_bar_config(disable=True)
    assert type(again) is StableDiffusionPipeline
    assert type(again.unet) is UNet2DConditionModel
    assert draw(again).tobytes() == drawn.tobytes()


@pytest.mark.parametrize("in_place", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_compiled_unet_is_shown_the_same(ella, pipeline, seeded, in_place):
    def draw():
        return ella.generate(
            pipeline, PROMPT, generator=seeded(0), num_inference_steps=2, output_type="latent"
        ).images

    plain, again = draw(), []

    def compiler(graph, _inputs):
        again.append(graph)
        return graph.forward

    if in_place:
        pipeline.unet.compile(backend=compiler)
    else:
        pipeline.unet = torch.compile(pipeline.unet, backend=compiler)
    torch.testing.assert_close(draw(), plain, atol=1e-4, rtol=1e-4)
    compiled = len(again)
    assert compiled > 0
    draw()
    assert len(again) == compiled  # a second call compiles nothing anew
    torch._dynamo.reset()


def test_a_lora_loads_and_changes_the_image(ella, pipeline, seeded):
    def draw(**arguments):
        return ella.generate(
            pipeline,
            PROMPT,
            generator=seeded(0),
            num_inference_steps=2,
            output_type="latent",
            **arguments,
        ).images

    plain = draw()
    pipeline.load_lora_weights(lora_for(pipeline.unet))
    strong, off = draw(), draw(cross_attention_kwargs={"scale": 0.0})
    assert (strong - plain).abs().max() > 0.01
    torch.testing.assert_close(off, plain, atol=1e-4, rtol=1e-4)
    draw(with_clip=True, cross_attention_kwargs={"scale": 0.5})
    assert type(pipeline.unet) is UNet2DConditionModel


def lora_for(unet, rank=2):
    weights = {}
    for name, module in unet.named_modules():
        if name.endswith("attn2.to_k"):
            weights[f"unet.{name}.lora_A.weight"] = torch.ones(rank, module.in_features)
            weights[f"unet.{name}.lora_B.weight"] = torch.ones(module.out_features, rank)
    return weights


def test_an_unknown_pipeline_that_stacks_conditions_otherwise_is_refused(ella, pipeline):
    class Twice(StableDiffusionPipeline):
        """Shows its U-Net every token twice."""

        def encode_prompt(self, *arguments, **named):
            positive, negative = super().encode_prompt(*arguments, **named)
            return positive.repeat(1, 2, 1), negative.repeat(1, 2, 1)

    built = build(Twice, pipeline)
    with pytest.raises(UnsupportedPipelineError, match="does not know how it stacks them"):
        ella.generate(built, PROMPT, num_inference_steps=2)


def test_a_pipeline_without_step_callbacks_is_refused(ella, pipeline):
    class Bare:
        unet = pipeline.unet

        def __call__(self, prompt):
            raise AssertionError("must not be reached")

    with pytest.raises(UnsupportedPipelineError, match="Bare: its conditions cannot be changed"):
        ella.generate(Bare(), PROMPT)


def test_a_schedule_that_was_not_foreseen_is_refused(ella, pipeline, monkeypatch):
    class Late(StableDiffusionPipeline):
        """Throws the first step away, behind ELLA's back."""

        def prepare_extra_step_kwargs(self, generator, eta):
            self.scheduler.timesteps[0] -= 1
            return super().prepare_extra_step_kwargs(generator, eta)

    built = build(Late, pipeline)
    with pytest.raises(UnsupportedPipelineError, match=r"began at timestep 500 of 2, .* for 501"):
        ella.generate(built, PROMPT, num_inference_steps=2)


def test_a_unet_of_another_kind_is_refused(ella, pipeline):
    pipeline.unet = UNet2DConditionModel.from_config(
        pipeline.unet.config, cross_attention_dim=WIDTH * 2
    )
    with pytest.raises(UnsupportedPipelineError, match="use the base model"):
        ella.generate(pipeline, PROMPT)
