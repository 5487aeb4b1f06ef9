"""A run directory: every path in it has its name here, and what is done is read from it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError, clipped
from dpgbench.store.files import read_json, read_jsonl, sweep_parts, writing
from dpgbench.store.item_ids import check_item_id

RUNS = Path("runs")
MANIFEST = "manifest.json"
_PLAIN_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,62}[a-z0-9_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\.|$)", re.IGNORECASE)
_LONGEST = 200  # characters; a file of a longer name could not be made
_READABLE = 40  # characters of a name that its file keeps beside the hash


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
        return self.path / "answers" / f"{self._judge_file(judge)}.jsonl"

    def scores(self, judge: str, rule: str, part: str = "") -> Path:
        """Return the path of a judge's result under a rule.

        Args:
            part: of the items that the run set out to do, as `Subset.file_part`; "" is all.
        """
        return self.path / "scores" / self._judge_file(judge) / f"{rule}{part}.json"

    def _judge_file(self, judge: str) -> str:
        """Return the name that a judge's files have in this run, no other judge's."""
        old = _old_names_in(self.manifest)
        if judge in old:
            return old[judge]
        name = file_name(judge)
        taken = name.casefold() in (other.casefold() for other in old.values())
        return _hashed_name(judge) if taken else name

    def item_scores(self, judge: str, rule: str, part: str = "") -> Path:
        """Return the path of the table of items that goes with `scores`."""
        return self.scores(judge, rule, part).with_suffix(".items.csv")

    def score_files(self) -> list[Path]:
        """Return every result file of the run, sorted."""
        found = (self.path / "scores").glob("*/*.json")
        return sorted(path for path in found if not path.name.startswith("."))

    def image_records(self) -> dict[str, dict[str, Any]]:
        """Return the last logged record of each item's grid.

        Raises:
            DataError: a line is not such a record.
        """
        records = {}
        for number, record in enumerate(read_jsonl(self.images_log), 1):
            if not _is_image_record(record):
                raise DataError(
                    f"{self.images_log} line {number} is not a record of an image "
                    "(item_id, sha256, error); remove that line to go on"
                )
            records[record["item_id"]] = record
        return records

    def read_answers(self, judge: str) -> list[Answer]:
        """Return a judge's answers so far, in the order in which they were written.

        Raises:
            DataError: a line is not an answer, or two contradict each other.
        """
        return list(read_answer_lines(self.answers(judge)))

    def _folders(self) -> list[Path]:
        inner = [self.path / name for name in ("images", "answers", "scores")]
        return [self.path, *inner, *(self.path / "scores").glob("*/")]

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
            for folder in self._folders():
                sweep_parts(folder, all_=True)  # of writes that were killed: the lock is ours
            yield
        finally:
            lock.release()


def _is_image_record(record: Mapping[str, Any]) -> bool:
    texts = (record.get("sha256"), record.get("error"))
    return isinstance(record.get("item_id"), str) and all(
        text is None or isinstance(text, str) for text in texts
    )


def read_answer_lines(path: Path) -> Iterator[Answer]:
    """Yield the answers of a file of JSON lines.

    Raises:
        DataError: a line lacks a field or has one of another type, or two lines give one question
            different answers.
    """
    seen: dict[tuple[str, int, int], tuple[int, Answer]] = {}
    for number, record in enumerate(read_jsonl(path), 1):
        answer = _as_answer(record)
        if answer is None:
            raise DataError(f"{path} line {number} is not an answer (item_id, tile, qid, answer)")
        place = (answer.item_id, answer.tile, answer.qid)
        first, before = seen.setdefault(place, (number, answer))
        if (before.answer, before.invalid) != (answer.answer, answer.invalid):
            raise DataError(
                f"{path} lines {first} and {number} contradict each other: item {answer.item_id} "
                f"tile {answer.tile} question {answer.qid} is {clipped(before.answer)} and "
                f"{clipped(answer.answer)}; remove the wrong line"
            )
        yield answer


def _as_answer(record: Mapping[str, Any]) -> Answer | None:
    item_id, tile, qid = record.get("item_id"), record.get("tile"), record.get("qid")
    text, p_yes = record.get("answer", False), record.get("p_yes")
    text = "" if text is None else text  # what pandas writes of a missing answer
    if not isinstance(item_id, str) or not isinstance(text, str):
        return None
    if type(tile) is not int or type(qid) is not int:  # True is no number of a tile
        return None
    if p_yes is not None and (type(p_yes) not in (int, float) or not 0 <= p_yes <= 1):
        return None
    return Answer(item_id, tile, qid, text, p_yes, record.get("invalid") is True)


def file_name(name: str) -> str:
    """Return the file name that stands for `name` and for no other name, on any file system.

    A name of small letters, digits and ``._-`` is its own file name. Any other keeps what is
    readable of it, then ``~`` and 8 digits of its SHA-256: names that differ only in ``:``, ``/``
    or capitals stay apart, and reserved or over-long names are harmless.
    """
    plain = _PLAIN_NAME.fullmatch(name) and not _RESERVED.match(name)
    return name if plain else _hashed_name(name)


def _hashed_name(name: str) -> str:
    readable = old_file_name(name)[:_READABLE].strip(".-") or "unnamed"
    guard = "_" if _RESERVED.match(readable) else ""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{guard}{readable}~{digest}"


def old_file_name(name: str) -> str:
    """Return what earlier versions called the file of `name`; other names may have the same."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"


def old_names(judges: Iterable[str]) -> dict[str, str]:
    """Return the old file names that judges of a run of earlier versions go by, where they differ.

    Where two judges had one file, it is the first one's: the second was never asked.
    """
    owners: dict[str, str] = {}
    for judge in judges:
        owners.setdefault(old_file_name(judge).casefold(), judge)
    return {
        judge: old_file_name(judge)
        for judge in owners.values()
        if old_file_name(judge) != file_name(judge) and len(old_file_name(judge)) < _LONGEST
    }


def _old_names_in(manifest: Path) -> Mapping[str, str]:
    try:
        status = manifest.stat()
    except OSError:
        return {}
    return _read_old_names(manifest, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _read_old_names(manifest: Path, _changed: int, _size: int) -> Mapping[str, str]:
    """Return a manifest's `file_names`; one that is damaged has none, and its reader says so."""
    try:
        record = read_json(manifest)
    except DataError:
        return {}
    if not isinstance(record, dict):
        return {}
    judges, names = record.get("judges"), record.get("file_names")
    if isinstance(names, dict):
        return {judge: name for judge, name in names.items() if name == old_file_name(judge)}
    return old_names(judges) if isinstance(judges, dict) else {}


def default_run(model: str, identity: str, root: Path = RUNS) -> RunDir:
    """Return the run directory of a model that was given none: ``runs/<model>-<identity>``.

    A run that an earlier version made for the same model under its old name goes on there.
    """
    new = RunDir(root / f"{file_name(model)}-{identity}")
    old = RunDir(root / f"{old_file_name(model)}-{identity}")
    if is_run(new.path) or not is_run(old.path):
        return new
    record = read_json(old.manifest)
    return old if isinstance(record, dict) and record.get("model") == model else new


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
