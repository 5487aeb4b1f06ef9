"""Hashes of weights, so that two runs show whether theirs are the same.

Large files are hashed once: the cache remembers a file by path, size and time of change.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from dpgbench.errors import DataError, StorageError
from dpgbench.store.files import read_json, sha256_file, write_json
from dpgbench.store.paths import cache_folder

_WORTH_REMEMBERING_BYTES = 16 * 2**20


def hash_files(files: Iterable[Path], base: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its path below `base`, sorted by path."""
    remembered = _Memory(cache_folder() / "hashes.json")
    hashes = {path.relative_to(base).as_posix(): remembered.sha256(path) for path in files}
    remembered.save()
    return dict(sorted(hashes.items()))


def digest(hashes: dict[str, str]) -> str:
    """Return one SHA-256 that stands for a set of files."""
    text = json.dumps(hashes, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class _Memory:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.changed = False
        try:
            known = read_json(path) if path.exists() else {}
        except DataError:
            known = {}
        self.known: dict[str, str] = known if isinstance(known, dict) else {}

    def sha256(self, path: Path) -> str:
        status = path.stat()
        if status.st_size < _WORTH_REMEMBERING_BYTES:
            return sha256_file(path)
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        if key not in self.known:
            self.known[key] = sha256_file(path)
            self.changed = True
        return self.known[key]

    def save(self) -> None:
        if not self.changed:
            return
        try:
            write_json(self.path, self.known)
        except StorageError:
            return  # only a memory: a cache that cannot be written costs time, not truth
