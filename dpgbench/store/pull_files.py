"""Getting a benchmark that is a handful of files: from upstream, or a folder that has them.

Every file is verified against its git blob id before anything is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dpgbench.errors import DataError, shortened
from dpgbench.store.benchmarks import SOURCE_FILE
from dpgbench.store.files import json_text, locked_folder, replace_folder
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.paths import user_path
from dpgbench.store.pull import as_upstream, download

_MAX_FILE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class FileSet:
    """Files that make a benchmark.

    Attributes:
        name: of the benchmark.
        licence: in words; said at each pull.
        folder_url: address that the files' names come after.
        blobs: git blob id of each file by its path there.
    """

    name: str
    licence: str
    folder_url: str
    blobs: Mapping[str, str]


@dataclass(frozen=True)
class PulledFiles:
    """What a pull brought: the folder, how many files, and how many had other line ends."""

    folder: Path
    files: int
    line_ends_restored: int


def pull_files(source: str | None, target: Path, wanted: FileSet) -> PulledFiles:
    """Store the files of a benchmark in `target`.

    Args:
        source: a folder that has them; None is upstream.
        target: the folder to fill.
        wanted: names and blob ids.

    Raises:
        SetupError: upstream cannot be reached.
        DataError: a file is missing, or not the one with its blob id.
        StorageError: the cache cannot be written.
        UsageError: another pull is at work.
    """
    with locked_folder(target):
        files, restored = {}, 0
        for name, blob in wanted.blobs.items():
            data = _fetched(name, wanted) if source is None else _read(source, name, wanted)
            original = as_upstream(data, blob) or _with_windows_line_ends(data, blob)
            if original is None:
                place = f"{source}/{name}" if source else f"{wanted.folder_url}/{name}"
                raise DataError(
                    f"{place} is not {wanted.name}'s (git blob {git_blob_id(data)}, expected "
                    f"{blob}); nothing was replaced"
                )
            files[name] = original
            restored += original != data
        record = {"from": source or wanted.folder_url, "licence": wanted.licence}
        replace_folder(target, {**files, SOURCE_FILE: json_text(record).encode()})
    return PulledFiles(target, len(files), restored)


def _with_windows_line_ends(data: bytes, blob: str) -> bytes | None:
    """Return the content with CR LF at line ends where upstream has it so, and a clone has not."""
    windows = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return windows if git_blob_id(windows) == blob else None


def _fetched(name: str, wanted: FileSet) -> bytes:
    url = f"{wanted.folder_url}/{name}"
    return download(url, progress=lambda done, total: None, limit=_MAX_FILE_BYTES)


def _read(source: str, name: str, wanted: FileSet) -> bytes:
    """Return a file of the user's folder: below it by its path, or by its name alone.

    Raises:
        DataError: it is not there.
    """
    folder = user_path(source)
    for path in (folder / name, folder / Path(name).name):
        if path.is_file():
            return path.read_bytes()
    has = shortened(sorted(path.name for path in folder.iterdir()), 6) if folder.is_dir() else ""
    raise DataError(
        f"{source} has no {name}, which {wanted.name} needs"
        + (f"; it has {has}" if has else "; give a folder")
        + "; nothing was replaced"
    )
