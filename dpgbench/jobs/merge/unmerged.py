"""Whether a shard has what its run has not: merging comes before scoring, and before deleting."""

from __future__ import annotations

from pathlib import Path

from dpgbench.store.run.answers import read_answer_table
from dpgbench.store.run.directory import RunDir


def unmerged(shard: RunDir, run: RunDir, *, answers: bool = True) -> str | None:
    """Return what a shard has that its run has not: ``images``, ``answers``, or nothing.

    Args:
        answers: answers count too, not only images.

    Raises:
        DataError: a file of answers is damaged.
    """
    if _names(shard.images) - _names(run.images):
        return "images"
    return "answers" if answers and _has_new_answers(shard, run) else None


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _has_new_answers(shard: RunDir, run: RunDir) -> bool:
    for path in sorted((shard.path / "answers").glob("*.jsonl")):
        there = read_answer_table(run.path / "answers" / path.name)
        for tile, texts in read_answer_table(path).items():
            if not texts.keys() <= there.get(tile, {}).keys():
                return True
    return False
