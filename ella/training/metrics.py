"""`metrics.jsonl`: a line now and then, each step at most once, however often a run resumes."""

from __future__ import annotations

import json
from pathlib import Path

from ella.files import replacing

Number = float | int | None


class MetricsLog:
    """Lines for steps up to `last_step` stay; later ones, and a torn last one, are dropped."""

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        lines = text.splitlines()
        kept = [line for line in lines if _step(line) <= last_step]
        with replacing(path) as part:
            part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def append(self, **values: Number) -> None:
        """Add a line, at once on its way to the disk."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


def _step(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")
