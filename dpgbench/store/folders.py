"""A folder that is replaced as a whole, and mended where a kill came in between."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dpgbench.errors import UsageError
from dpgbench.store.files import writing


@contextmanager
def locked_folder(target: Path) -> Iterator[None]:
    """Hold `target` for this process alone, mended; the lock goes with the process.

    Raises:
        UsageError: another process holds it.
        StorageError: its parent cannot be written.
    """
    import filelock

    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(target.parent / f".{target.name}.lock")
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            raise UsageError(
                f"{target} is being written by another process; wait for it, then try again"
            ) from None
    try:
        _mend(target)
        yield
    finally:
        lock.release()


def mended(target: Path) -> Path:
    """Return `target`, put back in its place if a kill came between the renames of a switch.

    Raises:
        UsageError: another process is writing it now.
    """
    if not target.exists() and any(target.parent.glob(f".{target.name}-old-*")):
        with locked_folder(target):
            pass
    return target


def replace_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Make `target` hold exactly `files`, by their paths in it; inside `locked_folder`.

    The switch is two renames. On an error the old folder is there as it was; what a kill leaves
    is mended by the next `locked_folder` or `mended`.

    Raises:
        StorageError: it could not be written.
    """
    with writing(target):
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-new-"))
        old = fresh.with_name(fresh.name.replace("-new-", "-old-"))
        try:
            fresh.chmod(0o755)
            for name, data in files.items():
                (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                (fresh / name).write_bytes(data)
            if target.exists():
                target.rename(old)
            fresh.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def _mend(target: Path) -> None:
    """Put an old folder back whose name a killed switch had taken; sweep what else it left."""
    for old in sorted(target.parent.glob(f".{target.name}-old-*")):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            with writing(target):
                old.rename(target)
    for fresh in target.parent.glob(f".{target.name}-new-*"):
        shutil.rmtree(fresh, ignore_errors=True)
