"""A run's grids as single images too, named as T2I-CompBench's own scripts name theirs.

Of T2I-CompBench, `samples/<category>/samples/<prompt>_<k as six digits>.png`, where k counts the
images of the category: `samples/<category>` is what its scripts call the output folder. Of any
other benchmark, `samples/<item_id>_<tile>.png`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.rows import item_source
from dpgbench.domain.spec import GridSpec
from dpgbench.store.compbench import COMPBENCH
from dpgbench.store.files import write_atomic
from dpgbench.store.images import is_whole, open_tiles, png_bytes
from dpgbench.store.run.directory import RunDir

SAMPLES = "samples"


def write_single_images(
    run: RunDir, benchmark: Benchmark, items: Iterable[str], grid: GridSpec
) -> int:
    """Write each tile of each grid as a file; those that are there, whole and not older stay.

    Returns:
        How many were written.

    Raises:
        StorageError: one could not be written.
    """
    number = 0
    alone = GridSpec(1, grid.tile_width_px, grid.tile_height_px)
    for item_id in items:
        whole = run.image(item_id)
        if not is_whole(whole, grid):
            continue
        paths = [
            single_image_path(run.path, benchmark, item_id, tile, grid.num_images)
            for tile in range(grid.num_images)
        ]
        made = whole.stat().st_mtime_ns
        todo = [
            tile
            for tile, path in enumerate(paths)
            if not (path.is_file() and path.stat().st_mtime_ns >= made and is_whole(path, alone))
        ]
        if not todo:
            continue
        tiles = open_tiles(whole, grid)
        for tile in todo:
            write_atomic(paths[tile], png_bytes(tiles[tile]), scratch=run.path)
        number += len(todo)
    return number


def single_image_path(
    folder: Path, benchmark: Benchmark, item_id: str, tile: int, num_images: int
) -> Path:
    """Return where a single image of an item is, below a run's folder."""
    if benchmark.name != COMPBENCH:
        return folder / SAMPLES / f"{item_id}_{tile}.png"
    place = int(item_id.rpartition("_")[2]) - 1
    name = f"{_as_name(benchmark.prompts[item_id])}_{place * num_images + tile:06d}.png"
    return folder / SAMPLES / item_source(item_id) / "samples" / name


def _as_name(prompt: str, most_bytes: int = 200) -> str:
    """Return a prompt as part of a file's name: as it is, but for what no name can hold."""
    name = "".join(" " if one in "/\\" or not one.isprintable() else one for one in prompt)
    return name.encode()[:most_bytes].decode(errors="ignore").lstrip(".")
