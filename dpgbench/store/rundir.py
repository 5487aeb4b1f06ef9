"""A run directory: every path in it has its name here, and what is done is read from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError
from dpgbench.store.files import PART, read_jsonl, writing
from dpgbench.store.item_ids import check_item_id

RUNS = Path("runs")
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class RunDir:
    """The folder of one run."""

    path: Path

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def manifest(self) -> Path:
        """What the run is."""
        return self.path / MANIFEST

    @property
    def images(self) -> Path:
        """Folder of grids, and nothing else."""
        return self.path / "images"

    @property
    def images_log(self) -> Path:
        """A JSON line per grid."""
        return self.path / "images.jsonl"

    def image(self, item_id: str) -> Path:
        """Return the path of an item's grid.

        Raises:
            DataError: the id could escape the folder.
        """
        check_item_id(item_id, str(self.images))
        return self.images / f"{item_id}.png"

    def answers(self, judge: str) -> Path:
        """Return the path of a judge's raw answers."""
        return self.path / "answers" / f"{file_name(judge)}.jsonl"

    def scores(self, judge: str, rule: str) -> Path:
        """Return the path of a judge's result under a rule."""
        return self.path / "scores" / file_name(judge) / f"{rule}.json"

    def item_scores(self, judge: str, rule: str) -> Path:
        """Return the path of the table of items that goes with `scores`."""
        return self.scores(judge, rule).with_suffix(".items.csv")

    def score_files(self) -> list[Path]:
        """Return every result file of the run, sorted."""
        return sorted((self.path / "scores").glob("*/*.json"))

    def image_records(self) -> dict[str, dict[str, Any]]:
        """Return the last logged record of each item's grid."""
        return {
            record["item_id"]: record
            for record in read_jsonl(self.images_log)
            if isinstance(record.get("item_id"), str)
        }

    def read_answers(self, judge: str) -> list[Answer]:
        """Return a judge's answers so far, in the order in which they were written.

        Raises:
            DataError: a line is not an answer.
        """
        return list(read_answer_lines(self.answers(judge)))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process alone; the lock goes with the process.

        Raises:
            UsageError: another process is working in it.
        """
        import filelock

        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".lock")
        with writing(self.path):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:  # an OSError too, but not the disk's
                raise UsageError(
                    f"{self.path} is in use by another process; "
                    "wait for it, or choose another --out"
                ) from None
        try:
            for part in self.path.glob(f"{PART}*"):  # of a write that was killed
                part.unlink(missing_ok=True)
            yield
        finally:
            lock.release()


def read_answer_lines(path: Path) -> Iterator[Answer]:
    """Yield the answers of a file of JSON lines.

    Raises:
        DataError: a line lacks a field or has one of another type.
    """
    for number, record in enumerate(read_jsonl(path), 1):
        item_id, tile, qid = record.get("item_id"), record.get("tile"), record.get("qid")
        text, p_yes = record.get("answer"), record.get("p_yes")
        if (
            isinstance(item_id, str)
            and isinstance(tile, int)
            and isinstance(qid, int)
            and isinstance(text, str)
        ):
            yield Answer(item_id, tile, qid, text, p_yes, record.get("invalid") is True)
        else:
            raise DataError(f"{path} line {number} is not an answer (item_id, tile, qid, answer)")


def file_name(name: str) -> str:
    """Return `name` as a file name: anything but letters, digits and ``._-`` becomes ``-``."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"


def runs_by_age(root: Path = RUNS) -> list[RunDir]:
    """Return the runs under `root`, the one whose manifest changed last at the end.

    Raises:
        UsageError: there is none.
    """
    manifests = sorted(root.glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        raise UsageError(
            f"no run under {root}/; name a run or an image folder, "
            "or make one with 'dpgbench generate'"
        )
    return [RunDir(path.parent) for path in manifests]


def newest_run(root: Path = RUNS) -> RunDir:
    """Return the run under `root` whose manifest changed last.

    Raises:
        UsageError: there is none.
    """
    return runs_by_age(root)[-1]


def is_run(path: Path) -> bool:
    """Return whether a folder holds a run."""
    return (path / MANIFEST).is_file()


def find_runs(paths: list[Path]) -> list[RunDir]:
    """Return the runs at `paths`; without any, every run under `runs/` that has results.

    Raises:
        DataError: a path is not there.
        UsageError: a path is no run, or there is none.
    """
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there; name a run, or make one with 'dpgbench score'")
        if not is_run(path):
            raise UsageError(f"{path} is not a run (no {MANIFEST}); 'dpgbench score' makes one")
    if paths:
        return [RunDir(path) for path in paths]
    runs = [RunDir(path.parent) for path in sorted(RUNS.glob(f"*/{MANIFEST}"))]
    scored = [run for run in runs if run.score_files()]
    if not scored:
        raise UsageError(f"no scored run under {RUNS}/; name one, or run 'dpgbench score' first")
    return scored
