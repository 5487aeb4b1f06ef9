"""What people combine equals a plain loop, step by step, prompt by prompt (`plain_loop`)."""

import itertools
import subprocess
import sys

import diffusers
import numpy as np
import pytest
import torch
from diffusers import (
    AnimateDiffPipeline,
    ControlNetModel,
    DPMSolverMultistepScheduler,
    MotionAdapter,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    UNet2DConditionModel,
)

from ella import Ella, UnsupportedPipelineError, tiny
from tests.ella.pipeline_kinds import with_ip_adapter
from tests.ella.plain_loop import assert_near, clip_of, draw, tokens_of, xl_of
from tests.helpers import REPOSITORY

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array:DeprecationWarning"),  # of diffusers
    pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning"),  # likewise
]

PROMPTS = ("a red circle", "two dogs beside a tree")
NEGATIVES = ("dog", "")
SEEDS = (1, 2)
ARGUMENTS = {"num_inference_steps": 3, "guidance_scale": 7.5, "output_type": "latent"}


def both(ella, pipeline, seeded, *, how=None, plain=None, **arguments):
    """Latents of two prompts in one call, and of the plain loop."""
    drawn = ella.generate(
        pipeline,
        list(PROMPTS),
        negative_prompt=list(NEGATIVES),
        generator=seeded(*SEEDS),
        **(how or {}),
        **{**ARGUMENTS, **arguments},
    ).images
    loop = [
        draw(ella, pipeline, prompt, seed, negative=negative, **(how or {}), **(plain or {}))
        for prompt, negative, seed in zip(PROMPTS, NEGATIVES, SEEDS, strict=True)
    ]
    return drawn, torch.cat(loop)


def is_quick(case):
    """Whether it is of the half in which any two of the three have every pair of values."""
    length, *others = case
    return ((length == "flexible") + sum(others)) % 2 == 0


@pytest.mark.parametrize(
    ("length", "with_clip", "positive_only"),
    [
        pytest.param(*case, marks=[] if is_quick(case) else pytest.mark.slow)
        for case in itertools.product(["fixed", "flexible"], [False, True], [False, True])
    ],
)
def test_texts_clip_and_the_negative_prompt(
    ella, pipeline, seeded, length, with_clip, positive_only
):
    if with_clip:
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    how = {"length": length, "with_clip": with_clip, "positive_only": positive_only}
    assert_near(*both(ella, pipeline, seeded, how=how))


def test_ella_in_the_prompt_alone_draws_another_picture_and_leaves_the_pipeline(
    ella, pipeline, seeded
):
    before = dict(vars(pipeline))
    drawn, _ = both(ella, pipeline, seeded, how={"positive_only": True})
    assert vars(pipeline) == before
    assert type(pipeline.unet) is UNet2DConditionModel
    usual, _ = both(ella, pipeline, seeded)
    assert float((drawn - usual).abs().max()) > 0.01


@pytest.mark.parametrize("positive_only", [False, True])
def test_guidance_that_ends_half_way(ella, pipeline, seeded, positive_only):
    def end_guidance(caller, step, _timestep, tensors):
        if step == 0:
            caller._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"].chunk(2)[1]
        return tensors

    how = {"positive_only": positive_only}
    drawn, loop = both(
        ella,
        pipeline,
        seeded,
        how=how,
        plain={"guided_until": 0},
        callback_on_step_end=end_guidance,
        callback_on_step_end_tensor_inputs=["prompt_embeds"],
    )
    assert_near(drawn, loop)


