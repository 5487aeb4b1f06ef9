"""Pictures in memory: tensors as training code has them, to Pillow images as judges take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpgbench.errors import UsageError
from dpgbench.store.images import to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor


def as_image(picture: Image | Tensor) -> Image:
    """Return `picture` as an RGB Pillow image.

    Args:
        picture: an image, or a tensor [3, H, W]: bytes from 0 to 255, or floating point from 0 to 1
            (values beyond are clipped).

    Raises:
        UsageError: a tensor of another shape.
    """
    import PIL.Image

    if isinstance(picture, PIL.Image.Image):
        return to_rgb(picture)
    if picture.ndim != 3 or picture.shape[0] != 3:
        raise UsageError(f"an image tensor is [3, H, W], not {list(picture.shape)}")
    pixels = picture.detach().cpu()
    if pixels.is_floating_point():
        pixels = (pixels.float().clamp(0, 1) * 255).round()
    return PIL.Image.fromarray(pixels.byte().permute(1, 2, 0).numpy())
