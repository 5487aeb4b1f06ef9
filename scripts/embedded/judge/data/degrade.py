"""Pictures as weak generators draw them, and the way from pixels to what the network reads.

Moving, blurring and the judge's bicubic enlargement are linear along rows and columns: a bank of
random matrices does all three at once. Noise, colours and ghosts are added around that.
"""
# ruff: noqa: E741, N803, N806

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Matrix = npt.NDArray[np.float64]

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Harm:
    """How much pictures are harmed; lengths in pixels of a 64-pixel picture."""

    clean_chance: float = 0.3
    blur_chance: float = 0.35
    most_blur_px: float = 1.1
    counted_blur_px: float = 0.3
    """Beyond this blur, questions on style do not count."""
    most_shift_px: float = 1.5
    most_zoom: float = 0.04
    noise_chance: float = 0.5
    most_noise: float = 0.08
    color_chance: float = 0.5
    most_color: float = 0.06
    ghost_chance: float = 0.25
    most_ghost: float = 0.14


class Degrader:
    """Makes batches of harmed, enlarged, normalised pictures."""

    def __init__(
        self, picture_px: int, image_px: int, harm: Harm, seed: int, bank_size: int = 512
    ) -> None:
        self._harm, self._picture_px = harm, picture_px
        rng = np.random.default_rng(seed)
        self._clean = torch.from_numpy(resampling(picture_px, image_px)).float()
        blurs = np.where(
            rng.random(bank_size) < harm.blur_chance,
            rng.uniform(0, harm.most_blur_px, bank_size),
            0,
        )
        self._blur = torch.from_numpy(blurs)
        self._bank = torch.from_numpy(
            np.stack([_axes(picture_px, image_px, blur, harm, rng) for blur in blurs])
        ).float()
        mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
        self._mean, self._std = mean[:, None, None], std[:, None, None]

    def clean(self, picture_IXYC: Tensor) -> Tensor:
        """Pictures (uint8) as the judge's own preprocessing gives them, but for its rounding."""
        x = picture_IXYC.permute(0, 3, 1, 2).float() / 255
        return (
            (self._clean @ (x @ self._clean.T).clamp(0, 1)).clamp(0, 1) - self._mean
        ) / self._std

    def __call__(self, picture_IXYC: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Harmed pictures [I, 3, image_px, image_px], and in which of them style is still plain."""
        I, harm = len(picture_IXYC), self._harm
        x = picture_IXYC.permute(0, 3, 1, 2).float() / 255
        harmed = torch.rand(I, generator=rng) >= harm.clean_chance
        ghost = _amount(I, harm.ghost_chance, harm.most_ghost, rng) * harmed[:, None, None, None]
        x = torch.lerp(x, x.roll(1, 0), ghost)
        color = _amount(I, harm.color_chance, harm.most_color, rng)
        scale = 1 + color * torch.randn(I, 3, 1, 1, generator=rng)
        moved = x * scale + color * torch.randn(I, 3, 1, 1, generator=rng)
        moved = moved + self._noise(I, x.shape[-1], rng)
        x = torch.where(harmed[:, None, None, None], moved.clamp(0, 1), x)
        choice = torch.randint(len(self._bank), (I,), generator=rng)
        both = self._bank[choice]
        both = torch.where(harmed[:, None, None, None], both, self._clean)
        x = (both[:, :1] @ (x @ both[:, 1:].mT).clamp(0, 1)).clamp(0, 1)
        plain = ~harmed | (self._blur[choice] <= harm.counted_blur_px)
        return (x - self._mean) / self._std, plain

    def _noise(self, I: int, side: int, rng: torch.Generator) -> Tensor:
        """Fine and coarse noise."""
        harm = self._harm
        fine = torch.randn(I, 3, side, side, generator=rng)
        coarse = torch.randn(I, 3, side // 4, side // 4, generator=rng)
        coarse = F.interpolate(coarse, scale_factor=4.0, mode="bilinear")
        return (
            _amount(I, harm.noise_chance, harm.most_noise, rng) * fine
            + _amount(I, harm.noise_chance, harm.most_noise, rng) * coarse
        )


def resampling(
    from_px: int, to_px: int, shift_px: float = 0.0, zoom: float = 1.0, blur_px: float = 0.0
) -> Matrix:
    """The matrix of Pillow's bicubic enlargement [to_px, from_px], after blur, zoom and shift."""
    if to_px < from_px:
        raise ValueError(f"to_px: expected at least {from_px}, found {to_px}")
    middle = from_px / 2
    positions = (np.arange(to_px) + 0.5) * from_px / to_px
    positions = (positions - middle) * zoom + middle + shift_px
    matrix = _cubic(positions[:, None] - (np.arange(from_px) + 0.5)[None])
    outside = matrix.sum(1) < 1e-6
    matrix[outside & (positions < middle), 0] = 1
    matrix[outside & (positions >= middle), -1] = 1
    matrix /= matrix.sum(1, keepdims=True)
    if blur_px > 0:
        steps = np.arange(from_px)
        blur = np.exp(-0.5 * ((steps[:, None] - steps[None]) / blur_px) ** 2)
        matrix = matrix @ (blur / blur.sum(1, keepdims=True))
    return np.asarray(matrix)


def _cubic(x: Matrix, a: float = -0.5) -> Matrix:
    """The bicubic kernel (Keys 1981) with Pillow's parameter."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _axes(
    picture_px: int, image_px: int, blur: float, harm: Harm, rng: np.random.Generator
) -> Matrix:
    """Matrices for rows and columns: one zoom and blur, two shifts."""
    zoom = 1 + rng.uniform(-harm.most_zoom, harm.most_zoom)
    shifts = rng.uniform(-harm.most_shift_px, harm.most_shift_px, 2)
    scale = picture_px / 64
    return np.stack(
        [resampling(picture_px, image_px, shift * scale, zoom, blur * scale) for shift in shifts]
    )


def _amount(I: int, chance: float, most: float, rng: torch.Generator) -> Tensor:
    """An amount for each picture: 0, or with this chance up to `most`."""
    happens = torch.rand(I, 1, 1, 1, generator=rng) < chance
    return happens * most * torch.rand(I, 1, 1, 1, generator=rng)
