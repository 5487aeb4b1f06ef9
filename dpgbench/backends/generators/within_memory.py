"""Drawing within the memory that is there: several items in a call, fewer once it has run out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dpgbench.backends.device import give_back_memory, is_out_of_memory
from dpgbench.backends.failures import TilesError
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.named_generator import NamedGenerator
from dpgbench.backends.memory import MemoryGauge
from dpgbench.backends.protocols import (
    DrawnItem,
    DrawsTogether,
    Generator,
    ItemToDraw,
    Truncation,
)
from dpgbench.errors import DataError, counted

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)


class DrawnWithinMemory:
    """A generator whose images are drawn fewer at a time once memory has run out.

    Each image has a seed of its own, so that it is the same in a batch of any size (but for
    rounding, where the device computes batches of another size in another order).

    Args:
        generator: draws.
        drawing: how many items share a call. Without a number the first item is drawn alone, and
            what it took tells how many more fit.
        images_at_once: in a call at most, where memory has run out before; None sets no limit.
        gauge: measures what an item takes; needed where there is no number.
        most_images: in a call, where there is no number.
    """

    def __init__(
        self,
        generator: Generator,
        drawing: DrawingOptions | None = None,
        *,
        images_at_once: int | None = None,
        gauge: MemoryGauge | None = None,
        most_images: int = 16,
    ) -> None:
        self.generator = generator
        self.drawing = drawing or DrawingOptions()
        self.images_at_once = images_at_once
        self.most_images = most_images
        self._gauge = gauge
        self._times_that_fit: int | None = None

    def items_at_once(self, num_images: int) -> int:
        """Return how many items of `num_images` images share the next call, as far as is known."""
        if not isinstance(self.generator, DrawsTogether):
            return 1
        items = self.drawing.batch_size
        if items is None:
            items = min(self._times_that_fit or 1, self.most_images // num_images)
        if self.images_at_once is not None:
            items = min(items, self.images_at_once // num_images)
        return max(1, items)

    def most_items_at_once(self, num_images: int) -> int:
        """Return how many items may share a call at most."""
        if not isinstance(self.generator, DrawsTogether):
            return 1
        return self.drawing.batch_size or max(1, self.most_images // num_images)

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
            except TilesError as error:  # whose numbers are those of the part
                raise error.of_item(len(images), len(seeds)) from None
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

    def draw_items(self, items: Sequence[ItemToDraw]) -> Iterator[DrawnItem]:
        """Yield items in order, as many of them in a call as fit into memory.

        What goes wrong in a call of several is done again item by item, so that it costs the item
        alone that it is about.
        """
        left = list(items)
        while left:
            at_once = self.items_at_once(len(left[0].seeds))
            part = left[:at_once]
            fill = at_once - len(part) if self.drawing.compile else 0
            alone = len(part) + fill == 1
            drawn = self._draw_alone(part[0]) if alone else self._draw_together(part, fill)
            if drawn is not None:
                yield from drawn
                left = left[len(part) :]

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return what the generator says."""
        return self.generator.truncation(prompts)

    @property
    def _remedy(self) -> str:
        remedy: str = getattr(self.generator, "memory_remedy", NamedGenerator.memory_remedy)
        return remedy

    def _draw_alone(self, item: ItemToDraw) -> list[DrawnItem]:
        measures = self._gauge and self.drawing.batch_size is None and self._times_that_fit is None
        if measures and self._gauge:
            self._gauge.start()
        started = time.perf_counter()
        result: list[Image] | Exception
        try:
            result = self.draw(item.prompt, item.seeds)
        except Exception as error:  # noqa: BLE001 - whatever a generator raises costs its item, not the run
            result = error
        seconds = time.perf_counter() - started
        if measures and self._gauge and not isinstance(result, Exception):
            self._times_that_fit = self._gauge.times_that_fit() or 1
        at_once = min(len(item.seeds), self.images_at_once or len(item.seeds))
        return [DrawnItem(item, result, seconds, at_once)]

    def _draw_together(self, items: Sequence[ItemToDraw], fill: int) -> list[DrawnItem] | None:
        """Return what came of a call for all of `items`; None where memory ran out.

        Args:
            items: are drawn.
            fill: how often the last is drawn again, for nothing: compiled networks are compiled
                anew for a call of another size, which takes longer.
        """
        assert isinstance(self.generator, DrawsTogether)
        called = [*items, *([items[-1]] * fill)]
        num_images = sum(len(item.seeds) for item in called)
        started = time.perf_counter()
        try:
            drawn = self.generator.draw_together(
                [item.prompt for item in called], [item.seeds for item in called]
            )
        except Exception as error:  # noqa: BLE001 - item by item it costs the one that it is about
            failed: Exception = error
        else:
            each = (time.perf_counter() - started) / len(items)
            return [
                DrawnItem(item, images, each, num_images)
                for item, images in zip(items, drawn, strict=False)  # without what filled it up
            ]
        if is_out_of_memory(failed):
            self._halve(num_images, failed)
            return None
        return [one for item in items for one in self._draw_alone(item)]

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
