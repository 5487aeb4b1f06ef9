"""A run directory: where each of its files is, who works in it, and which runs there are."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dpgbench.domain.shard import Shard
from dpgbench.errors import DataError, UsageError
from dpgbench.store.files import PART, JsonLines, drop_zeroed_lines, sweep_parts, writing
from dpgbench.store.paths import check_item_id, file_name, old_file_name
from dpgbench.store.run.lock_holder import LOCK
from dpgbench.store.run.manifest import judge_file_name, recorded_model
from dpgbench.store.run.ownership import OWNER, check_owner, owner_of, owning

RUNS = Path("runs")
MANIFEST = "manifest.json"
SHARDS = "shards"
log = logging.getLogger(__name__)


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
        return self.path / "answers" / f"{judge_file_name(self.manifest, judge)}.jsonl"

    def questions(self, judge: str) -> Path:
        """Return the path of the questions that a judge made of prompts itself."""
        return self.path / "questions" / f"{judge_file_name(self.manifest, judge)}.jsonl"

    def scores(self, judge: str, rule: str, part: str = "") -> Path:
        """Return the path of a judge's result under a rule.

        Args:
            part: of the items that the run set out to do, as `Subset.file_part`; "" is all.
        """
        return self.path / "scores" / judge_file_name(self.manifest, judge) / f"{rule}{part}.json"

    def item_scores(self, judge: str, rule: str, part: str = "") -> Path:
        """Return the path of the table of items that goes with `scores`."""
        return self.scores(judge, rule, part).with_suffix(".items.csv")

    def shard(self, shard: Shard) -> RunDir:
        """Return the run directory of a part of the run."""
        return RunDir(self.path / SHARDS / shard.folder_name)

    def shards(self) -> dict[Shard, RunDir]:
        """Return the parts of the run that have a folder of their own, sorted."""
        try:
            names = [path.name for path in (self.path / SHARDS).iterdir()]
        except OSError:
            return {}
        shards = sorted(shard for name in names if (shard := Shard.of_folder(name)))
        return {shard: self.shard(shard) for shard in shards}

    def score_files(self) -> list[Path]:
        """Return every result file of the run, sorted."""
        paths = (self.path / "scores").glob("*/*.json")
        return sorted(path for path in paths if not path.name.startswith("."))

    def _folders(self) -> list[Path]:
        inner = [self.path / name for name in ("images", "answers", "questions", "scores")]
        return [self.path, *inner, *(self.path / "scores").glob("*/")]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process alone, mended; the lock goes with the process.

        Raises:
            UsageError: another process is working in it.
        """
        import filelock

        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / LOCK)
        with writing(self.path):
            try:
                lock.acquire(timeout=0)
            except filelock.Timeout:  # an OSError too, but not the disk's
                raise UsageError(
                    f"{self.path} is in use by {owner_of(self.path)}; "
                    f"wait for it, or choose another --out{self._if_it_is_dead(lock)}"
                ) from None
        try:
            with owning(self.path):
                self._mend()
                yield
        finally:
            lock.release()

    def _if_it_is_dead(self, lock: object) -> str:
        """Return what to do about a lock that its process left behind, where one can be left.

        The operating system's own lock goes with its process; a lock that is only a file, where a
        file system has no others, stays where the process was killed on another machine.
        """
        import filelock

        only_a_file = isinstance(lock, filelock.SoftFileLock)
        return f"; if it is dead, remove {self.path / LOCK}" if only_a_file else ""

    def _mend(self) -> None:
        """Sweep what killed writers left, and what a power cut left of lines; the lock is ours."""
        for folder in self._folders():
            sweep_parts(folder, all_=True)
        for log_file in (self.images_log, *sorted((self.path / "answers").glob("*.jsonl"))):
            if number := drop_zeroed_lines(log_file, scratch=self.path):
                log.warning(
                    "%s: %s zeros, as a power cut leaves them; what stood there is done again",
                    log_file,
                    "1 line was" if number == 1 else f"{number} lines were",
                )

    def refuse_shared_names(self, items: Iterable[str]) -> None:
        """Raise where two items' grids would be one file; inside `locked`.

        Raises:
            UsageError: the file system ignores capitals, and two ids differ in nothing else.
        """
        if not (self.path / LOCK.upper()).exists():  # it is there where capitals are ignored
            return
        by_folded: dict[str, str] = {}
        for item_id in items:
            other = by_folded.setdefault(item_id.casefold(), item_id)
            if other != item_id:
                raise UsageError(
                    f"{self.path}: its file system ignores capitals, so that the grids of items "
                    f"{other} and {item_id} would be one file; choose --out on another one"
                )

    def append_to(self, path: Path) -> JsonLines:
        """Return a writer of one of the run's files of lines, to be used in a ``with``.

        It stops where the run was moved, or taken over by another process.
        """
        return JsonLines(path, check=partial(check_owner, self.path))


def default_run(model: str, identity: str, root: Path = RUNS) -> RunDir:
    """Return the run directory of a model that was given none: ``runs/<model>-<identity>``.

    A run that an earlier version made for the same model under its old name goes on there.
    """
    new = RunDir(root / f"{file_name(model)}-{identity}")
    old = RunDir(root / f"{old_file_name(model)}-{identity}")
    if is_run(new.path) or not is_run(old.path):
        return new
    return old if recorded_model(old.manifest) == model else new


def runs_by_age(root: Path = RUNS) -> list[RunDir]:
    """Return the runs under `root`, the one whose manifest changed last at the end.

    Raises:
        UsageError: there is none.
    """
    manifests = sorted(root.glob(f"*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
    if not manifests:
        for path in sorted(root.glob("*/")):
            refuse_unmerged(path)
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


def refuse_unmerged(path: Path) -> None:
    """Raise where a folder is no run yet because its shards are not merged.

    Raises:
        UsageError: has the command that merges them.
    """
    if not is_run(path) and RunDir(path).shards():
        raise UsageError(
            f"{path} has shards that are not merged: dpgbench merge {shlex.quote(str(path))}"
        )


def refuse_foreign_folder(run: RunDir) -> None:
    """Raise where a run would be written into a folder that holds something else.

    Raises:
        UsageError: it is a file, or a folder that is neither empty nor a run.
    """
    path = run.path
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is a file; name a folder")
    if path.is_dir() and not is_run(path) and not all(map(_is_ours, path.iterdir())):
        raise UsageError(f"--out {path} is not empty and not a run; choose another folder")


def _is_ours(path: Path) -> bool:
    """Return whether a file is what a kill leaves that came before there was a manifest."""
    return path.name in (LOCK, OWNER, SHARDS) or path.name.startswith(PART)


def find_runs(paths: list[Path]) -> list[RunDir]:
    """Return the runs at `paths`; without any, every run under `runs/` that has results.

    Raises:
        DataError: a path is not there.
        UsageError: a path is no run, or there is none.
    """
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there; name a run, or make one with 'dpgbench score'")
        refuse_unmerged(path)
        if not is_run(path):
            raise UsageError(f"{path} is not a run (no {MANIFEST}); 'dpgbench score' makes one")
    if paths:
        return [RunDir(path) for path in paths]
    runs = [RunDir(path.parent) for path in sorted(RUNS.glob(f"*/{MANIFEST}"))]
    scored = [run for run in runs if run.score_files()]
    if not scored:
        raise UsageError(f"no scored run under {RUNS}/; name one, or run 'dpgbench score' first")
    return scored