def test_controlnet_is_shown_the_same(ella, pipeline, seeded):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        controlnet = ControlNetModel.from_unet(
            pipeline.unet, conditioning_embedding_out_channels=(4, 4, 8, 8)
        )
        for parameter in controlnet.parameters():  # its last layers are zero at first
            parameter.data.add_(0.02 * torch.randn_like(parameter))
    built = StableDiffusionControlNetPipeline(
        **pipeline.components, controlnet=controlnet, requires_safety_checker=False
    )
    built.set_progress_bar_config(disable=True)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))

    def controls(_text, shown, timestep, hidden):
        down, middle = controlnet(
            shown, timestep, hidden, controlnet_cond=picture, return_dict=False
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    how = {"positive_only": True}
    drawn, loop = both(
        ella, built, seeded, how=how, plain={"more": controls}, image=picture.repeat(2, 1, 1, 1)
    )
    assert_near(drawn, loop)
    plain_drawn, _ = both(ella, pipeline, seeded, how=how)
    assert float((drawn - plain_drawn).abs().max()) > 0.01


def test_an_ip_adapters_picture_goes_beside_the_text(ella, pipeline, seeded):
    usual, _ = both(ella, pipeline, seeded, how={"positive_only": True})
    picture = with_ip_adapter(pipeline)

    def shown_with(text, _shown, _timestep, _hidden):
        embeds = torch.zeros_like(picture) if text in NEGATIVES else picture
        return {"added_cond_kwargs": {"image_embeds": [embeds]}}

    drawn, loop = both(
        ella,
        pipeline,
        seeded,
        how={"positive_only": True},
        plain={"more": shown_with},
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(picture), picture])],
    )
    assert_near(drawn, loop)
    assert float((drawn - usual).abs().max()) > 0.01


def test_a_lora_of_unet_and_text_encoder(ella, pipeline, seeded):
    weights = {}
    for prefix, network, layer in (
        ("unet", pipeline.unet, "attn2.to_k"),
        ("text_encoder", pipeline.text_encoder, "self_attn.q_proj"),
    ):
        for name, module in network.named_modules():
            if name.endswith(layer):
                start = f"{prefix}.{name}"
                weights[f"{start}.lora_A.weight"] = 0.1 * torch.ones(2, module.in_features)
                weights[f"{start}.lora_B.weight"] = 0.1 * torch.ones(module.out_features, 2)
    usual, _ = both(ella, pipeline, seeded, how={"with_clip": True})
    pipeline.load_lora_weights(weights)
    drawn, loop = both(ella, pipeline, seeded, how={"with_clip": True})
    assert_near(drawn, loop)
    assert float((drawn - usual).abs().max()) > 0.001
    assert type(pipeline.unet) is UNet2DConditionModel


def test_a_textual_inversion_speaks_with_clip_and_without_it_says_that_it_does_not(
    ella, pipeline, seeded
):
    pipeline.load_textual_inversion({"<mine>": torch.full((1, 32), 3.0)}, token="<mine>")

    def one(prompt, **how):
        return ella.generate(pipeline, prompt, generator=seeded(0), **ARGUMENTS, **how).images

    with pytest.warns(UserWarning, match=r"<mine>: a textual inversion .* no effect.*with_clip"):
        one("a <mine> dog")
    with pytest.warns(UserWarning, match="<mine>"):
        one("a dog", negative_prompt="<mine>")
    drawn = one("a <mine> dog", with_clip=True)  # warnings are errors here
    assert_near(drawn, draw(ella, pipeline, "a <mine> dog", 0, with_clip=True))
    one("a dog")


# ---------------------------------------------------------------------------- SDXL's shape


@pytest.fixture
def sdxl():
    return tiny.tiny_sdxl_pipeline()


@pytest.fixture(scope="module")
def ella_xl(text_encoder):
    return Ella(tiny.tiny_connector(width=2 * tiny.WIDTH), text_encoder)


def added(pipeline, negative_is_zero=False):
    """What SDXL's U-Net wants beside the tokens, for a text."""
    side = float(tiny.IMAGE_PX)
    sizes = torch.tensor([[side, side, 0, 0, side, side]])

    def more(text, *_):
        pooled = xl_of(pipeline, text)[1]
        if negative_is_zero and text == "":
            pooled = torch.zeros_like(pooled)
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": sizes}}

    return more


@pytest.mark.parametrize(
    ("with_clip", "positive_only"), [(False, False), (True, False), (False, True)]
)
def test_sdxls_shape(ella_xl, sdxl, seeded, with_clip, positive_only):
    plain = {"more": added(sdxl), "clip": lambda text: xl_of(sdxl, text)[0]}
    how = {"with_clip": with_clip, "positive_only": positive_only}
    assert_near(*both(ella_xl, sdxl, seeded, how=how, plain=plain))


def test_sdxl_without_a_negative_prompt_has_the_zeros_of_its_own_pipeline(ella_xl, sdxl, seeded):
    drawn = ella_xl.generate(sdxl, PROMPTS[0], generator=seeded(1), **ARGUMENTS).images
    assert_near(drawn, draw(ella_xl, sdxl, PROMPTS[0], 1, more=added(sdxl, negative_is_zero=True)))


