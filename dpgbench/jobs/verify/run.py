"""One run, looked at from its manifest to its scores; nothing is written."""

from __future__ import annotations

from pathlib import Path

from dpgbench.errors import DataError
from dpgbench.jobs.merge.unmerged import unmerged
from dpgbench.jobs.verify.answers import JudgedAnswers, look_at_answers
from dpgbench.jobs.verify.files import look_at_files, look_at_lock
from dpgbench.jobs.verify.findings import Findings, Verification, worst_first
from dpgbench.jobs.verify.grids import LoggedImages, look_at_images
from dpgbench.jobs.verify.manifest import (
    check_is_run,
    find_benchmark,
    look_at_counts,
    look_at_judges,
    look_at_manifest,
)
from dpgbench.jobs.verify.scores import look_at_scores
from dpgbench.jobs.verify.shards import look_at_shards
from dpgbench.jobs.verify.subject import Subject
from dpgbench.store.run.directory import RunDir, is_run
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.set_aside import read_set_aside


def verify(
    path: Path,
    *,
    bench: str | None = None,
    images: Path | None = None,
    home: RunDir | None = None,
) -> Verification:
    """Return everything that is wrong, open or not verifiable in a run, and in its shards.

    Args:
        path: of the run.
        bench: name or file of the benchmark, where that of the run is gone; None is the run's own.
        images: folder that other people's images are in now; None is where they were.
        home: the run that it is a shard of, which alone has scores; what it has answers to is not
            open in the shard. None is a run of its own.

    Raises:
        DataError: there is no such folder.
    """
    run, findings = RunDir(path), Findings()
    check_is_run(run)
    shards = [
        verify(shard.path, bench=bench, images=images, home=run)
        for shard in run.shards().values()
        if is_run(shard.path) and not _is_done_with(shard, run)
    ]
    look_at_lock(run, findings)
    if shards:
        look_at_shards(run, [RunDir(shard.run) for shard in shards], findings)
    if is_run(path) or not shards:
        _look(run, findings, bench, images, home)
    kept = [f for f in findings.all if not (home and f.kind == "not-scored")]
    return Verification(path, worst_first(kept), dict(findings.checked), shards)


def _is_done_with(shard: RunDir, run: RunDir) -> bool:
    """Return whether a shard without grids of its own has no answer that its run has not."""
    try:
        merged = is_run(run.path) and unmerged(shard, run) is None
        return merged and not shard.images.is_dir()
    except DataError:  # damaged: what is wrong is said when it is looked at
        return False


def _look(
    run: RunDir, findings: Findings, bench: str | None, images: Path | None, home: RunDir | None
) -> None:
    manifest = look_at_manifest(run, findings)
    if manifest is None:
        look_at_files(run, None, findings)
        findings.add(
            "unverified", "all", ".",
            "images, answers and scores: without a manifest nothing tells what they must be",
        )  # fmt: skip
        return
    benchmark = find_benchmark(manifest, findings, bench)
    subject = Subject(run, manifest, benchmark, _folder(run, manifest, images), home)
    log = look_at_images(subject, findings)
    look_at_counts(subject, log, findings)
    look_at_judges(subject, findings)
    judged = look_at_answers(subject, findings)
    _look_at_redrawn(subject, log, judged, findings)
    look_at_scores(subject, judged, findings)
    look_at_files(run, subject, findings)


def _folder(run: RunDir, manifest: Manifest, images: Path | None) -> Path | None:
    if manifest.kind == "generated":
        return run.images
    if manifest.kind == "answers":
        return None
    return images or Path(manifest.generation["folder"])


def _look_at_redrawn(
    subject: Subject, log: LoggedImages, judged: list[JudgedAnswers], findings: Findings
) -> None:
    """Say where a grid that was set aside was drawn again and is another one than was judged."""
    before: dict[str, set[str | None]] = {}
    for line in read_set_aside(subject.run.path):
        item_id = line.get("item_id")
        if item_id:
            hashes = {line.get("logged_sha256"), line.get("sha256")}
            before.setdefault(item_id, set()).update(hashes)
    other = [i for i, hashes in before.items() if log.sha256(i) and log.sha256(i) not in hashes]
    for judge in judged:
        about = [i for i in other if any(answer.item_id == i for answer in judge.answers)]
        for item_id in about:
            questions = [q for q in judge.lines if q[0] == item_id]
            findings.add(
                "damaged", "redrawn", f"{subject.shown(judge.path)}, {item_id}",
                "its answers are about a grid that was set aside, and what was drawn in its place "
                "is another picture (another device or another release drew it)",
                "'--repair' takes its answers out, then the same 'dpgbench score' command asks "
                "again",
                set_aside=[judge.set_aside(questions, item_id, log.sha256(item_id))],
            )  # fmt: skip
