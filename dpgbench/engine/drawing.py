"""Drawing as work: an item's prompt and seeds in, its grid as PNG out."""

from __future__ import annotations

import hashlib
import platform
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.generators.named_generator import NamedGenerator
from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest, make_plan
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.memory import MemoryGauge
from dpgbench.backends.protocols import DrawnItem, DrawsMany, ItemToDraw, Truncation
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


class Call(NamedTuple):
    """The call of a generator that drew an item's images.

    Attributes:
        images: how many it drew, other items' included; None where nobody counts.
        images_that_fit: in a call from now on, where memory ran out; else None.
        remark: what must be said of its images; "" for nothing.
    """

    images: int | None = None
    images_that_fit: int | None = None
    remark: str = ""


class Drawn(NamedTuple):
    """What came of an item.

    Attributes:
        png: the grid, encoded; None where the worker has written it.
        sha256: of the encoded grid.
        seconds: that drawing and encoding took.
        single_colour: numbers, from 0, of tiles whose pixels are all alike.
        seeded: whether the images follow from the seeds, as far as can be known.
        call: how its images were drawn.
    """

    item_id: str
    png: bytes | None
    sha256: str
    seconds: float
    single_colour: tuple[int, ...] = ()
    seeded: bool = True
    call: Call = Call()


class Encoding(NamedTuple):
    """An item that is drawn and on its way to become a file, in a thread."""

    item_id: str
    outcome: Future[Drawn | NotDrawn]


def completed(outcome: Drawn | NotDrawn | Encoding) -> Drawn | NotDrawn:
    """Return an outcome that is no longer on its way; waits for it.

    Raises:
        StorageError: the grid cannot be written.
    """
    return outcome.outcome.result() if isinstance(outcome, Encoding) else outcome


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
        sends: outcomes go to another process, so that they must be complete.
        images_at_once: in a call at most, where the run ran out of memory before.
    """

    planned: Planned
    request: GeneratorRequest
    sends: bool = False
    images_at_once: int | None = None

    def __call__(self) -> Drawer:
        """Return a worker with the plan's generator loaded.

        Raises:
            SetupError: weights are not what they must be, or not the plan's.
        """
        is_here = self.planned.machine == platform.node()
        plan = self.planned.plan if is_here else self._plan_here()
        generator = DrawnWithinMemory(
            plan.load(),
            plan.drawing,
            images_at_once=self.images_at_once,
            gauge=MemoryGauge(plan.device),
        )
        return Drawer(generator, plan.spec.grid, sends=self.sends)

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


class Drawer(Worker[DrawUnit, Drawn | NotDrawn | Encoding]):
    """A worker that draws; grids are encoded in threads while the next ones are drawn.

    Args:
        generator: draws.
        grid: how tiles lie in a grid.
        sends: no outcome is an `Encoding`: they go to another process.
        num_threads: that encode.
    """

    def __init__(
        self,
        generator: DrawnWithinMemory,
        grid: GridSpec,
        *,
        sends: bool = False,
        num_threads: int = 4,
    ) -> None:
        self.generator, self.grid = generator, grid
        self.sends, self.num_threads = sends, num_threads

    def units_at_once(self) -> int:
        """Return how many items share a call at most: 1 takes long against the way of its grid."""
        return 1 if self._many else self.generator.most_items_at_once(self.grid.num_images)

    def decides(self) -> Mapping[str, Any]:
        """Return nothing: `DrawerFactory` refuses weights that are not the plan's."""
        return {}

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which of `prompts` the generator cuts."""
        return self.generator.truncation(prompts)

    def num_parameters(self) -> Mapping[str, int]:
        """Return how many parameters each network has; nothing where that is unknown."""
        generator = self.generator.generator
        return generator.num_parameters() if isinstance(generator, NamedGenerator) else {}

    def account(self) -> Mapping[str, Any] | None:
        """Return what drawing has cost so far; None where nothing is counted."""
        many = self._many
        return None if many is None else many.account()

    def work(self, units: Iterable[DrawUnit]) -> Iterator[Drawn | NotDrawn | Encoding]:
        """Yield the grid of each item, or why it has none; in order, unless many are drawn at once.

        Raises:
            StorageError: a grid cannot be written.
            DpgBenchError: a server draws nothing for anybody.
        """
        with ThreadPoolExecutor(self.num_threads, thread_name_prefix="encode") as pool:
            outcomes = (self._outcome(pool, *one) for one in self._drawn(units))
            if not self.sends:
                yield from outcomes
                return
            waiting: deque[NotDrawn | Encoding] = deque()
            for outcome in outcomes:
                waiting.append(outcome)
                while len(waiting) > self.num_threads:
                    yield completed(waiting.popleft())
            yield from map(completed, waiting)

    @property
    def _many(self) -> DrawsMany | None:
        generator = self.generator.generator
        return generator if isinstance(generator, DrawsMany) else None

    def _drawn(self, units: Iterable[DrawUnit]) -> Iterator[tuple[DrawnItem, Path | None, Call]]:
        """Yield items as they are drawn, each with where its grid is to be written."""
        paths: dict[str, Path | None] = {}
        items = _items(units, paths)
        many = self._many
        for drawn in self._in_calls(items) if many is None else many.draw_many(items):
            remark = getattr(self.generator.generator, "remark", "")
            call = Call(drawn.images_in_call, self.generator.images_at_once, remark)
            yield drawn, paths.pop(drawn.item.item_id), call

    def _in_calls(self, items: Iterator[ItemToDraw]) -> Iterator[DrawnItem]:
        num_images = self.grid.num_images
        while batch := list(islice(items, self.generator.items_at_once(num_images))):
            yield from self.generator.draw_items(batch)

    def _outcome(
        self, pool: ThreadPoolExecutor, drawn: DrawnItem, path: Path | None, call: Call
    ) -> NotDrawn | Encoding:
        item, tiles, *_ = drawn
        if isinstance(tiles, Exception):
            return NotDrawn(item.item_id, tiles)
        return Encoding(item.item_id, pool.submit(self._encoded, drawn, tiles, path, call))

    def _encoded(
        self, drawn: DrawnItem, tiles: Sequence[Image], path: Path | None, call: Call
    ) -> Drawn | NotDrawn:
        """Return an item's grid, encoded, and written where the worker does that.

        Args:
            drawn: the item.
            tiles: its images.
            path: where the worker writes its grid; None where it is sent back.
            call: that drew it.
        """
        started, item_id = time.perf_counter(), drawn.item.item_id
        try:
            data = png_bytes(join_tiles(tiles, self.grid))
            if path is not None:
                write_image(path, data)
            alike = tuple(single_colour_tiles(tiles))
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - images of another size cost their item
            return NotDrawn(item_id, error)
        many = self._many
        return Drawn(
            item_id,
            data if path is None else None,
            hashlib.sha256(data).hexdigest(),
            round(drawn.seconds + time.perf_counter() - started, 3),
            alike,
            many is None or many.takes_seeds,
            call,
        )


def _items(units: Iterable[DrawUnit], paths: dict[str, Path | None]) -> Iterator[ItemToDraw]:
    """Yield units as items to draw, and note where each is to be written."""
    for unit in units:
        paths[unit.item_id] = unit.path
        yield ItemToDraw(unit.item_id, unit.prompt, unit.seeds)
