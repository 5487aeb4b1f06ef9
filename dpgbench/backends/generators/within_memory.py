"""Drawing within the memory that is there: fewer images at a time once it has run out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dpgbench.backends.device import give_back_memory, is_out_of_memory
from dpgbench.backends.generators.named_generator import NamedGenerator
from dpgbench.backends.protocols import Generator, Truncation
from dpgbench.errors import DataError, counted

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)


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
                if len(drawn) != len(part):  # whoever joins them says how many are missing
                    return [*images, *drawn]
                images += drawn
                left = left[len(part) :]
                continue
            self._halve(len(part), failed)
        return images

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return what the generator says."""
        return self.generator.truncation(prompts)

    @property
    def _remedy(self) -> str:
        remedy: str = getattr(self.generator, "memory_remedy", NamedGenerator.memory_remedy)
        return remedy

    def _halve(self, num_images: int, error: BaseException) -> None:
        """Draw fewer from now on, with what the failed attempt held given back."""
        traceback_holds_tensors = error.with_traceback(None)
        give_back_memory()
        if num_images == 1:
            raise DataError(
                f"out of memory with a single image at once; {self._remedy}"
            ) from traceback_holds_tensors
        self.images_at_once = num_images // 2
        log.warning(
            "out of memory with %s at once: %s at once from now on, with the same seeds",
            counted(num_images, "image"),
            counted(self.images_at_once, "image"),
        )
