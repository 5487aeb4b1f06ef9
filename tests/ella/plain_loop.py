"""A denoising loop step by step, without a pipeline and without anything of ella.pipeline.

Connector, text encoder, U-Net and scheduler are called one after the other, the text anew at each
step and each prompt alone: slow and plain, for comparison.
"""

from __future__ import annotations

import copy
import inspect

import torch


@torch.no_grad()
def tokens_of(ella, text, timestep, length):
    """The connector's tokens `[1, tokens, width]` of one text."""
    (features,) = ella.text_encoder.encode([text], length)
    return ella.connector(features[None].float(), float(timestep))


@torch.no_grad()
def clip_of(pipeline, text):
    """CLIP's tokens as Stable Diffusion 1.x computes them, from the networks themselves."""
    tokenizer = pipeline.tokenizer
    ids = tokenizer(
        [text], padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    ).input_ids
    return pipeline.text_encoder(ids)[0]


@torch.no_grad()
def xl_of(pipeline, text):
    """Both CLIPs' penultimate tokens side by side and the second one's pooled embedding."""
    tokens = []
    for tokenizer, encoder in (
        (pipeline.tokenizer, pipeline.text_encoder),
        (pipeline.tokenizer_2, pipeline.text_encoder_2),
    ):
        ids = tokenizer(
            [text], padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids
        output = encoder(ids, output_hidden_states=True)
        tokens.append(output.hidden_states[-2])
    return torch.cat(tokens, dim=-1), output.text_embeds


def pure_noise(generator, scheduler, shape, _timesteps):
    """Latents to begin with, and what happens to them after each step: nothing."""
    noise = torch.randn(shape, generator=generator)
    return noise * scheduler.init_noise_sigma, lambda latents, _step: latents


@torch.no_grad()
def draw(
    ella,
    pipeline,
    prompt,
    seed,
    *,
    negative="",
    steps=3,
    guidance=7.5,
    length="fixed",
    with_clip=False,
    positive_only=False,
    clip=None,
    more=lambda text, shown, timestep, hidden: {},
    keep=None,
    guided_until=None,
    strength=1.0,
    start=pure_noise,
    widen=lambda shown: shown,
    frames=None,
):
    """Final latents `[1, 4, h, w]` of one prompt and one seed, `[1, 4, frames, h, w]` of a video.

    `clip` gives CLIP's tokens for a text, `more` further arguments of the U-Net for a call; `keep`
    cuts the list of timesteps; after step `guided_until` there is no guidance. `strength` leaves
    out the first steps, `start` makes what the others begin with and changes what they give,
    `widen` adds channels to what the U-Net is shown.
    """
    clip = clip or (lambda text: clip_of(pipeline, text))
    scheduler = copy.deepcopy(pipeline.scheduler)
    scheduler.set_timesteps(steps)
    unet = pipeline.unet
    side = unet.config.sample_size
    generator = torch.Generator().manual_seed(seed)
    timesteps = scheduler.timesteps if keep is None else keep(scheduler.timesteps)
    first = (steps - min(int(steps * strength), steps)) * scheduler.order
    timesteps = timesteps[first:]
    if first and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    shape = (1, 4, side, side) if frames is None else (1, 4, frames, side, side)
    latents, after = start(generator, scheduler, shape, timesteps)
    taken = inspect.signature(scheduler.step).parameters
    own = {"generator": generator, "eta": 0.0}  # what pipelines give to schedulers that take it
    own = {name: value for name, value in own.items() if name in taken}
    for step, timestep in enumerate(timesteps):
        shown = widen(scheduler.scale_model_input(latents, timestep))

        def predict(text, own_only, shown=shown, timestep=timestep):
            parts = [] if own_only else [tokens_of(ella, text, timestep, length)]
            if with_clip or own_only:
                parts.append(clip(text))
            hidden = torch.cat(parts, dim=1).repeat(frames or 1, 1, 1)
            given = more(text, shown, timestep, hidden)
            return unet(shown, timestep, encoder_hidden_states=hidden, **given).sample

        noise = predict(prompt, False)
        if guidance > 1 and (guided_until is None or step <= guided_until):
            empty = predict(negative, positive_only)
            noise = empty + guidance * (noise - empty)
        latents = after(scheduler.step(noise, timestep, latents, **own).prev_sample, step)
    return latents


def assert_near(one, other, relative=1e-4):
    """The largest difference is below a share of the largest value."""
    assert one.shape == other.shape
    assert float((one - other).abs().max()) <= relative * float(other.abs().max())
