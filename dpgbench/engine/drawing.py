"""Drawing as work: an item's prompt and seeds in, its grid as PNG out."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dpgbench.backends.generators.plan import GenerationPlan
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import Truncation
from dpgbench.domain.spec import GridSpec
from dpgbench.engine.work import Worker
from dpgbench.errors import StorageError
from dpgbench.store.images import join_tiles, png_bytes, single_colour_tiles, write_image


class DrawUnit(NamedTuple):
    """An item to draw.

    Attributes:
        seeds: one a tile.
        path: where the worker itself writes the grid; None has it sent back.
    """

    item_id: str
    prompt: str
    seeds: tuple[int, ...]
    path: Path | None = None


class Drawn(NamedTuple):
    """What came of an item.

    Attributes:
        png: the grid, encoded; None where the worker has written it.
        sha256: of the encoded grid.
        seconds: that drawing and encoding took.
        single_colour: numbers, from 0, of tiles whose pixels are all alike.
    """

    item_id: str
    png: bytes | None
    sha256: str
    seconds: float
    single_colour: tuple[int, ...] = ()


class NotDrawn(NamedTuple):
    """An item that failed, and what the generator raised."""

    item_id: str
    error: Exception


@dataclass(frozen=True)
class DrawerFactory:
    """Builds a `Drawer` in whatever process it is to work in."""

    plan: GenerationPlan

    def __call__(self) -> Drawer:
        """Return a worker with the plan's generator loaded.

        Raises:
            SetupError: weights are not what they must be.
        """
        return Drawer(DrawnWithinMemory(self.plan.load()), self.plan.spec.grid)


class Drawer(Worker[DrawUnit, Drawn | NotDrawn]):
    """A worker that draws."""

    def __init__(self, generator: DrawnWithinMemory, grid: GridSpec) -> None:
        self.generator, self.grid = generator, grid

    def units_at_once(self) -> int:
        """Return 1: an item takes long against the way of its grid."""
        return 1

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which of `prompts` the generator cuts."""
        return self.generator.truncation(prompts)

    def work(self, units: Iterable[DrawUnit]) -> Iterator[Drawn | NotDrawn]:
        """Yield the grid of each item, or why it has none, in order."""
        for unit in units:
            yield self._draw(unit)

    def _draw(self, unit: DrawUnit) -> Drawn | NotDrawn:
        started = time.perf_counter()
        try:
            tiles = self.generator.draw(unit.prompt, unit.seeds)
            data = png_bytes(join_tiles(tiles, self.grid))
            if unit.path is not None:
                write_image(unit.path, data)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a generator raises costs its item, not the run
            return NotDrawn(unit.item_id, error)
        return Drawn(
            unit.item_id,
            data if unit.path is None else None,
            hashlib.sha256(data).hexdigest(),
            round(time.perf_counter() - started, 3),
            tuple(single_colour_tiles(tiles)),
        )