def test_sdxl_takes_a_second_text_and_pooled_embeddings_of_the_users(ella_xl, sdxl, seeded):
    def one(prompt="a dog", **arguments):
        return ella_xl.generate(
            sdxl, prompt, generator=seeded(1), **{**ARGUMENTS, "guidance_scale": 1.0, **arguments}
        ).images

    usual, second = one(), one(prompt_2="a blue square")
    assert float((usual - second).abs().max()) > 1e-4
    pooled = xl_of(sdxl, "a blue square")[1]
    assert_near(one(pooled_prompt_embeds=pooled), second)
    sdxl.text_encoder = sdxl.text_encoder_2 = None
    with pytest.raises(ValueError, match="no text encoders for the pooled embeddings"):
        one()


@pytest.mark.parametrize("end", [0.4, 0.8])
def test_a_part_of_sdxls_schedule(ella_xl, sdxl, seeded, end):
    first = ella_xl.generate(
        sdxl,
        PROMPTS[0],
        negative_prompt="dog",
        generator=seeded(1),
        denoising_end=end,
        **{**ARGUMENTS, "num_inference_steps": 5},
    ).images

    def keep(timesteps):
        return [t for t in timesteps if t >= round(1000 - 1000 * end)]

    plain = draw(ella_xl, sdxl, PROMPTS[0], 1, negative="dog", steps=5, more=added(sdxl), keep=keep)
    assert_near(first, plain)
    rest = StableDiffusionXLImg2ImgPipeline(**sdxl.components, add_watermarker=False)
    rest.set_progress_bar_config(disable=True)
    common = {"negative_prompt": "dog", **ARGUMENTS, "num_inference_steps": 5}
    both_parts = ella_xl.generate(
        rest, PROMPTS[0], image=first, denoising_start=end, generator=seeded(1), **common
    ).images
    whole = ella_xl.generate(sdxl, PROMPTS[0], generator=seeded(1), **common).images
    assert_near(both_parts, whole, 1e-3)


# ------------------------------------------------------------------------- other pipelines


@pytest.fixture
def animated(pipeline):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        adapter = MotionAdapter(
            block_out_channels=(16, 32),
            motion_layers_per_block=1,
            motion_norm_num_groups=8,
            motion_num_attention_heads=2,
        )
    parts = {
        name: part
        for name, part in pipeline.components.items()
        if name not in ("safety_checker", "feature_extractor", "image_encoder")
    }
    built = AnimateDiffPipeline(**parts, motion_adapter=adapter)
    built.set_progress_bar_config(disable=True)
    return built


@torch.no_grad()
def test_animatediff_shows_each_frame_the_prompts_conditions(ella, animated, seeded):
    frames = 2
    drawn = ella.generate(
        animated, "a dog", generator=seeded(3), num_frames=frames, **ARGUMENTS
    ).frames
    scheduler = animated.scheduler
    scheduler.set_timesteps(3)
    latents = torch.randn(1, 4, frames, 8, 8, generator=torch.Generator().manual_seed(3))
    for timestep in scheduler.timesteps:
        noise = []
        for text in ("", "a dog"):
            hidden = tokens_of(ella, text, timestep, "fixed").repeat(frames, 1, 1)
            noise.append(animated.unet(latents, timestep, encoder_hidden_states=hidden).sample)
        guided = noise[0] + 7.5 * (noise[1] - noise[0])
        latents = scheduler.step(guided, timestep, latents).prev_sample
    assert_near(drawn, latents)
    with pytest.raises(ValueError, match="which videos cannot have"):
        ella.generate(animated, "a dog", num_frames=frames, positive_only=True, **ARGUMENTS)
    animated.enable_free_init()
    with pytest.raises(UnsupportedPipelineError, match="with free_init"):
        ella.generate(animated, "a dog", num_frames=frames, **ARGUMENTS)


