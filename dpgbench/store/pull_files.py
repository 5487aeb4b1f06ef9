"""Getting a benchmark of the table into the cache: fetched, verified, converted, stored.

Every file is verified against its git blob id before anything is replaced; on any error the cache
stays as it was. DPG-Bench, of a thousand files, has a module of its own (`pull`).
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from dpgbench.errors import DataError, DpgBenchError, SetupError, shortened
from dpgbench.store.archives import MAX_ARCHIVE_BYTES, Members, read_capped, read_members
from dpgbench.store.benchmark_table import NamedBenchmark
from dpgbench.store.benchmarks import SOURCE_FILE
from dpgbench.store.conversion import converted
from dpgbench.store.download import Progress, download
from dpgbench.store.files import json_text, locked_folder, replace_folder
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.paths import user_path
from dpgbench.store.pull import as_upstream

UPSTREAM_FOLDER = "upstream"
"""In the cache, beside the converted benchmark: its files as they came."""
_MAX_FILE_BYTES = 64 * 2**20
_PLAIN = ("prompt-lists",)  # read as they are


@dataclass(frozen=True)
class PulledFiles:
    """What a pull brought.

    Attributes:
        folder: in the cache.
        files: how many were verified.
        line_ends_restored: of these, whose line ends a clone had changed.
        sources: where each file came from, by its path.
        trouble: why addresses that were tried first gave nothing.
    """

    folder: Path
    files: int
    line_ends_restored: int
    sources: Mapping[str, str]
    trouble: Sequence[str] = ()


@dataclass
class _Verified:
    """Files as upstream has them, by path, and how they came."""

    files: dict[str, bytes] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    restored: int = 0
    trouble: list[str] = field(default_factory=list)


def pull_files(
    source: str | None,
    target: Path,
    wanted: NamedBenchmark,
    *,
    progress: Progress = lambda done, total: None,
) -> PulledFiles:
    """Store a benchmark in `target`.

    Args:
        source: a folder, an archive (zip, tar), a file, or the URL of one of the last two; None is
            upstream, and for a file that cannot be had there each of its mirrors.
        target: the folder to fill.
        wanted: the benchmark.
        progress: told bytes done and bytes in all while downloading.

    Raises:
        SetupError: upstream cannot be reached.
        DataError: a file is missing, or not the one with its blob id.
        StorageError: the cache cannot be written.
        UsageError: another pull is at work.
    """
    with locked_folder(target):
        verified = _Verified()
        if source is None:
            for path in wanted.files:
                _fetch(path, wanted, verified, progress)
        else:
            present = _read_source(source, wanted, progress)
            missing = [path for path in wanted.files if path not in present]
            if missing:
                raise DataError(_lacks(source, wanted, missing))
            for path in wanted.files:
                place = f"{source}/{PurePosixPath(path).name}"
                _verify(path, present[path], place, wanted, verified)
                verified.sources[path] = source
        replace_folder(target, _content(wanted, verified, source))
    return PulledFiles(
        target,
        len(verified.files),
        verified.restored,
        verified.sources,
        tuple(verified.trouble),
    )


def _content(wanted: NamedBenchmark, verified: _Verified, source: str | None) -> dict[str, bytes]:
    """Return what the cache is to hold: the converted benchmark, its files, where they are from."""
    record: dict[str, object] = {
        "from": source or f"{wanted.repository} at {wanted.commit}",
        "files": {path: verified.sources[path] for path in sorted(verified.sources)},
        "blobs": dict(wanted.files),
        "licence": wanted.terms,
    }
    by_name = {PurePosixPath(path).name: data for path, data in verified.files.items()}
    content: dict[str, bytes] = {}
    if wanted.format in _PLAIN:
        content |= by_name
    else:
        table = converted(wanted.format, verified.files).encode()
        content[f"{wanted.name}.csv"] = table
        record["sha256"] = hashlib.sha256(table).hexdigest()
        if wanted.format != "table":
            content |= {f"{UPSTREAM_FOLDER}/{name}": data for name, data in by_name.items()}
    content[SOURCE_FILE] = json_text(record).encode()
    return content


def _fetch(path: str, wanted: NamedBenchmark, verified: _Verified, progress: Progress) -> None:
    """Get a file from upstream, or from the first mirror that has it.

    Raises:
        DpgBenchError: none has; says why, for each.
    """
    refused: list[DpgBenchError] = []
    for url in (wanted.url_of(path), *wanted.mirrors.get(path, ())):
        try:
            data = download(url, progress=progress, limit=_MAX_FILE_BYTES)
            _verify(path, data, url, wanted, verified)
        except (DataError, SetupError) as error:
            refused.append(error)
            continue
        verified.sources[path] = url
        verified.trouble += map(str, refused)
        return
    if len(refused) == 1:
        raise refused[0]
    raise type(refused[0])(
        f"{path} could not be had from {len(refused)} sources; nothing was replaced: "
        f"{'; '.join(map(str, refused))}"
    )


def _verify(
    path: str, data: bytes, place: str, wanted: NamedBenchmark, verified: _Verified
) -> None:
    """Keep a file as upstream has it.

    Raises:
        DataError: it is another one.
    """
    blob = wanted.files[path]
    original = as_upstream(data, blob)
    if original is None:
        original = _with_windows_line_ends(data, blob)
    if original is None:
        raise DataError(
            f"{place} is not {wanted.name}'s (git blob {git_blob_id(data)}, expected {blob}); "
            "nothing was replaced"
        )
    verified.files[path] = original
    verified.restored += original != data


def _with_windows_line_ends(data: bytes, blob: str) -> bytes | None:
    """Return the content with CR LF at line ends where upstream has it so, and a clone has not."""
    windows = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return windows if git_blob_id(windows) == blob else None


def _read_source(source: str, wanted: NamedBenchmark, progress: Progress) -> dict[str, bytes]:
    """Return those of the benchmark's files that a source has.

    Raises:
        SetupError: it cannot be reached.
        DataError: it is not there, cannot be read, or is a damaged archive.
    """
    if source.startswith(("http://", "https://")):
        content = download(source, progress=progress, limit=MAX_ARCHIVE_BYTES)
        return _unpack(source, io.BytesIO(content), wanted)
    path = user_path(source)
    try:
        if path.is_dir():
            return _in_folder(path, wanted)
        if not path.exists():
            raise DataError(f"{source} does not exist; give a folder, an archive, a file or a URL")
        with path.open("rb") as file:
            return _unpack(source, file, wanted)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}") from None


def _in_folder(folder: Path, wanted: NamedBenchmark) -> dict[str, bytes]:
    """Return the files of a folder: in upstream's layout, from any level of it, or side by side."""
    files = {}
    for path in wanted.files:
        for tail in _tails(path, wanted):
            if (folder / tail).is_file():
                with (folder / tail).open("rb") as file:
                    files[path] = read_capped(file, _MAX_FILE_BYTES, str(folder / tail))
                break
    return files


