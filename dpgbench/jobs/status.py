"""How far a run is, read from its files while others may be writing them; nothing is written."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import DataError, DpgBenchError, UsageError
from dpgbench.store.files import is_alive, read_jsonl
from dpgbench.store.run.directory import MANIFEST, RunDir, is_run
from dpgbench.store.run.heartbeat import read_heartbeat
from dpgbench.store.run.image_log import read_image_log
from dpgbench.store.run.manifest import Manifest, load_recorded_benchmark, read_manifest
from dpgbench.store.run.ownership import read_owner
from dpgbench.store.run.questions import asked_benchmark


@dataclass(frozen=True)
class JudgeStatus:
    """How many questions a judge has answered; None of how many where nothing tells."""

    answers: int
    questions: int | None


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        run: its folder.
        state: `working`, `killed` (the process is gone without an end), `elsewhere` (it works, or
            worked, on another machine), `idle`, or `unmerged` (there are only shards).
        owner: process and machine that work in it, in words.
        items: how many it set out to do.
        images: how many of them have a grid; None where images lie elsewhere.
        failed: why items have none, by id.
        judges: by name.
        progress: what the command that works last said, with its rate and the time left.
        shards: the same of each of its shards.
    """

    run: Path
    state: str = "idle"
    owner: str | None = None
    items: int = 0
    images: int | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, JudgeStatus] = field(default_factory=dict)
    progress: Mapping[str, Any] | None = None
    shards: Sequence[RunStatus] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        return {
            "run": str(self.run),
            "state": self.state,
            "owner": self.owner,
            "items": self.items,
            "images": self.images,
            "failed": dict(self.failed),
            "judges": {
                name: {"answers": judge.answers, "questions": judge.questions}
                for name, judge in self.judges.items()
            },
            "progress": dict(self.progress) if self.progress else None,
            "shards": [shard.to_json() for shard in self.shards],
        }


def run_status(path: Path) -> RunStatus:
    """Return how far a run and its shards are; of shards that are not merged, the sum too.

    Raises:
        DataError: there is no such folder, or a file of it is damaged.
        UsageError: it is no run.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not there; name a run")
    run = RunDir(path)
    shards = [_shard_status(shard) for shard in run.shards().values()]
    if is_run(path):
        return _status(run, shards)
    if not shards:
        raise UsageError(f"{path} is not a run (no {MANIFEST}), and it has no shards")
    return _sum(path, shards)


def _shard_status(run: RunDir) -> RunStatus:
    if is_run(run.path):
        return _status(run, ())
    state, owner = _owner(run.path)
    return RunStatus(run.path, state, owner)


def _sum(path: Path, shards: Sequence[RunStatus]) -> RunStatus:
    """Return what shards have done together; an item that two of them have counts twice."""
    judges: dict[str, JudgeStatus] = {}
    for shard in shards:
        for name, judge in shard.judges.items():
            before = judges.get(name, JudgeStatus(0, 0))
            both_counted = before.questions is not None and judge.questions is not None
            questions = (before.questions or 0) + (judge.questions or 0) if both_counted else None
            judges[name] = JudgeStatus(before.answers + judge.answers, questions)
    images = [shard.images for shard in shards if shard.images is not None]
    return RunStatus(
        path,
        "unmerged",
        None,
        sum(shard.items for shard in shards),
        sum(images) if images else None,
        {item: reason for shard in shards for item, reason in shard.failed.items()},
        judges,
        None,
        shards,
    )


def _status(run: RunDir, shards: Sequence[RunStatus]) -> RunStatus:
    manifest = read_manifest(run.manifest)
    images, failed = _images(run, manifest)
    state, owner = _owner(run.path)
    judges = _judges(run, manifest)
    progress = read_heartbeat(run.path) if state in ("working", "elsewhere") else None
    items = len(manifest.items)
    return RunStatus(run.path, state, owner, items, images, failed, judges, progress, shards)


def _images(run: RunDir, manifest: Manifest) -> tuple[int | None, dict[str, str]]:
    """Return how many items have a grid, and why others failed; files are not opened."""
    if manifest.kind != "generated":
        return None, {}
    folder = run.images
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    there = {item_id for item_id in manifest.items if f"{item_id}.png" in names}
    failed = {}
    for item_id, line in read_image_log(run.images_log).items():
        error = line.get("error")
        if error and item_id not in there:
            failed[item_id] = error
    return len(there), failed


def _judges(run: RunDir, manifest: Manifest) -> dict[str, JudgeStatus]:
    if not manifest.judges:
        return {}
    return {
        name: JudgeStatus(_num_answers(run.answers(name)), _num_questions(run, name, manifest))
        for name in manifest.judges
    }


def _num_answers(path: Path) -> int:
    """Return how many questions have an answer in a file that may be growing."""
    lines = read_jsonl(path)
    return len({(line.get("item_id"), line.get("tile"), line.get("qid")) for line in lines})


def _num_questions(run: RunDir, judge: str, manifest: Manifest) -> int | None:
    """Return how many questions a judge has about the run's items; None where they are gone."""
    try:
        recorded = load_recorded_benchmark(manifest.benchmark)
        benchmark: Benchmark = asked_benchmark(run, judge, recorded)
    except DpgBenchError:
        return None
    numbers = (len(benchmark.items.get(item_id, ())) for item_id in manifest.items)
    return manifest.num_images * sum(numbers)


def _owner(run: Path) -> tuple[str, str | None]:
    """Return whether somebody works in a run, and who; the lock itself is not touched."""
    owner = read_owner(run)
    if owner is None:
        return "idle", None
    host, process = owner
    words = f"process {process} on {host}"
    if host != platform.node():
        return "elsewhere", words
    return ("working" if is_alive(process) else "killed"), words
