"""Hashes of files. Large ones are hashed once: the cache remembers them by path, size and time."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path

from dpgbench.errors import DataError, StorageError
from dpgbench.store.files import read_json, write_json
from dpgbench.store.paths import cache_folder

_WORTH_REMEMBERING_BYTES = 16 * 2**20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_blob_id(content: bytes) -> str:
    """Return the id that git gives to a file with this content (SHA-1, hexadecimal)."""
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest()


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
            remembered = read_json(path) if path.exists() else {}
        except DataError:
            remembered = {}
        self.hashes: dict[str, str] = remembered if isinstance(remembered, dict) else {}

    def sha256(self, path: Path) -> str:
        status = path.stat()
        if status.st_size < _WORTH_REMEMBERING_BYTES:
            return sha256_file(path)
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}"
        remembered: object = self.hashes.get(key)
        if not isinstance(remembered, str) or not _SHA256.fullmatch(remembered):
            self.hashes[key] = sha256_file(path)
            self.changed = True
        return self.hashes[key]

    def save(self) -> None:
        if not self.changed:
            return
        try:
            write_json(self.path, self.hashes)
        except StorageError:
            return  # only a memory: a cache that cannot be written costs time, not truth
