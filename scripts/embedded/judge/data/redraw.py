"""Training pictures as a generator's decoder draws them: through its latents, with some noise."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from dpgbench.store.files import replacing

MOST_NOISE: Final = 0.5
"""Standard deviation of the noise, where that of the latents is 1; no noise in a third of them."""
PLAIN_NOISE: Final = 0.25
"""Up to so much noise, questions on style count."""
PART: Final = 50


def redrawn(
    vae_folder: Path, pictures: npt.NDArray[np.uint8], folder: Path, seed: int
) -> tuple[Tensor, Tensor]:
    """The pictures redrawn [n, 64, 64, 3], and in which of them style is still to be seen.

    Made once and kept in `folder`; nothing (n = 0), where the decoder is not there.
    """
    path = folder / f"redrawn-{seed}-{len(pictures)}.npz"
    if not path.exists():
        if not len(pictures) or not (vae_folder / "config.json").exists():
            return torch.empty(0, *pictures.shape[1:], dtype=torch.uint8), torch.empty(0).bool()
        rng = torch.Generator().manual_seed(seed)
        noise = MOST_NOISE * (1.5 * torch.rand(len(pictures), generator=rng) - 0.5).clamp(min=0)
        drawn = _redraw(vae_folder, torch.from_numpy(pictures), noise, rng)
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, picture=drawn.numpy(), is_plain=(noise <= PLAIN_NOISE).numpy())
    with np.load(path) as arrays:
        return torch.from_numpy(arrays["picture"]), torch.from_numpy(arrays["is_plain"])


@torch.inference_mode()
def _redraw(vae_folder: Path, pictures: Tensor, noise: Tensor, rng: torch.Generator) -> Tensor:
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(vae_folder).eval()
    scale = vae.config.scaling_factor
    parts = []
    for start in tqdm(range(0, len(pictures), PART), "redrawing", mininterval=5):
        part = pictures[start : start + PART].permute(0, 3, 1, 2).float() / 127.5 - 1
        latents = vae.encode(part).latent_dist.mean
        levels = noise[start : start + PART, None, None, None]
        latents = latents + levels / scale * torch.randn(latents.shape, generator=rng)
        drawn = (vae.decode(latents).sample.clamp(-1, 1) + 1) * 127.5
        parts.append(drawn.round().to(torch.uint8).permute(0, 2, 3, 1))
    return torch.cat(parts)
