"""Pictures that tests ask about: scenes that nothing was trained on, and harm done to them."""

from __future__ import annotations

from itertools import islice

import numpy as np
from PIL import Image, ImageFilter

from dpgbench.shapes import Kind, Scene, sample_scenes


def heldout_scenes(number: int, seed: int = 0, kind: Kind | None = None) -> list[Scene]:
    """Scenes of the held-out part of the world."""
    return list(islice(sample_scenes("heldout", seed, kind), number))


def harmed(picture: Image.Image, blur_px: float, noise: float, seed: int) -> Image.Image:
    """The picture blurred, then with normal noise of a standard deviation in steps of 0 to 255."""
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur_px)), dtype=float)
    noisy = blurred + np.random.default_rng(seed).normal(0, noise, blurred.shape)
    return Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))
