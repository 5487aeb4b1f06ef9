"""What is scored: a run of this toolkit, a folder of other people's images, or recorded answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError, shortened
from dpgbench.store.benchmarks import Benchmark
from dpgbench.store.images import check_size, find_images, infer_grid, read_size
from dpgbench.store.manifest import (
    Manifest,
    open_manifest,
)
from dpgbench.store.rundir import RunDir

log = logging.getLogger(__name__)


@dataclass
class Subject:
    """Something to score, and the run directory that its answers and results go to.

    Attributes:
        items: ids that results must cover.
        folder: where images are; None where answers are recorded.
        grid: known size of the images; None is to be found from the images themselves.
        tile_px: side of a square tile, as the user said.
        before_work: called with the subject, inside the run's lock.
    """

    run: RunDir
    manifest: Manifest
    benchmark: Benchmark
    items: Sequence[str]
    num_tiles: int
    folder: Path | None = None
    grid: GridSpec | None = None
    tile_px: int | None = None
    before_work: Callable[[Subject], None] = field(default=lambda subject: None)

    def prepare(self) -> None:
        """Write the manifest before any work, or check it against the one that is there.

        Raises:
            ResumeMismatchError: the run holds other work.
        """
        self.manifest = open_manifest(self.run, self.manifest)
        self.manifest.add_items(self.items, self.benchmark.prompts)
        self.manifest.write(self.run)
        self.before_work(self)

    def images(self, *, partial: bool) -> tuple[dict[str, Path], dict[str, str]]:
        """Return the image of each item that has a sound one, and why the others have none.

        Raises:
            DataError: no item has an image, or (unless `partial`) one has a wrong size.
        """
        if self.manifest.kind == "generated" and not self.run.images.is_dir():
            return {}, self._unlogged_failures({})
        if self.folder is None or not self.folder.is_dir():
            raise DataError(f"{self.folder or self.run.path} has no images; give a folder of them")
        found = find_images(self.folder, self.items)
        if not found and self.manifest.kind == "images":
            names = [path.name for path in sorted(self.folder.iterdir())]
            raise DataError(
                f"{self.folder} has no image named after an item of {self.benchmark.name} "
                f"(such as {self.items[0]}.png); it holds {shortened(names, 3) or 'nothing'}"
            )
        if self.grid is None and found:
            self.grid = infer_grid(list(found.values()), self.num_tiles, self.tile_px)
        reasons = self._unlogged_failures(found)
        for item_id, path in list(found.items()):
            try:
                size = read_size(path)
                if size and self.grid:  # an unreadable file fails alone, when it is opened
                    check_size(path, size, self.grid)
            except DataError as error:
                if not partial:
                    raise
                reasons[item_id] = str(error)
                del found[item_id]
        return found, reasons

    def _unlogged_failures(self, found: Mapping[str, Path]) -> dict[str, str]:
        records = self.run.image_records()
        reasons = {}
        for item_id in self.items:
            if item_id not in found:
                error = records.get(item_id, {}).get("error")
                reasons[item_id] = error or f"image {item_id}.png is missing"
        return reasons
