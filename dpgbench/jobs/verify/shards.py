"""Shards of a run: is what they have in the run, too."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dpgbench.errors import DpgBenchError, counted, shortened
from dpgbench.jobs.merge.unmerged import unmerged
from dpgbench.jobs.verify.findings import Findings
from dpgbench.store.run.directory import SHARDS, RunDir, is_run


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
        return is_run(run.path) and unmerged(shard, run) is None
    except DpgBenchError:
        return False
