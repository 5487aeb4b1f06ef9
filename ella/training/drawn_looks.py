"""Pictures and scores of a look, by the commands `dpgbench generate` and `dpgbench score`.

Each look is an ordinary run folder, which the same commands can go on with or do again. They run as
processes of their own: ella knows no module of dpgbench, and what they hold in memory goes with
them.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ella.errors import TrainingError


@dataclass(frozen=True)
class BenchmarkLook:
    """Draws prompts of a benchmark, and has a judge score them where one is named.

    Attributes:
        base: Folder of the diffusers model.
        text_encoder: Folder of the language model.
        model: Of `dpgbench models`: what is drawn with, its weights replaced by these.
        bench: As `dpgbench generate --bench`.
        limit: Prompts; 0: all.
        judge: As `dpgbench score --judge`; empty: pictures alone.
        more: Further words for `dpgbench generate`, as in a shell.
        device: As `--device`; empty: its own choice.
    """

    base: Path
    text_encoder: Path
    model: str
    bench: str
    limit: int = 0
    judge: str = ""
    more: str = ""
    device: str = ""

    def __call__(self, connector: Path, folder: Path) -> Mapping[str, Any]:
        """Draw into the folder and score; `scores` by judge and rule.

        Raises:
            TrainingError: If a command fails; the same training command resumes with this look.
        """
        device = [f"--device={self.device}"] if self.device else []
        self._run(
            "generate",
            f"--model={self.model}",
            f"--bench={self.bench}",
            f"--out={folder}",
            f"--weights=base={self.base}",
            f"--weights=text_encoder={self.text_encoder}",
            f"--weights=connector={connector}",
            *([f"--limit={self.limit}"] if self.limit else []),
            *device,
            *shlex.split(self.more),
        )
        if not self.judge:
            return {}
        self._run("score", str(folder), f"--judge={self.judge}", *device)
        return {"scores": _scores(folder)}

    def _run(self, *words: str) -> None:
        command = [sys.executable, "-m", "dpgbench", *words]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            lines = [line for line in ended.stderr.splitlines() if line.strip()]
            raise TrainingError(
                f"a look failed (dpgbench {words[0]}, exit code {ended.returncode}):"
                f" {lines[-1] if lines else 'no message'}; mend it and start the same command"
                " again, or leave looks out with --look-every 0"
            )


def _scores(folder: Path) -> dict[str, dict[str, float | None]]:
    """Overall scores by judge and rule, as their files in a run folder say."""
    scores: dict[str, dict[str, float | None]] = {}
    for file in sorted(folder.glob("scores/*/*.json")):
        about = json.loads(file.read_text(encoding="utf-8"))
        scores.setdefault(about["judge"], {})[about["rule"]] = about["overall"]
    return scores
