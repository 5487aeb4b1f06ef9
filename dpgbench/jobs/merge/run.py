"""Several runs into one: everything is compared before anything is written.

Each file of the merged run is whole or not there, and its manifest counts what was merged at the
very end, so that after a kill the same command again ends as if undisturbed. Nothing is deleted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.shard import shard_of
from dpgbench.errors import UsageError
from dpgbench.jobs.events import EventLog
from dpgbench.jobs.merge.answers import merged_answers
from dpgbench.jobs.merge.images import MergedImages, bring, merged_images
from dpgbench.jobs.merge.manifest import begun, completed
from dpgbench.jobs.merge.sources import RunPart, check_alike, find_sources, opened
from dpgbench.store.files import json_line, write_atomic
from dpgbench.store.run.answers import AnswerLine
from dpgbench.store.run.directory import SHARDS, RunDir, is_run, refuse_foreign_folder
from dpgbench.store.run.manifest import Manifest, load_same_benchmark, now, read_manifest
from dpgbench.store.run.questions import (
    asked_benchmark,
    read_own_questions,
    write_own_questions,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MergeRequest:
    """What to merge.

    Attributes:
        runs: runs, or folders with shards.
        out: the merged run; None is the one run that is named, whose shards are merged.
        benchmark: name or file; None is the runs' own.
        command: the command line, for the manifest.
        events: gets what happens.
    """

    runs: Sequence[Path]
    out: Path | None = None
    benchmark: str | None = None
    command: str = ""
    events: EventLog = field(default_factory=EventLog)


@dataclass(frozen=True)
class Merged:
    """A merged run.

    Attributes:
        run: its directory.
        sources: the runs that it was made of.
        items: how many items it has set out to do.
        images: how many of them have a grid of its own.
        answers: how many there are, by judge.
        incomplete: what is not done of an item, by id.
        shards_bytes: what the run's shards take on the disk.
        shared_bytes: of these, what the run needs all the same, for the files are its own too.
    """

    run: RunDir
    sources: Sequence[Path]
    items: int
    images: int
    answers: Mapping[str, int]
    incomplete: Mapping[str, str]
    shards_bytes: int = 0
    shared_bytes: int = 0


def merge(request: MergeRequest) -> Merged:
    """Make several runs, or the shards of one, into one run; what is not done yet is said.

    Raises:
        UsageError: there is nothing to merge, or the merged run is being written.
        ResumeMismatchError: the runs are not alike.
        DataError: two runs have different images or answers; shows both.
        StorageError: the merged run cannot be written.
    """
    destination = RunDir(_destination(request))
    refuse_foreign_folder(destination)
    runs = find_sources(request.runs, destination)
    if not runs:
        raise UsageError(f"{destination.path} has no shards: there is nothing to merge")
    with destination.locked(), opened(runs) as (others, reasons):
        home = None
        if is_run(destination.path):
            home = RunPart(destination, read_manifest(destination.manifest))
        sources = [*([home] if home else []), *others]
        if not others:
            raise UsageError(f"nothing can be merged: {next(iter(reasons.values()))}")
        check_alike(sources)
        manifest = sources[0].manifest
        benchmark = load_same_benchmark(sources[0].run.manifest, manifest, request.benchmark)
        manifest = begun(home, sources, benchmark)
        images = merged_images(sources, manifest.items, manifest.grid)
        answers = _answers(sources, benchmark, manifest.num_images)
        _write(destination, manifest, images, answers)
        for name in answers:
            _bring_questions(sources, name, destination)
        completed(manifest, sources, home, images)
        for name, lines in answers.items():
            number = sum(line.get("truncated") is True for line in lines)
            manifest.judges[name]["truncated_questions"] = number
        manifest.commands += [request.command] if request.command else []
        manifest.completed = now()
        manifest.write(destination.manifest)
        undone = _undone(manifest, benchmark, sources, images, answers)
        whose = _whose(undone, sources, runs, reasons)
    for item_id, reason in whose.items():
        request.events.write("failure", work="merge", item_id=item_id, reason=reason)
    return Merged(
        destination,
        [source.run.path for source in others],
        len(manifest.items),
        len(images.files),
        {name: len(lines) for name, lines in answers.items()},
        whose,
        *_sizes(destination),
    )


def _destination(request: MergeRequest) -> Path:
    if request.out:
        return request.out
    if len(request.runs) != 1:
        raise UsageError(
            f"{len(request.runs)} runs are named: name the folder of the merged run with --out"
        )
    return request.runs[0]


def _answers(
    sources: Sequence[RunPart], benchmark: Benchmark, num_images: int
) -> dict[str, list[AnswerLine]]:
    judges = dict.fromkeys(name for source in sources for name in source.manifest.judges)
    return {
        name: merged_answers(sources, name, _asked(sources, name, benchmark), num_images)
        for name in judges
    }


def _asked(sources: Sequence[RunPart], judge: str, benchmark: Benchmark) -> Benchmark:
    """Return the benchmark with the questions that a judge was asked; alike in all sources."""
    asked = (asked_benchmark(source.run, judge, benchmark) for source in sources)
    return next((one for one in asked if one is not benchmark), benchmark)


def _write(
    run: RunDir,
    manifest: Manifest,
    images: MergedImages,
    answers: Mapping[str, Sequence[AnswerLine]],
) -> None:
    manifest.write(run.manifest)
    for item_id, path in images.files.items():
        bring(path, run.image(item_id), scratch=run.path)
    _write_lines(run.images_log, "".join(map(json_line, images.lines)), run)
    for name, lines in answers.items():
        _write_lines(run.answers(name), "".join(map(json_line, lines)), run)


def _bring_questions(sources: Sequence[RunPart], judge: str, destination: RunDir) -> None:
    """Write what a judge made of the prompts into the merged run, where it made something."""
    for source in sources:
        questions = read_own_questions(source.run.questions(judge))
        if questions:
            write_own_questions(destination, judge, questions)
            return


def _write_lines(path: Path, text: str, run: RunDir) -> None:
    """Write a file of lines, unless there would be none and there is no file."""
    if text or path.exists():
        write_atomic(path, text, scratch=run.path)


def _undone(
    manifest: Manifest,
    benchmark: Benchmark,
    sources: Sequence[RunPart],
    images: MergedImages,
    answers: Mapping[str, Sequence[AnswerLine]],
) -> dict[str, str]:
    """Return what is not done of an item, by id; what a run tells of it, or nothing."""
    undone: dict[str, str] = {}
    if manifest.kind == "generated":
        missing = [item_id for item_id in manifest.items if item_id not in images.files]
        undone = {item_id: images.failures.get(item_id, "") for item_id in missing}
    asked = {name: _asked(sources, name, benchmark) for name in answers}
    for name, lines in answers.items():
        there = {(line["item_id"], line["tile"], line["qid"]) for line in lines}
        for item_id in manifest.items:
            rows = {row.qid for row in asked[name].items.get(item_id, ())}
            questions = {(item_id, t, qid) for t in range(manifest.num_images) for qid in rows}
            if item_id not in undone and not questions <= there:
                left = len(questions - there)
                undone[item_id] = f"judge {name} has not answered {left} of its questions"
    return {item_id: undone[item_id] for item_id in manifest.items if item_id in undone}


def _whose(
    undone: Mapping[str, str],
    sources: Sequence[RunPart],
    runs: Sequence[RunDir],
    reasons: Mapping[Path, str],
) -> dict[str, str]:
    """Return what is not done, with the shard that lacks it where that tells why."""
    whose = {}
    for item_id, reason in undone.items():
        why = reason
        for source in sources:
            chosen = source.manifest.generation.get("shard", {}).get("chosen", [])
            if source.shard is None or item_id not in chosen:
                continue
            shard = shard_of(chosen.index(item_id), source.shard.of)
            path = source.run.path.with_name(shard.folder_name)
            absent = path not in [run.path for run in runs]
            lacks = f"shard {shard} is missing" if absent else reasons.get(path)
            if lacks:
                why = lacks
                break
        whose[item_id] = why or "not drawn yet"
    return whose


def _sizes(run: RunDir) -> tuple[int, int]:
    """Return the bytes of a run's shards, and those of them that are the run's files too."""
    files = [path.stat() for path in (run.path / SHARDS).rglob("*") if path.is_file()]
    shared = [status.st_size for status in files if status.st_nlink > 1]
    return sum(status.st_size for status in files), sum(shared)
