"""Files that are whole or not there, and the removal of what a kill left behind. No torch here."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NUM_HASH_CHARACTERS = 32
_PART = re.compile(r"\.(?P<name>.+)\.(?P<host>[^.]*)\.(?P<process>\d+)\.part")
_OLD_PART = re.compile(r"\..+\.(safetensors|jsonl)\.[a-z0-9_]{8}")
_DAY_SECONDS = 86_400


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write at, which takes the place of `path` when the block ends without error.

    It is on disk before the name is: a kill leaves the old or the whole new file, and a part that
    `sweep` removes. The folder is one that is there.
    """
    part = path.with_name(f".{path.name}.{_host()}.{os.getpid()}.part")
    try:
        yield part
        _flush(part)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _flush(path.parent)


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock that the file at `path` is; a process that ends, however, lets it go.

    Where the disk has no locks there is none.

    Args:
        path: Made where it is not there, and removed at the end; its folder is there.
        wait: Until no other process has it.

    Raises:
        BlockingIOError: Without `wait`, if another process has it.
        OSError: If the file cannot be made.
    """
    while True:
        with path.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
                    raise
            if not _is_at(path, file.fileno()):
                continue  # the one that had it has removed it
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def sweep(folder: Path) -> None:
    """Remove what writers of `folder` that are dead have left; never what a live one writes.

    A part of another machine goes when it is a day old.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _is_left_over(path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_left_over(path: Path) -> bool:
    match = _PART.fullmatch(path.name)
    if match is None:  # a folder, as versions before this one wrote beside the file
        return _OLD_PART.fullmatch(path.name) is not None and path.is_dir()
    if match["host"] == _host():
        process = int(match["process"])
        return process == os.getpid() or not _is_alive(process)
    try:
        return time.time() - path.stat().st_mtime > _DAY_SECONDS
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


def _flush(path: Path) -> None:
    """Have what was written to a file or folder on disk, not in the system's memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def text_hash(text: str) -> str:
    """The name under which what belongs to `text` is kept."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:NUM_HASH_CHARACTERS]


def bytes_hash(content: bytes) -> str:
    """The name under which what belongs to these bytes is kept."""
    return hashlib.sha256(content).hexdigest()[:NUM_HASH_CHARACTERS]
