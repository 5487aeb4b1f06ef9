"""Drawing as work: an item's prompt and seeds in, its grid as PNG out."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest, make_plan
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import Truncation
from dpgbench.domain.spec import GridSpec, differences
from dpgbench.engine.portable_error import PortableError
from dpgbench.engine.work import Worker
from dpgbench.errors import SetupError, StorageError, shortened
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


@dataclass(frozen=True)
class NotDrawn:
    """An item that failed, and what the generator raised."""

    item_id: str
    error: Exception

    def __reduce__(self) -> tuple[Any, ...]:
        """Have the error sent in a form that every process understands."""
        return _not_drawn, (self.item_id, PortableError.of(self.error))


def _not_drawn(item_id: str, error: PortableError) -> NotDrawn:
    raised = error.error()
    return NotDrawn(item_id, raised if isinstance(raised, Exception) else Exception(error.name))


@dataclass(frozen=True)
class DrawerFactory:
    """Builds a `Drawer` in whatever process it is to work in.

    Attributes:
        plan: made on `machine`, for the run's manifest.
        request: that it was made of; on another machine weights are looked up by it.
    """

    plan: GenerationPlan
    request: GeneratorRequest
    machine: str = field(default_factory=platform.node)

    def __call__(self) -> Drawer:
        """Return a worker with the plan's generator loaded.

        Raises:
            SetupError: weights are not what they must be, or not the plan's.
        """
        plan = self.plan if self.machine == platform.node() else self._plan_here()
        return Drawer(DrawnWithinMemory(plan.load()), plan.spec.grid)

    def _plan_here(self) -> GenerationPlan:
        """Return the plan with this machine's files, made sure that it draws the same.

        Raises:
            SetupError: it would not.
        """
        here = make_plan(replace(self.request, device=self.plan.device))
        wanted, has = ({r: w.sha256 for r, w in p.weights.items()} for p in (self.plan, here))
        changed = differences(
            {**self.plan.spec.to_json(), "weights": wanted}, {**here.spec.to_json(), "weights": has}
        )
        if changed:
            raise SetupError(
                f"{platform.node()} would draw other pictures than {self.machine} for the same "
                f"command: {shortened(changed)}; give both the same weights and releases"
            )
        return here


class Drawer(Worker[DrawUnit, Drawn | NotDrawn]):
    """A worker that draws."""

    def __init__(self, generator: DrawnWithinMemory, grid: GridSpec) -> None:
        self.generator, self.grid = generator, grid

    def units_at_once(self) -> int:
        """Return 1: an item takes long against the way of its grid."""
        return 1

    def decides(self) -> Mapping[str, Any]:
        """Return nothing: `DrawerFactory` refuses weights that are not the plan's."""
        return {}

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
