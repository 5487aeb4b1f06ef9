"""The images of several runs: which file of an item is the one, and what the log says of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError
from dpgbench.jobs.merge.sources import RunPart
from dpgbench.store.files import PART, replacing, writing
from dpgbench.store.hashes import sha256_file
from dpgbench.store.images import is_whole
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import ImageLine, image_line, read_image_log


@dataclass(frozen=True)
class MergedImages:
    """What is to be in the merged run.

    Attributes:
        files: the grid of each item that has one.
        lines: of the image log, one an item, in order.
        failures: why an item has no grid, by id, where one of the runs tells.
    """

    files: Mapping[str, Path] = field(default_factory=dict)
    lines: Sequence[ImageLine] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Candidate:
    path: Path
    log: Path
    line: ImageLine
    is_logged: bool = True

    @property
    def sha256(self) -> str:
        return self.line.get("sha256") or ""


def merged_images(
    sources: Sequence[RunPart], items: Sequence[str], grid: GridSpec | None
) -> MergedImages:
    """Return which image of which run each item gets.

    Args:
        sources: the runs, in the order in which they are asked for an image.
        items: in order; what the logs say of others comes after them.
        grid: size of grids that the runs hold themselves; None where images lie elsewhere.

    Raises:
        DataError: two runs have different images of one item; shows both.
    """
    logs = [(source.run, read_image_log(source.run.images_log)) for source in sources]
    others = [item for _, log in logs for item in log if item not in set(items)]
    files: dict[str, Path] = {}
    failures: dict[str, str] = {}
    lines: list[ImageLine] = []
    for item_id in [*items, *dict.fromkeys(others)]:
        candidates = list(_candidates(logs, item_id, grid))
        _refuse_different(item_id, candidates)
        if candidates:
            logged_ones = [candidate for candidate in candidates if candidate.is_logged]
            lines.append((logged_ones or candidates)[0].line)
            if grid is not None:
                files[item_id] = candidates[0].path
            continue
        logged = [log[item_id] for _, log in logs if item_id in log]
        failed = [line for line in logged if line.get("error")]
        lines += failed[:1]
        failures.update((item_id, line.get("error") or "") for line in failed[:1])
    return MergedImages(files, lines, failures)


def _candidates(
    logs: Sequence[tuple[RunDir, Mapping[str, ImageLine]]], item_id: str, grid: GridSpec | None
) -> Iterator[_Candidate]:
    """Yield the sound images of an item; a file that several runs share is looked at once."""
    seen: set[tuple[int, int]] = set()
    for run, log in logs:
        line = log.get(item_id)
        good = line is not None and line.get("error") is None and line.get("sha256")
        if grid is None:
            if line is not None and good:
                yield _Candidate(run.images, run.images_log, line)
            continue
        path = run.image(item_id)
        try:
            status = path.stat()
        except OSError:
            continue
        place = (status.st_dev, status.st_ino)
        if place not in seen and not is_whole(path, grid):
            continue
        if line is not None and good:
            yield _Candidate(path, run.images_log, line)
        elif place not in seen:  # a kill came between the grid and its line
            line = image_line(item_id, sha256=sha256_file(path))
            yield _Candidate(path, run.images_log, line, is_logged=False)
        seen.add(place)


def _refuse_different(item_id: str, candidates: Sequence[_Candidate]) -> None:
    for other in candidates[1:]:
        first = candidates[0]
        if first.sha256 != other.sha256:
            raise DataError(
                f"{first.log} and {other.log} have different images of item {item_id}: sha256 "
                f"{first.sha256} ({first.path}) and {other.sha256} ({other.path}); remove the "
                "wrong one, or leave one of the two runs out"
            )


def bring(source: Path, target: Path, *, scratch: Path) -> None:
    """Put an image of another run at `target`: the same file by a second name, else a copy.

    Raises:
        StorageError: it cannot be written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and target.samefile(source):
            return
        part = scratch / f"{PART}link-{os.getpid()}"
        part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # another disk, or a file system without hard links
            os.link(source, part)
            part.replace(target)
            return
        part.unlink(missing_ok=True)
        with replacing(target, scratch=scratch) as copy:
            shutil.copyfile(source, copy)
