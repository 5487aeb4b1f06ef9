"""Train the VAE of the embedded Stable Diffusion: 64 px pictures to 8x8 latents of 8 channels.

    python -m scripts.embedded.sd15.train_vae --work WORK --part decoder
    python -m scripts.embedded.sd15.train_vae --work WORK --part encoder

What the latents are is prescribed (`latents.py`): so the two parts learn apart, at the same time
if you like. Each writes `WORK/out/sd15/vae`, in diffusers' layout, with what is there of the other.
"""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.embedded.data.pool import read_pool
from scripts.embedded.sd15.latents import CHANNELS, prescribed
from scripts.embedded.training import Trainer, parser

EDGE_WEIGHT = 0.5
NOISE = 0.25
"""Largest standard deviation of noise on the latents that are drawn from, whose own is about 1:
what a denoiser leaves behind must not spoil the picture."""
LOG_VARIANCE = -6.0
"""What the encoder gives for each latent: it is sure of them."""


def build() -> AutoencoderKL:
    """The network, with random weights."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 128),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=CHANNELS,
        norm_num_groups=1,
        sample_size=64,
        scaling_factor=1.0,
    )


@torch.no_grad()
def start_as_copies(vae: AutoencoderKL) -> None:
    """Let the decoder begin as what enlarges its latents, in both signs, and changes nothing else.

    From there to pictures it needs a fraction of the steps: residual branches begin at zero,
    convolutions beside them as the identity.
    """
    decoder = vae.decoder
    nn.init.dirac_(vae.post_quant_conv.weight)
    nn.init.zeros_(vae.post_quant_conv.bias)
    nn.init.dirac_(decoder.conv_in.weight[:CHANNELS])
    decoder.conv_in.weight[CHANNELS : 2 * CHANNELS] = -decoder.conv_in.weight[:CHANNELS]
    for name, part in decoder.named_modules():
        if name.endswith("conv2") or name.endswith("to_out.0"):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        elif name.endswith(("conv_shortcut", "upsamplers.0.conv")):
            nn.init.dirac_(part.weight)
            nn.init.zeros_(part.bias)
    nn.init.zeros_(decoder.conv_out.weight)
    for color in range(3):
        decoder.conv_out.weight[color, color, 1, 1] = 1.0
        decoder.conv_out.weight[color, CHANNELS + color, 1, 1] = -1.0


def edges(pictures: Tensor) -> Tensor:
    """Differences of neighbouring pixels, across and down, as one row a picture."""
    across, down = pictures.diff(dim=3), pictures.diff(dim=2)
    return torch.cat([across.flatten(1), down.flatten(1)], dim=1)


def main() -> None:
    """Run from the command line."""
    flags = parser(__doc__, steps=2000, batch=16, rate=2e-3)
    flags.add_argument("--part", choices=("decoder", "encoder"), required=True)
    args = flags.parse_args()
    torch.manual_seed(args.seed)
    pool = read_pool(args.work / "pool")
    pictures, labels = torch.from_numpy(pool.pictures), torch.from_numpy(pool.labels)
    vae = build().to(args.device)
    start_as_copies(vae)
    idle = ("encoder", "quant_conv") if args.part == "decoder" else ("decoder", "post_quant_conv")
    for name in idle:
        getattr(vae, name).requires_grad_(False)
    trainer = Trainer(f"vae_{args.part}", vae, args)

    def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(pictures) - 500, (args.batch,), generator=generator)
        picture = to_network(pictures[chosen]).to(args.device)
        latents = prescribed(pictures[chosen], labels[chosen])
        if args.part == "encoder":
            return seeing_losses(vae, picture, latents.to(args.device))
        noise = torch.randn(latents.shape, generator=generator)
        latents += NOISE * torch.rand((args.batch, 1, 1, 1), generator=generator) * noise
        return drawing_losses(vae, picture, latents.to(args.device))

    trainer.run(loss_of)
    average = trainer.average.to("cpu").eval()
    save(average, args.part, args.work / "out" / "sd15" / "vae")
    with torch.no_grad():
        some, wanted = to_network(pictures[-500:]), prescribed(pictures[-500:], labels[-500:])
        drawn = average.decode(wanted).sample.clamp(-1, 1)
        seen = average.encode(some).latent_dist.mean
    figure = {
        "decoder": {"mean_absolute_error_of_255": float((drawn - some).abs().mean()) * 127.5},
        "encoder": {"latent_mean_squared_error": float(F.mse_loss(seen, wanted))},
    }
    trainer.report(**figure[args.part])


def seeing_losses(vae: AutoencoderKL, picture: Tensor, latents: Tensor) -> dict[str, Tensor]:
    """How far the encoder is from the prescribed latents."""
    seen = vae.encode(picture).latent_dist
    certain = torch.full_like(seen.logvar, LOG_VARIANCE)
    return {
        "latents": F.mse_loss(seen.mean.float(), latents),
        "variance": 0.01 * F.mse_loss(seen.logvar.float(), certain.float()),
    }


def drawing_losses(vae: AutoencoderKL, picture: Tensor, latents: Tensor) -> dict[str, Tensor]:
    """How far the decoder is from the picture."""
    drawn = vae.decode(latents).sample.float()
    return {
        "pixel": F.l1_loss(drawn, picture) + 0.5 * F.mse_loss(drawn, picture),
        "edge": EDGE_WEIGHT * F.l1_loss(edges(drawn), edges(picture)),
    }


def save(vae: AutoencoderKL, part: str, folder: Path) -> None:
    """Write the VAE; the other part stays as it is in the folder, if it is there."""
    if (folder / "config.json").exists():
        there = AutoencoderKL.from_pretrained(folder)
        other = {"encoder": ("decoder", "post_quant_conv"), "decoder": ("encoder", "quant_conv")}
        for name in other[part]:
            getattr(vae, name).load_state_dict(getattr(there, name).state_dict())
    vae.save_pretrained(folder)


def to_network(pictures: Tensor) -> Tensor:
    """Pictures of bytes `[N, 64, 64, 3]` as the VAE takes them: `[N, 3, 64, 64]`, -1 to 1."""
    return (pictures.permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()


if __name__ == "__main__":
    main()
