"""Shards of a run: is what they have in the run, too."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dpgbench.errors import DataError, counted, shortened
from dpgbench.jobs.verify.files import SHARDS
from dpgbench.jobs.verify.findings import Findings
from dpgbench.store.run.answers import read_answer_table
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import read_image_log


def look_at_shards(run: RunDir, shards: Sequence[RunDir], findings: Findings) -> None:
    """Say which shards have an image or an answer that the run has not."""
    command = f"'dpgbench merge {shlex.quote(str(run.path))}'"
    left = [shard for shard in shards if not _is_merged(run, shard)]
    if left:
        names = shortened([shard.name for shard in left])
        findings.add(
            "incomplete", "shards", SHARDS,
            f"{counted(len(left), 'shard')} of {len(shards)} with work that is not in this run: "
            f"{names}",
            f"{command} joins them",
        )  # fmt: skip
    else:
        findings.add(
            "note", "shards", SHARDS,
            f"{counted(len(shards), 'shard')}, all of whose work is in this run",
        )  # fmt: skip


def _is_merged(run: RunDir, shard: RunDir) -> bool:
    """Return whether a run has every image and answer of a shard; False where it cannot be told."""
    try:
        have = {i: line.get("sha256") for i, line in read_image_log(run.images_log).items()}
        for item_id, line in read_image_log(shard.images_log).items():
            if line.get("sha256") and have.get(item_id) != line.get("sha256"):
                return False
        for path in sorted((shard.path / "answers").glob("*.jsonl")):
            answers = read_answer_table(run.path / "answers" / path.name)
            for tile, texts in read_answer_table(path).items():
                if not texts.items() <= answers.get(tile, {}).items():
                    return False
    except DataError:
        return False
    return True
