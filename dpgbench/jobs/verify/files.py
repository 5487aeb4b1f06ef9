"""Which files of a run's folder are its own, which a kill left, and who is working in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpgbench.errors import counted, shortened
from dpgbench.jobs.verify.findings import Findings
from dpgbench.jobs.verify.subject import Subject
from dpgbench.store.files import PART
from dpgbench.store.run.directory import MANIFEST, SHARDS, RunDir
from dpgbench.store.run.lock_holder import LOCK, lock_holder
from dpgbench.store.run.ownership import OWNER
from dpgbench.store.run.set_aside import FOLDER

_HEARTBEAT = ".progress.json"  # of a command at work; of one that was killed, a leftover
_PARTS = {"images.jsonl", "images", "answers", "questions", "samples", "scores", FOLDER, SHARDS}
_OWN = {MANIFEST, LOCK, OWNER, _HEARTBEAT, *_PARTS}


def look_at_lock(run: RunDir, findings: Findings) -> None:
    """Say whether a process is working in the run: what is open may be done in a moment."""
    holder = lock_holder(run.path)
    if holder:
        findings.add(
            "note", "in-use", LOCK,
            f"{holder} is working in this run: what is open below may be done in a moment",
            "verify again when it has ended",
        )  # fmt: skip


def look_at_files(run: RunDir, subject: Subject | None, findings: Findings) -> None:
    """Say which files are not the run's own. None of them changes a result."""
    left = sorted(path for path in _walk(run.path) if path.name.startswith(PART))
    if left:
        findings.add(
            "note", "left-by-a-kill", ".",
            f"{counted(len(left), 'part')} of a write that was killed: "
            f"{shortened([p.relative_to(run.path).as_posix() for p in left])}",
            "the next command in this run sweeps them",
        )  # fmt: skip
    foreign = sorted(path for path in _foreign(run, subject) if path not in left)
    if foreign:
        findings.add(
            "note", "foreign-files", ".",
            f"{counted(len(foreign), 'file')} or folders that are none of a run's: "
            f"{shortened([p.relative_to(run.path).as_posix() for p in foreign])}",
        )  # fmt: skip


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files of a run, but for what was set aside and for its shards."""
    for path in folder.iterdir():
        if path.is_dir() and path.name not in (FOLDER, SHARDS):
            yield from _walk(path)
        elif path.is_file():
            yield path


def _foreign(run: RunDir, subject: Subject | None) -> Iterator[Path]:
    yield from (path for path in run.path.iterdir() if path.name not in _OWN)
    if subject is None:
        return
    if run.images.is_dir():
        grids = {run.image(item_id) for item_id in subject.manifest.items}
        yield from (path for path in run.images.iterdir() if path not in grids)
    answers = {run.answers(judge) for judge in subject.manifest.judges}
    for path in (run.path / "answers").glob("*"):
        if path not in answers and path.suffix != ".jsonl":
            yield path
