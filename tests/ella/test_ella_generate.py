"""The conditions that the U-Net is shown, step by step, and that nothing else is touched."""

import copy
import itertools

import diffusers
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.callbacks import SDCFGCutoffCallback

from ella import ConnectorConfig, Ella, TimestepAwareSemanticConnector, UnsupportedPipelineError
from tests.ella.schedulers import SCHEDULERS, scheduler_of
from tests.golden.weights import state_dict_for

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # of diffusers

PROMPT = "a red circle left of a blue square"


@pytest.fixture
def golden_run(golden):
    """`ELLA.generate` on the golden files' own tiny networks: final latents."""
    spec, arrays = golden("ella_denoise.json"), golden("ella_denoise.npz")

    class GoldenTexts:
        feature_dim = spec["connector"]["input_dim"]

        def encode(self, texts, length):
            suffix = "_128" if length == "fixed" else ""
            names = ["prompt_features" if text else "empty_features" for text in texts]
            return [torch.from_numpy(arrays[name + suffix][0]) for name in names]

    def weights(network, shapes):
        network.load_state_dict(state_dict_for(shapes, std=spec["weight_std"]))
        return network.eval()

    def run(scheduler, length):
        vae = AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        )
        unet = weights(UNet2DConditionModel(**spec["unet"]), spec["unet_shapes"])
        pipeline = StableDiffusionPipeline(
            vae=vae,
            text_encoder=None,  # nothing of CLIP is needed
            tokenizer=None,
            unet=unet,
            scheduler=scheduler(**spec["scheduler"]),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        connector = TimestepAwareSemanticConnector(ConnectorConfig(**spec["connector"]))
        latents = Ella(weights(connector, spec["connector_shapes"]), GoldenTexts()).generate(
            pipeline,
            ["the prompt"] * 2,
            length=length,
            num_inference_steps=spec["steps"],
            guidance_scale=spec["guidance_scale"],
            generator=[torch.Generator().manual_seed(seed) for seed in spec["seeds"]],
            height=spec["height_px"],
            width=spec["width_px"],
            output_type="latent",
        )
        return latents.images.numpy()

    return run


@pytest.mark.filterwarnings(r"ignore:(?s).*clip_sample:FutureWarning")
@pytest.mark.parametrize("length", ["fixed", "flexible"])
@pytest.mark.parametrize(
    ("name", "scheduler"),
    [("dpm", diffusers.DPMSolverMultistepScheduler), ("ddim", diffusers.DDIMScheduler)],
)
def test_reference_latents(golden_run, golden, name, scheduler, length):
    expected = golden("ella_denoise.npz")[f"{name}_{length}"]
    np.testing.assert_allclose(golden_run(scheduler, length), expected, rtol=0, atol=1e-3)


def with_scheduler(pipeline, name):
    pipeline.scheduler = scheduler_of(pipeline.scheduler.config, name)
    return pipeline


@pytest.mark.parametrize(
    ("scheduler", "length"),
    [*zip(SCHEDULERS, itertools.cycle(["fixed", "flexible"]), strict=False)],
)
def test_every_step_gets_the_conditions_of_its_timestep(
    ella, pipeline, watch, expected_tokens, scheduler, length
):
    seen = watch(with_scheduler(pipeline, scheduler).unet)
    how = {"length": length, "num_inference_steps": 5, "output_type": "latent"}
    ella.generate(pipeline, PROMPT, negative_prompt="dog", **how)
    timesteps = [timestep for timestep, _ in seen]
    assert timesteps == pipeline.scheduler.timesteps.tolist()
    assert len(timesteps) >= 5
    for timestep, tokens in seen:
        expected = expected_tokens(timestep, ["dog", PROMPT], length)
        torch.testing.assert_close(tokens, expected, atol=1e-4, rtol=1e-4)


def test_batches_guidance_and_images_per_prompt_are_stacked_as_diffusers_stacks_them(
    ella, pipeline, watch, expected_tokens
):
    seen = watch(pipeline.unet)
    ella.generate(
        pipeline,
        ["dog", "a cat"],
        negative_prompt=["red", "blue"],
        num_images_per_prompt=2,
        num_inference_steps=2,
    )
    order = ["red", "red", "blue", "blue", "dog", "dog", "a cat", "a cat"]
    for timestep, tokens in seen:
        torch.testing.assert_close(tokens, expected_tokens(timestep, order), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("guidance_scale", [0.0, 1.0])
def test_without_guidance_the_prompt_stands_alone(
    ella, pipeline, watch, expected_tokens, guidance_scale
):
    seen = watch(pipeline.unet)
    ella.generate(pipeline, "dog", guidance_scale=guidance_scale, num_inference_steps=2)
    for timestep, tokens in seen:
        torch.testing.assert_close(tokens, expected_tokens(timestep, ["dog"]), atol=1e-4, rtol=1e-4)


def test_each_image_follows_its_own_generator_whatever_the_batch(ella, pipeline, seeded):
    def draw(prompts, seeds, **arguments):
        return ella.generate(
            pipeline,
            prompts,
            generator=seeded(*seeds),
            num_inference_steps=2,
            output_type="latent",
            **arguments,
        ).images

    four = draw(PROMPT, range(4), num_images_per_prompt=4)
    torch.testing.assert_close(draw([PROMPT] * 4, range(4)), four, atol=1e-4, rtol=1e-4)
    alone = torch.cat([draw(PROMPT, [seed]) for seed in range(4)])
    torch.testing.assert_close(alone, four, atol=1e-4, rtol=1e-4)


def test_the_same_call_gives_the_same_bits(ella, pipeline, seeded):
    images = [
        ella.generate(pipeline, PROMPT, generator=seeded(3), num_inference_steps=2).images[0]
        for _ in range(2)
    ]
    assert images[0].tobytes() == images[1].tobytes()


def test_fixed_and_flexible_draw_other_images(ella, pipeline, seeded):
    fixed, flexible = (
        ella.generate(
            pipeline,
            PROMPT,
            length=length,
            generator=seeded(3),
            num_inference_steps=2,
            output_type="latent",
        ).images
        for length in ("fixed", "flexible")
    )
    assert (fixed - flexible).abs().max() > 0.01


def test_custom_timesteps(ella, pipeline, watch, expected_tokens):
    seen = watch(with_scheduler(pipeline, "dpm").unet)
    ella.generate(pipeline, "dog", timesteps=[900, 350, 20])
    assert [timestep for timestep, _ in seen] == [900, 350, 20]
    for timestep, tokens in seen:
        torch.testing.assert_close(
            tokens, expected_tokens(timestep, ["", "dog"]), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("steps", [1, 70])  # 70 x 2 texts: more than one chunk of conditions
def test_short_and_long_schedules(ella, pipeline, watch, expected_tokens, steps):
    seen = watch(pipeline.unet)
    ella.generate(pipeline, "dog", num_inference_steps=steps, output_type="latent")
    assert len(seen) == steps
    for timestep, tokens in (seen[0], seen[-1]):
        torch.testing.assert_close(
            tokens, expected_tokens(timestep, ["", "dog"]), atol=1e-4, rtol=1e-4
        )


def test_clip_tokens_follow_ellas_and_stay_the_same(ella, pipeline, watch, expected_tokens):
    seen = watch(pipeline.unet)
    ella.generate(pipeline, PROMPT, with_clip=True, num_images_per_prompt=2, num_inference_steps=3)
    prompt_clip, empty_clip = pipeline.encode_prompt([PROMPT], "cpu", 2, True)
    for timestep, tokens in seen:
        num_ella = ella.connector.config.num_latents
        assert tokens.shape == (4, num_ella + 77, ella.connector.config.width)
        texts = ["", "", PROMPT, PROMPT]
        torch.testing.assert_close(
            tokens[:, :num_ella], expected_tokens(timestep, texts), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(tokens[:, num_ella:], torch.cat([empty_clip, prompt_clip]))


def test_clip_tokens_speak_textual_inversion(ella, pipeline, watch):
    pipeline.load_textual_inversion({"<mine>": torch.full((1, 32), 3.0)}, token="<mine>")
    seen = watch(pipeline.unet)
    for prompt in ("a <mine>", "a dog"):
        ella.generate(pipeline, prompt, with_clip=True, guidance_scale=1.0, num_inference_steps=1)
    assert (seen[0][1][:, 8:] - seen[1][1][:, 8:]).abs().max() > 0.1


def frozen(pipeline):
    """All that a call must leave as it was."""
    unet = pipeline.unet
    return {
        "class": type(unet),
        "attributes": set(vars(unet)),
        "hooks": [
            len(module._forward_pre_hooks) + len(module._forward_hooks) for module in unet.modules()
        ],
        "forward": "forward" in vars(unet),
        "processors": {name: type(p) for name, p in unet.attn_processors.items()},
        "components": {name: id(component) for name, component in pipeline.components.items()},
        "weights": copy.deepcopy(unet.state_dict()),
    }


def assert_untouched(pipeline, before):
    after = frozen(pipeline)
    weights, same = before.pop("weights"), after.pop("weights")
    assert before == after
    assert list(weights) == list(same)
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert type(pipeline.unet) is UNet2DConditionModel


def test_a_call_leaves_nothing_behind(ella, pipeline, seeded):
    def plain():
        return pipeline("a dog", generator=seeded(0), num_inference_steps=2).images[0].tobytes()

    plain_before = plain()
    before = frozen(pipeline)
    ella.generate(pipeline, PROMPT, num_inference_steps=2)
    assert_untouched(pipeline, before)
    assert plain() == plain_before


def test_an_exception_in_the_middle_leaves_nothing_behind(ella, pipeline):
    class Broken(Exception):
        pass

    def break_off(_pipeline, step, _timestep, tensors):
        if step == 1:
            raise Broken
        return tensors

    before = frozen(pipeline)
    with pytest.raises(Broken):
        ella.generate(pipeline, PROMPT, num_inference_steps=4, callback_on_step_end=break_off)
    assert_untouched(pipeline, before)


def test_the_users_callback_runs_too(ella, pipeline, expected_tokens):
    calls = []

    def note(caller, step, timestep, tensors):
        calls.append((caller, step, float(timestep), sorted(tensors), tensors["prompt_embeds"]))
        return {"latents": torch.zeros_like(tensors["latents"])}

    latents = ella.generate(
        pipeline,
        "dog",
        num_inference_steps=3,
        output_type="latent",
        callback_on_step_end=note,
        callback_on_step_end_tensor_inputs=["latents"],
    ).images
    timesteps = pipeline.scheduler.timesteps.tolist()
    assert not latents.any()  # what it returned was used
    assert [call[:4] for call in calls] == [
        (pipeline, step, timestep, ["latents", "prompt_embeds"])
        for step, timestep in enumerate(timesteps)
    ]
    torch.testing.assert_close(
        calls[0][4], expected_tokens(timesteps[1], ["", "dog"]), atol=1e-4, rtol=1e-4
    )


def test_diffusers_own_callbacks_run_too(ella, pipeline, watch, expected_tokens):
    seen = watch(pipeline.unet)
    ella.generate(
        pipeline,
        "dog",
        num_inference_steps=4,
        callback_on_step_end=SDCFGCutoffCallback(cutoff_step_ratio=None, cutoff_step_index=1),
    )
    texts = [["", "dog"], ["", "dog"], ["dog"], ["dog"]]  # guidance ends after step 1
    for (timestep, tokens), expected in zip(seen, texts, strict=True):
        torch.testing.assert_close(
            tokens, expected_tokens(timestep, expected), atol=1e-4, rtol=1e-4
        )


def test_torchs_global_generator_is_used_as_by_the_pipeline_alone(ella, pipeline):
    def next_number(run):
        torch.manual_seed(0)
        run(num_inference_steps=2)
        return torch.rand(1)

    assert next_number(lambda **k: ella.generate(pipeline, PROMPT, **k)) == next_number(
        lambda **k: pipeline(PROMPT, **k)
    )


def test_nothing_can_be_trained_through_a_call(ella, pipeline):
    latents = ella.generate(pipeline, PROMPT, num_inference_steps=1, output_type="latent").images
    assert not latents.requires_grad


def test_the_connector_may_run_in_another_precision(text_encoder, pipeline, connector, watch):
    seen = watch(pipeline.unet)
    half = copy.deepcopy(connector).half()
    Ella(half, text_encoder).generate(pipeline, PROMPT, num_inference_steps=2)
    assert {tokens.dtype for _, tokens in seen} == {torch.float32}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"prompt": []},
            ValueError,
            r"`prompt` must be a text or a list of at least one, got \[\]",
        ),
        ({"prompt": [3]}, ValueError, r"`prompt` must be .* got \[3\]"),
        ({"negative_prompt": ["a", "b"]}, ValueError, "each of the 1 prompts, got 2"),
        ({"length": "long"}, ValueError, "`length` must be 'fixed' or 'flexible', got 'long'"),
        ({"prompt_embeds": torch.zeros(1)}, ValueError, "`prompt_embeds` is computed by ELLA"),
        ({"num_inference_step": 3}, TypeError, "takes no argument `num_inference_step`, got 3"),
    ],
)
def test_wrong_arguments_are_named(ella, pipeline, arguments, error, message):
    with pytest.raises(error, match=message):
        ella.generate(pipeline, **{"prompt": PROMPT, **arguments})


def test_with_clip_needs_clip(ella, pipeline):
    pipeline.text_encoder = None
    with pytest.raises(ValueError, match="`with_clip` needs a pipeline with a `text_encoder`"):
        ella.generate(pipeline, PROMPT, with_clip=True)


def test_widths_must_agree(connector, text_encoder, pipeline):
    class Narrow:
        feature_dim = 7

    with pytest.raises(ValueError, match="features of width 32, but `text_encoder` gives 7"):
        Ella(connector, Narrow())
    sizes = ConnectorConfig(width=64, input_dim=32, layers=1)
    other = Ella(TimestepAwareSemanticConnector(sizes), text_encoder)
    with pytest.raises(UnsupportedPipelineError, match=r"tokens of width 32, but .* gives 64"):
        other.generate(pipeline, PROMPT)
