"""The commands that make a planned run: in one process, with Ray, or by a batch scheduler."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunCommands:
    """How a run is started.

    Attributes:
        generate: words after ``dpgbench generate``; none where nothing is drawn.
        score: words after ``dpgbench score``; none where nothing is asked.
        out: the run's folder.
        workers: at once.
        servers: parts that a server does, which need no workers: ``generate``, ``judge``.
    """

    generate: Sequence[str]
    score: Sequence[str]
    out: str
    workers: int
    servers: frozenset[str] = frozenset()

    @property
    def alone(self) -> list[str]:
        """In one process, one part after the other."""
        return self._with([])

    @property
    def ray(self) -> list[str]:
        """With workers of Ray, on this machine or a cluster."""
        return self._with(["--engine", "ray", "--workers", str(self.workers)])

    @property
    def slurm(self) -> str:
        """A script for sbatch: an array, a shard a task; the shards are joined when all ended."""
        shard = f' --shard "$SLURM_ARRAY_TASK_ID/{self.workers}"'
        lines = [
            "#!/bin/bash",
            f"#SBATCH --array=1-{self.workers}",
            "#SBATCH --gpus-per-task=1",
            *(f"{command}{shard} || exit" for command in self.alone),
        ]
        return "\n".join(lines) + "\n"

    @property
    def after_slurm(self) -> list[str]:
        """When all tasks have ended: the shards are joined, and scored together."""
        merge = shlex.join(["dpgbench", "merge", self.out])
        return [merge, shlex.join(["dpgbench", "score", *self.score])] if self.score else [merge]

    def _with(self, more: Sequence[str]) -> list[str]:
        commands = []
        if self.generate:
            here = [] if "generate" in self.servers else more
            commands.append(shlex.join(["dpgbench", "generate", *self.generate, *here]))
        if self.score:
            here = [] if "judge" in self.servers else more
            commands.append(shlex.join(["dpgbench", "score", *self.score, *here]))
        return commands

    def to_json(self) -> dict[str, Any]:
        """Return them as plain data."""
        several = {"ray": self.ray, "slurm": self.slurm, "after_slurm": self.after_slurm}
        return {"alone": self.alone, **(several if self.workers > 1 else {})}