REFUSED = {
    "StableDiffusionInstructPix2PixPipeline": "guidance of its own",
    "StableDiffusionPAGPipeline": "perturbed attention",
    "StableDiffusionControlNetPAGPipeline": "perturbed attention",
    "StableDiffusionXLPAGPipeline": "perturbed attention",
    "AnimateDiffPAGPipeline": "perturbed attention",
    "AnimateDiffVideoToVideoPipeline": "the video's own frames",
    "AnimateDiffSDXLPipeline": "of SDXL only pictures",
    "PIAPipeline": "conditioned beside the text",
    "KolorsPipeline": "ChatGLM",
    "StableDiffusionPanoramaPipeline": "several views",
    "StableDiffusionAdapterPipeline": "missing: callback_on_step_end",
    "LatentConsistencyModelPipeline": "missing: negative_prompt_embeds",
    "StableDiffusionUpscalePipeline": "missing: callback_on_step_end",
    "StableDiffusionGLIGENPipeline": "missing: callback_on_step_end",
    "StableDiffusionDiffEditPipeline": "missing: callback_on_step_end",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drawn_with_is_refused_before_the_first_step(ella, pipeline, name):
    kind = getattr(diffusers, name)
    built = kind.__new__(kind)  # none of its networks is looked at, but the U-Net's width
    vars(built)["unet"] = pipeline.unet
    with pytest.raises(UnsupportedPipelineError, match=f"{name}.*{REFUSED[name]}"):
        ella.check_pipeline(built)
    with pytest.raises(UnsupportedPipelineError, match=REFUSED[name]):
        ella.generate(built, "a dog")


# --------------------------------------------------------------- batches, order and shards


def pixels(images):
    return np.stack([np.asarray(image, dtype=int) for image in images])


@pytest.mark.parametrize("length", ["fixed", "flexible"])
def test_batches_order_and_shards_change_no_pixel_by_more_than_one(ella, pipeline, seeded, length):
    prompts = [f"{n} red {shape}" for n in range(4) for shape in ("circle", "dog", "a star", "")]
    seeds = list(range(16))

    def drawn(rows, at_once):
        images = {}
        for first in range(0, len(rows), at_once):
            some = rows[first : first + at_once]
            made = ella.generate(
                pipeline,
                [prompts[row] for row in some],
                negative_prompt=["blurry" if row % 2 else "" for row in some],
                generator=seeded(*[seeds[row] for row in some]),
                num_inference_steps=1,
                length=length,
            ).images
            images.update(zip(some, made, strict=True))
        return pixels([images[row] for row in sorted(images)])

    rows = list(range(16))
    alone = drawn(rows, 1)
    for at_once in (4, 16):
        assert np.abs(drawn(rows, at_once) - alone).max() <= 1
    assert np.abs(drawn(rows[::-1], 4) - alone).max() <= 1
    shard = rows[1::3]
    assert np.abs(drawn(shard, 4) - alone[shard]).max() <= 1
    assert len({image.tobytes() for image in alone}) == 16


# -------------------------------------------------------- folders, devices, a callable


def test_a_saved_ella_draws_the_same_and_is_whole(ella, pipeline, seeded, tmp_path):
    ella.save_pretrained(tmp_path / "ella")
    with pytest.warns(UserWarning, match="float32"):  # T5 on a CPU
        again = Ella.from_pretrained(tmp_path / "ella")
    drawn = [
        one.generate(pipeline, "a dog", generator=seeded(0), **ARGUMENTS).images.tolist()
        for one in (ella, again)
    ]
    assert drawn[0] == drawn[1]
    (tmp_path / "ella/ella.json").unlink()
    with pytest.raises(ValueError, match=r"ella.json: is not what Ella.save_pretrained writes"):
        Ella.from_pretrained(tmp_path / "ella")


def test_a_callable_for_the_length_of_a_block(ella, pipeline, seeded, monkeypatch):
    encoded = []
    encode = ella.text_encoder.encode
    monkeypatch.setattr(
        ella.text_encoder, "encode", lambda texts, n: encoded.extend(texts) or encode(texts, n)
    )
    before = dict(pipeline.components)
    common = {"negative_prompt": "blurry", **ARGUMENTS}
    with ella.on(pipeline, length="flexible", **common) as drawer:
        first = drawer("a dog", generator=seeded(0)).images
        second = drawer("a tree", generator=seeded(0)).images
        assert drawer.scheduler is pipeline.scheduler
    assert encoded == ["blurry", "a dog", "a tree"]
    assert pipeline.components == before
    for text, drawn in (("a dog", first), ("a tree", second)):
        plain = draw(ella, pipeline, text, 0, negative="blurry", length="flexible")
        assert_near(drawn, plain)
    with pytest.raises(RuntimeError, match="has ended"):
        drawer("a dog")


@pytest.mark.parametrize(
    ("with_clip", "length"), [(False, "fixed"), (True, "fixed"), (False, "flexible")]
)
def test_tokens_of_the_negative_prompt_are_made_once_for_a_schedule(
    ella, pipeline, seeded, monkeypatch, with_clip, length
):
    rows = []
    forward = type(ella.connector).forward_projected
    monkeypatch.setattr(
        type(ella.connector),
        "forward_projected",
        lambda self, text, t: rows.append(len(text)) or forward(self, text, t),
    )
    how = {"with_clip": with_clip, "length": length}
    calls = [
        ({"prompt": ["a dog", "a tree"]}, [2, 1]),
        ({"prompt": "a long red house beside a lamp"}, [1]),
        ({"prompt": "a dog", "negative_prompt": ["a cat"]}, [1, 1]),
        ({"prompt": "a dog", "negative_prompt": ["a cat"], "num_inference_steps": 2}, [1, 1]),
        ({"prompt": "a dog", "negative_prompt": ["a cat"], "num_inference_steps": 2}, [1]),
        ({"prompt": ["a dog", "a cat"], "negative_prompt": ["a cat", "blue"]}, [2, 2]),
        ({"prompt": "a dog", "guidance_scale": 1.0}, [1]),
    ]
    with ella.on(pipeline, **how) as drawer:
        for arguments, texts in calls:
            asked = {**ARGUMENTS, "negative_prompt": "blurry", **arguments}
            seeds = range(texts[0])
            steps = asked["num_inference_steps"]
            rows.clear()
            drawn = drawer(generator=[seeded(seed)[0] for seed in seeds], **asked).images
            if length == "fixed":
                assert rows == [number * steps for number in texts]
            plain = ella.generate(
                pipeline, generator=[seeded(seed)[0] for seed in seeds], **how, **asked
            ).images
            assert_near(drawn, plain)


class Moves(torch.nn.Module):
    """Notes where it is sent."""

    def __init__(self, moves, name):
        super().__init__()
        self.moves, self.name = moves, name
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def to(self, device):
        self.moves.append((self.name, str(device)))
        return self


def test_networks_go_where_the_pipeline_works_and_back_where_it_is_offloaded():
    from ella.placement import working_on

    moves = []
    away = torch.device("meta")  # stands for an accelerator
    module = Moves(moves, "encoder")
    with working_on(module, away, returns=False):
        assert moves == [("encoder", "meta")]
    assert moves == [("encoder", "meta")]
    with working_on(module, away, returns=True):
        pass
    assert moves[2:] == [("encoder", "cpu")]
    with working_on(module, torch.device("cpu"), returns=True):
        pass
    assert len(moves) == 3


@pytest.mark.parametrize("positive_only", [False, True])
def test_an_offloaded_pipeline_draws_the_same_and_stays_offloaded(
    ella, pipeline, seeded, positive_only
):
    how = {"positive_only": positive_only, **ARGUMENTS}
    usual = ella.generate(pipeline, "a dog", generator=seeded(0), **how).images
    pipeline.enable_model_cpu_offload(device="cpu")
    for _ in range(2):
        again = ella.generate(pipeline, "a dog", generator=seeded(0), **how).images
        assert_near(again, usual, 1e-6)
        assert hasattr(pipeline.unet, "_hf_hook")
    assert type(pipeline.unet) is UNet2DConditionModel


def test_moving_and_offloading_take_encoder_and_connector_along(text_encoder):
    ella = Ella(tiny.tiny_connector(), tiny.tiny_text_encoder())
    assert ella.to("meta") is ella
    assert ella.connector.device.type == ella.text_encoder.model.device.type == "meta"
    other = Ella(tiny.tiny_connector(), text_encoder)
    other.enable_model_cpu_offload()
    assert other.connector.device.type == "cpu"


def test_a_compiled_connector_draws_the_same_and_compiles_once():
    """In a process of its own: code whose lines are being counted cannot be compiled."""
    words = [sys.executable, "-m", "tests.ella.compiled_connector"]
    ended = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "compiled 1 times\n"


def test_clip_of_the_plain_loop_is_the_pipelines(pipeline):
    (expected, _) = pipeline.encode_prompt(["a dog"], "cpu", 1, False)
    torch.testing.assert_close(clip_of(pipeline, "a dog"), expected)
