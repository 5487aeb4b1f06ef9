"""Asking and drawing within the memory that is there: a batch that does not fit is halved."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from dpgbench.backends.protocols import Generator, TileQuestions, Truncation
from dpgbench.errors import DataError, counted

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)
Said = TypeVar("Said")
# What is said where a plain RuntimeError is raised: by MPS, the CPU's allocator, cuBLAS.
_SAID_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(said in text for said in _SAID_OF_MEMORY)


class DrawnWithinMemory:
    """A generator whose images are drawn fewer at a time once memory has run out.

    Each image has a seed of its own, so that it is the same in a batch of any size (but for
    rounding, where the device computes batches of another size in another order).
    """

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.images_at_once: int | None = None

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed.

        Raises:
            DataError: a single image does not fit into memory.
        """
        images: list[Image] = []
        left = list(seeds)
        while left:
            part = left[: self.images_at_once]
            try:
                drawn = self.generator.draw(prompt, part)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failed: BaseException = error
            else:
                if len(drawn) != len(part):  # said with all that was asked for by who joins them
                    return [*images, *drawn]
                images += drawn
                left = left[len(part) :]
                continue
            self._halve(len(part), failed)
        return images

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return what the generator says."""
        return self.generator.truncation(prompts)

    def _halve(self, num_images: int, error: BaseException) -> None:
        """Draw fewer from now on, with what the failed attempt held given back."""
        traceback_holds_tensors = error.with_traceback(None)
        give_back()
        if num_images == 1:
            raise DataError(
                "out of memory with a single image at once; take a smaller --width and --height, "
                "half the precision (--dtype float16 or bfloat16), or a device with more memory"
            ) from traceback_holds_tensors
        self.images_at_once = num_images // 2
        log.warning(
            "out of memory with %s at once: %s at once from now on, with the same seeds",
            counted(num_images, "image"),
            counted(self.images_at_once, "image"),
        )


def give_back() -> None:
    """Give back the memory that nothing holds any more."""
    import gc

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def ask_within_memory(
    ask: Callable[[Sequence[TileQuestions]], list[list[Said]]], tiles: Sequence[TileQuestions]
) -> list[list[Said]]:
    """Return `ask(tiles)`; where memory runs out, in halves: first of tiles, then of questions.

    Raises:
        torch.OutOfMemoryError: a single question does not fit.
    """
    import torch

    try:
        return ask(tiles)
    except torch.OutOfMemoryError:
        if len(tiles) == 1 and len(tiles[0].questions) == 1:
            raise
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if len(tiles) > 1:
        log.warning("out of memory with %d images at once: halving (see --batch-size)", len(tiles))
        middle = len(tiles) // 2
        first, second = tiles[:middle], tiles[middle:]
        return ask_within_memory(ask, first) + ask_within_memory(ask, second)
    return [_ask_in_halves(ask, tiles[0])]


def _ask_in_halves(
    ask: Callable[[Sequence[TileQuestions]], list[list[Said]]], tile: TileQuestions
) -> list[Said]:
    middle = len(tile.questions) // 2
    halves = [
        tile._replace(qids=tile.qids[part], questions=tile.questions[part])
        for part in (slice(middle), slice(middle, None))
    ]
    return [answer for half in halves for answer in ask_within_memory(ask, [half])[0]]
