"""Drawing as work: an item's prompt and seeds in, its grid as PNG out."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest, make_plan
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import DrawsMany, ItemToDraw, Truncation
from dpgbench.domain.spec import GridSpec, differences
from dpgbench.engine.portable_error import PortableError
from dpgbench.engine.work import Worker
from dpgbench.errors import SetupError, StorageError, shortened
from dpgbench.store.images import join_tiles, png_bytes, single_colour_tiles, write_image

if TYPE_CHECKING:
    from PIL.Image import Image


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
        seeded: whether the images follow from the seeds, as far as can be known.
    """

    item_id: str
    png: bytes | None
    sha256: str
    seconds: float
    single_colour: tuple[int, ...] = ()
    seeded: bool = True


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


class Planned(NamedTuple):
    """A plan, and the machine whose files and device it was made with."""

    plan: GenerationPlan
    machine: str


def plan_here(request: GeneratorRequest) -> Planned:
    """Return the plan for a request, made on the machine that this is called on.

    Raises:
        UsageError: unknown model, device or setting.
        SetupError: weights are missing.
    """
    return Planned(make_plan(request), platform.node())


@dataclass(frozen=True)
class DrawerFactory:
    """Builds a `Drawer` in whatever process it is to work in.

    Attributes:
        planned: what the run's manifest says.
        request: that the plan was made of; on another machine weights are looked up by it.
    """

    planned: Planned
    request: GeneratorRequest

    def __call__(self) -> Drawer:
        """Return a worker with the plan's generator loaded.

        Raises:
            SetupError: weights are not what they must be, or not the plan's.
        """
        is_here = self.planned.machine == platform.node()
        plan = self.planned.plan if is_here else self._plan_here()
        return Drawer(DrawnWithinMemory(plan.load()), plan.spec.grid)

    def _plan_here(self) -> GenerationPlan:
        """Return the plan with this machine's files, made sure that it draws the same.

        Raises:
            SetupError: it would not.
        """
        plan, machine = self.planned
        here = make_plan(replace(self.request, device=plan.device))
        wanted, has = ({r: w.sha256 for r, w in p.weights.items()} for p in (plan, here))
        changed = differences(
            {**plan.spec.to_json(), "weights": wanted}, {**here.spec.to_json(), "weights": has}
        )
        if changed:
            raise SetupError(
                f"{platform.node()} would draw other pictures than {machine} for the same "
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

    def account(self) -> Mapping[str, Any] | None:
        """Return what drawing has cost so far; None where nothing is counted."""
        many = self._many
        return None if many is None else many.account()

    def work(self, units: Iterable[DrawUnit]) -> Iterator[Drawn | NotDrawn]:
        """Yield the grid of each item, or why it has none; in order, unless many are drawn at once.

        Raises:
            StorageError: a grid cannot be written.
            DpgBenchError: a server draws nothing for anybody.
        """
        many = self._many
        if many is None:
            for unit in units:
                yield self._draw(unit)
            return
        paths: dict[str, Path | None] = {}
        for done in many.draw_many(_items(units, paths)):
            path = paths.pop(done.item.item_id)
            if isinstance(done.result, Exception):
                yield NotDrawn(done.item.item_id, done.result)
            else:
                yield self._joined(done.item.item_id, done.result, path, done.seconds)

    @property
    def _many(self) -> DrawsMany | None:
        generator = self.generator.generator
        return generator if isinstance(generator, DrawsMany) else None

    def _draw(self, unit: DrawUnit) -> Drawn | NotDrawn:
        started = time.perf_counter()
        try:
            tiles = self.generator.draw(unit.prompt, unit.seeds)
        except Exception as error:  # noqa: BLE001 - whatever a generator raises costs its item, not the run
            return NotDrawn(unit.item_id, error)
        return self._joined(unit.item_id, tiles, unit.path, time.perf_counter() - started)

    def _joined(
        self, item_id: str, tiles: Sequence[Image], path: Path | None, seconds: float
    ) -> Drawn | NotDrawn:
        """Return an item's grid, encoded, and written where the worker does that.

        Args:
            item_id: whose.
            tiles: its images.
            path: where the worker writes it; None where it is sent back.
            seconds: that drawing took.
        """
        started = time.perf_counter()
        try:
            data = png_bytes(join_tiles(tiles, self.grid))
            if path is not None:
                write_image(path, data)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - images of another size cost their item
            return NotDrawn(item_id, error)
        many = self._many
        return Drawn(
            item_id,
            data if path is None else None,
            hashlib.sha256(data).hexdigest(),
            round(seconds + time.perf_counter() - started, 3),
            tuple(single_colour_tiles(tiles)),
            many is None or many.takes_seeds,
        )


def _items(units: Iterable[DrawUnit], paths: dict[str, Path | None]) -> Iterator[ItemToDraw]:
    """Yield units as items to draw, and note where each is to be written."""
    for unit in units:
        paths[unit.item_id] = unit.path
        yield ItemToDraw(unit.item_id, unit.prompt, unit.seeds)