def _tails(path: str, wanted: NamedBenchmark) -> list[PurePosixPath]:
    """Return a file's path in its repository, and what is left of it from each level below."""
    parts = (PurePosixPath(wanted.folder) / path).parts
    return [PurePosixPath(*parts[level:]) for level in range(len(parts))]


class _Member(NamedTuple):
    """A file of an archive that may be a wanted one: how many levels of their paths are alike."""

    levels: int
    data: bytes


def _unpack(source: str, file: IO[bytes], wanted: NamedBenchmark) -> dict[str, bytes]:
    """Return the files of an archive; a file that is none is the benchmark's of that name.

    Or the only one that the benchmark has, whatever it is called.
    """
    members = read_members(source, file, lambda members: _chosen(members, wanted, source))
    if members is not None:
        return members
    name = PurePosixPath(source.replace("\\", "/")).name
    same = [path for path in wanted.files if PurePosixPath(path).name == name]
    (path,) = same or (list(wanted.files) if len(wanted.files) == 1 else [""])
    return {path: read_capped(file, _MAX_FILE_BYTES, source)} if path else {}


def _chosen(members: Members, wanted: NamedBenchmark, source: str) -> dict[str, bytes]:
    """Return the wanted files of an archive, wherever it has put its folder.

    Of several of a name, the one whose path is most alike.
    """
    by_name = {PurePosixPath(path).name: path for path in wanted.files}
    best: dict[str, _Member] = {}
    for name, opened in members:
        path = by_name.get(PurePosixPath(name).name)
        if path is None:
            continue
        levels = next(
            len(tail.parts)
            for tail in _tails(path, wanted)
            if PurePosixPath(name).parts[-len(tail.parts) :] == tail.parts
        )
        if (path not in best or best[path].levels < levels) and (file := opened()) is not None:
            with file:
                data = read_capped(file, _MAX_FILE_BYTES, f"{source}: {name}")
            best[path] = _Member(levels, data)
    return {path: member.data for path, member in best.items()}


def _lacks(source: str, wanted: NamedBenchmark, missing: Sequence[str]) -> str:
    folder = user_path(source)
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    has = f"; it has {shortened(names, 6)}" if names else ""
    what = f"{source} has no {shortened(missing)}, which {wanted.name} needs{has}"
    return f"{what}; nothing was replaced"
