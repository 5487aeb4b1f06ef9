"""Train the U-Net of the embedded Stable Diffusion, told by captions of at most 77 tokens.

    python -m scripts.embedded.sd15.train_unet --work WORK

The text encoder (`train_clip.py`) is frozen; the latents are the prescribed ones (`latents.py`).
Writes the rest of `WORK/out/sd15`, a whole pipeline in diffusers' layout, so `train_vae.py` must
have ended by then.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from scripts.embedded.data.pool import read_pool
from scripts.embedded.sd15.latents import CHANNELS, prescribed
from scripts.embedded.sd15.train_clip import caption_ids, some_captions, token_ids
from scripts.embedded.training import Trainer, parser

NOTHING_CHANCE = 0.1
"""How often the prompt is empty, so that guidance works."""
NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}


def build(width: int) -> UNet2DConditionModel:
    """The network, with random weights; its text tokens have `width` channels."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=(64, 128),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def main() -> None:
    """Run from the command line."""
    args = parser(__doc__, steps=3600, batch=64, rate=1e-3).parse_args()
    torch.manual_seed(args.seed)
    out = args.work / "out" / "sd15"
    pool = read_pool(args.work / "pool")
    pictures, labels = torch.from_numpy(pool.pictures), torch.from_numpy(pool.labels)
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    clip = CLIPTextModel.from_pretrained(out / "text_encoder").to(args.device).requires_grad_(False)
    ids = caption_ids(tokenizer, pool.texts)
    nothing = token_ids(tokenizer, [""])[0].long()
    schedule = DPMSolverMultistepScheduler(**NOISE)
    alphas = schedule.alphas_cumprod.to(args.device)
    unet = build(clip.config.hidden_size).to(args.device)
    trainer = Trainer("unet", unet, args)

    def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(pictures), (args.batch,), generator=generator)
        texts = some_captions(ids, chosen, generator)
        texts[torch.rand(args.batch, generator=generator) < NOTHING_CHANCE] = nothing
        clean = prescribed(pictures[chosen], labels[chosen]).to(args.device)
        noisy, times, wanted = noisy_latents(clean, alphas, generator)
        with torch.no_grad():
            tokens = clip(texts.to(args.device)).last_hidden_state
        guess = unet(noisy, times, tokens).sample.float()
        return {"v": ((guess - wanted) ** 2).mean()}

    trainer.run(loss_of)
    unet = trainer.average.to("cpu").eval()
    vae = AutoencoderKL.from_pretrained(out / "vae")
    save(out, unet, clip.to("cpu"), tokenizer, vae, schedule)
    trainer.report()


def noisy_latents(
    clean: Tensor, alphas: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents with noise of random timesteps, `[B]`; and what the U-Net is to say of them."""
    times = torch.randint(len(alphas), (len(clean),), generator=generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    signal = alphas[times].sqrt()[:, None, None, None]
    spread = (1 - alphas[times]).sqrt()[:, None, None, None]
    return signal * clean + spread * noise, times, signal * noise - spread * clean


def save(
    folder: Path,
    unet: UNet2DConditionModel,
    clip: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    vae: AutoencoderKL,
    scheduler: DPMSolverMultistepScheduler,
) -> None:
    """Write a whole pipeline in diffusers' layout."""
    StableDiffusionPipeline(
        unet=unet,
        vae=vae,
        text_encoder=clip,
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


if __name__ == "__main__":
    main()
