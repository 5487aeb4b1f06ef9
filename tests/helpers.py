"""What tests of every area share: running the command line, small benchmark files, folders.

Fixtures are in `conftest.py` files; everything else that several test modules use is in a module
beside them without `test_` in its name, imported by its full name.
"""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.domain.benchmark import COLUMNS

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"


GOLDEN = REPOSITORY / "tests" / "golden"


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that tells the error."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Run = Callable[..., Ended]


def run_process(*words: object, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "dpgbench", *map(str, words)],
        cwd=cwd,
        text=True,
        capture_output=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def row(item: str, qid: object, dependency: str = "0", **cells: str) -> dict[str, str]:
    """Return one row of a benchmark file."""
    return {
        "item_id": item,
        "text": f"a prompt for {item}",
        "keywords": "",
        "proposition_id": str(qid),
        "dependency": dependency,
        "category_broad": "entity",
        "category_detailed": "whole",
        "tuple": f"entity - whole (thing {qid})",
        "question_natural_language": f"Is there thing {qid}?",
        **cells,
    }


def csv_text(rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> str:
    """Return rows as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_csv(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write a benchmark file and return its path."""
    path.write_text(csv_text(rows), encoding="utf-8")
    return path


def answers_csv(path: Path, answers: Sequence[tuple[str, int, int, str]]) -> Path:
    """Write recorded answers (item, tile, question, answer) and return their path."""
    lines = ["item_id,tile,question_id,answer"]
    lines += [f"{item},{tile},{qid},{answer}" for item, tile, qid, answer in answers]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def json_lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file that has one a line."""
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]
