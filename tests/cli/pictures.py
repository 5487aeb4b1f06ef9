"""Made-up pictures."""

from __future__ import annotations

from PIL import Image


def noise(seed: int, size: tuple[int, int] = (64, 64)) -> Image.Image:
    image = Image.effect_noise(size, 40 + seed).convert("RGB")
    return Image.blend(image, Image.new("RGB", size, (37 * seed % 256, 91, 200)), 0.5)
