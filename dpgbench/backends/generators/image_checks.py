"""Whether what a model drew is a picture: numbers that are finite, and nothing blanked.

diffusers turns NaN into black pixels, and a safety checker turns what it flags into black pictures;
both look like drawn ones. Here they are failures with a reason.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dpgbench.backends.failures import TilesError
from dpgbench.errors import DataError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_CAST = "invalid value encountered in cast"
_REMEDY = (
    "the precision overflows or the weights are damaged: try --dtype float32 (or bfloat16), or "
    "check the weights"
)


def draw_checked(pipeline: Any, num_images: int, call: Callable[[], Any]) -> list[Image]:
    """Return the images of `call()`, an output of diffusers' `pipeline`.

    Args:
        num_images: how many are expected, to tell which of them are wrong.

    Raises:
        DataError: latents or decoded images hold NaN or infinities, or a safety checker blanked
            some.
    """
    with _only_finite(pipeline, num_images), refused_casts():
        output = call()
    _refuse_flagged(output, num_images)
    if not hasattr(output, "images"):
        raise UsageError(f"{type(pipeline).__name__} gives no images, so it cannot be benchmarked")
    return list(output.images)


@contextlib.contextmanager
def refused_casts() -> Iterator[None]:
    """Refuse numpy's silent turn of NaN into a pixel.

    Raises:
        DataError: numbers that are not finite were cast to bytes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=_CAST, category=RuntimeWarning)
        try:
            yield
        except RuntimeWarning:
            raise DataError(f"the picture holds NaN or infinite numbers: {_REMEDY}") from None


@contextlib.contextmanager
def _only_finite(pipeline: Any, num_images: int) -> Iterator[None]:
    """Look at what the pipeline's VAE is given and at what becomes pixels, while it draws."""
    places = (
        (getattr(pipeline, "vae", None), "decode", "latents"),
        (getattr(pipeline, "image_processor", None), "postprocess", "decoded image"),
        (pipeline, "numpy_to_pil", "image"),  # of pipelines that have no image processor
    )
    with contextlib.ExitStack() as stack:
        for owner, method, what in places:
            if callable(getattr(owner, method, None)):
                stack.enter_context(_watched(owner, method, what, num_images))
        yield


@contextlib.contextmanager
def _watched(owner: Any, method: str, what: str, num_images: int) -> Iterator[None]:
    """Let `owner.method` look at its first tensor first; as it was afterwards."""
    before = vars(owner).get(method)
    original = getattr(owner, method)

    def watched(*args: Any, **kwargs: Any) -> Any:
        for value in (*args, *kwargs.values()):
            _refuse_infinite(value, what, num_images)
        return original(*args, **kwargs)

    setattr(owner, method, watched)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, method)
        else:
            setattr(owner, method, before)


def _refuse_infinite(value: Any, what: str, num_images: int) -> None:
    """Raise where an array of images [N, ...] holds numbers that are not finite."""
    import numpy as np
    import torch

    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.ndim:
        return
    finite = torch.isfinite(value).flatten(1).all(1) if value.ndim > 1 else torch.isfinite(value)
    bad = (~finite).nonzero().flatten().tolist()
    if bad:
        words = f"the {what} hold{'' if what == 'latents' else 's'} NaN or infinite numbers"
        if len(finite) == num_images:
            raise TilesError(f"{words} in {{tiles}}: {_REMEDY}", bad, num_images)
        raise DataError(f"{words}: {_REMEDY}")


def _refuse_flagged(output: Any, num_images: int) -> None:
    """Raise where the pipeline says that its safety checker blanked images."""
    flags = getattr(output, "nsfw_content_detected", None)
    if flags is None:
        flags = getattr(output, "nsfw_detected", None)
    flagged = [tile for tile, flag in enumerate(flags or ()) if flag]
    if flagged:
        raise TilesError(
            "the pipeline's safety checker blanked {tiles}: other pictures may pass (--seed), or "
            "draw with a copy of the model without its checker",
            flagged,
            num_images,
        )
