"""Whether a shard has what its run has not: merging comes before scoring, and before deleting."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable
from pathlib import Path

from dpgbench.errors import DataError, counted
from dpgbench.store.images import is_whole
from dpgbench.store.run.answers import read_answer_table
from dpgbench.store.run.directory import RunDir, is_run
from dpgbench.store.run.manifest import read_manifest

log = logging.getLogger(__name__)


def warn_of_unmerged(runs: Iterable[RunDir]) -> None:
    """Say which runs have shards with images or answers that they have not: no number is of them.

    What is damaged is said by whoever reads it.
    """
    for run in runs:
        newer = []
        for shard, part in run.shards().items() if is_run(run.path) else ():
            try:
                newer += [str(shard)] if unmerged(part, run) else []
            except DataError:
                continue
        if newer:
            log.warning(
                "%s: %s (first: %s) with work that is not merged and not in these numbers: "
                "dpgbench merge %s",
                run.path,
                counted(len(newer), "shard"),
                newer[0],
                shlex.quote(str(run.path)),
            )


def unmerged(shard: RunDir, run: RunDir, *, answers: bool = True) -> str | None:
    """Return what a shard has that its run has not: ``images``, ``answers``, or nothing.

    Args:
        answers: answers count too, not only images.

    Raises:
        DataError: a file of answers is damaged.
    """
    if _has_new_images(shard, run):
        return "images"
    return "answers" if answers and _has_new_answers(shard, run) else None


def _has_new_images(shard: RunDir, run: RunDir) -> bool:
    """Return whether merging would bring an image; damaged ones and strays it does not bring."""
    new = _names(shard.images) - _names(run.images)
    if not new:
        return False
    try:
        manifest = read_manifest(shard.manifest)
    except DataError:  # said by who merges
        return True
    grid = manifest.grid
    items = [item_id for item_id in manifest.items if f"{item_id}.png" in new]
    return any(grid is None or is_whole(shard.image(item_id), grid) for item_id in items)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _has_new_answers(shard: RunDir, run: RunDir) -> bool:
    for path in sorted((shard.path / "answers").glob("*.jsonl")):
        there = read_answer_table(run.path / "answers" / path.name)
        for tile, texts in read_answer_table(path).items():
            if not texts.keys() <= there.get(tile, {}).keys():
                return True
    return False
