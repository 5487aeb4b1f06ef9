"""Small copies of pictures for the page, made by all cores once and kept in the user's cache.

A copy goes by the hash of its picture, so that a run that was moved or copied has its copies
already. Hashes are computed once too: a picture is taken for the one that was hashed as long as its
size, its times and its place on the disk are the same.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dpgbench.errors import DataError
from dpgbench.report.page.quick_png import inflated_png
from dpgbench.store.image_files import EncodedFile
from dpgbench.store.images import open_picture
from dpgbench.store.paths import cache_folder

THUMB_PX = 384
_QUALITY = 60
_EFFORT = 1  # of 6: a higher one takes longer for a tenth of the bytes
_LARGEST_CACHE = 2 << 30
_PART = ".part-"


class ThumbCache:
    """Thumbs by the hash of their pictures, in files; it works without, if it cannot write.

    Args:
        folder: where they are kept; None for the user's cache.
        workers: pictures at a time; None for as many as there are cores for this process.
        largest: bytes that it may hold; the oldest go first.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        workers: int | None = None,
        largest: int = _LARGEST_CACHE,
    ) -> None:
        root = cache_folder() / "thumbs" if folder is None else folder
        self._thumbs = root / f"{THUMB_PX}-{_QUALITY}-{_EFFORT}"
        self._seen = root / "hashes"
        self._workers = workers or _num_cores()
        self._largest = largest
        self.made = 0

    def thumbs(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return a data address for each picture; nothing for one that cannot be read.

        A line on stderr shows how far it is.
        """
        from tqdm import tqdm

        wanted = list(dict.fromkeys(paths))
        addresses: dict[Path, str] = {}
        self.made = 0
        with (
            tqdm(total=len(wanted), unit="picture", desc="thumbs") as bar,
            ThreadPoolExecutor(self._workers) as pool,
        ):
            for folder, of_folder in _by_folder(wanted).items():
                hashes = self._read_hashes(folder)
                before = dict(hashes)
                try:
                    for path, address in zip(
                        of_folder,
                        pool.map(lambda path: self._thumb(path, hashes), of_folder),  # noqa: B023
                        strict=True,
                    ):
                        addresses[path] = address
                        bar.update()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                if hashes != before:
                    self._write_hashes(folder, hashes)
        if self.made:
            self._prune()
        return addresses

    def _thumb(self, path: Path, hashes: dict[str, list[Any]]) -> str:
        state = _state(path)
        entry = hashes.get(path.name)
        if entry is not None and entry[:-1] == state:
            kept = self._read(entry[-1])
            if kept is not None:
                return _address(kept)
        try:
            content = path.read_bytes()
        except OSError:
            return ""
        sha256 = hashlib.sha256(content).hexdigest()
        thumb = self._read(sha256)
        if thumb is None:
            try:
                thumb = make_thumb(path.name, content)
            except DataError:
                return ""
            self._write(sha256, thumb)
            self.made += 1
        hashes[path.name] = [*state, sha256]
        return _address(thumb)

    def _file(self, sha256: str) -> Path:
        return self._thumbs / sha256[:2] / f"{sha256}.webp"

    def _read(self, sha256: str) -> bytes | None:
        """Return a thumb that is there, whole."""
        try:
            content = self._file(sha256).read_bytes()
        except OSError:
            return None
        whole = content[:4] == b"RIFF" and int.from_bytes(content[4:8], "little") + 8 == len(
            content
        )
        return content if whole else None

    def _write(self, sha256: str, content: bytes) -> None:
        _write_quickly(self._file(sha256), content)

    def _hashes_file(self, folder: Path) -> Path:
        name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:32]
        return self._seen / f"{name}.json"

    def _read_hashes(self, folder: Path) -> dict[str, list[Any]]:
        """Return size, times, place and hash of a folder's pictures, as far as they are kept."""
        try:
            kept = json.loads(self._hashes_file(folder).read_bytes())
        except (OSError, ValueError):
            return {}
        sound = isinstance(kept, dict) and all(
            isinstance(entry, list) and len(entry) == 5 and isinstance(entry[-1], str)
            for entry in kept.values()
        )
        return kept if sound else {}

    def _write_hashes(self, folder: Path, hashes: Mapping[str, list[Any]]) -> None:
        _write_quickly(self._hashes_file(folder), json.dumps(hashes, sort_keys=True).encode())

    def _prune(self) -> None:
        """Remove the oldest thumbs of a cache that is too large, and parts that a kill left."""
        with contextlib.suppress(OSError):
            files = [(file, file.stat()) for file in self._thumbs.glob("*/*") if file.is_file()]
            total = sum(stat.st_size for _, stat in files)
            for file, stat in sorted(files, key=lambda one: one[1].st_mtime):
                if total <= self._largest:
                    break
                file.unlink(missing_ok=True)
                total -= stat.st_size


def _num_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_thumb(name: str, content: bytes) -> bytes:
    """Return a small WebP copy of a picture.

    Raises:
        DataError: it is no picture.
    """
    from PIL import Image

    small = open_picture(EncodedFile(name, inflated_png(content)))
    # Whole pixels are averaged first, down to no less than the size that is wanted: that is quick.
    small.thumbnail((THUMB_PX, THUMB_PX), Image.Resampling.BILINEAR, reducing_gap=1.0)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=_QUALITY, method=_EFFORT)
    return buffer.getvalue()


def _address(thumb: bytes) -> str:
    return "data:image/webp;base64," + base64.b64encode(thumb).decode()


def _by_folder(paths: Sequence[Path]) -> dict[Path, list[Path]]:
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.parent, []).append(path)
    return folders


def _state(path: Path) -> list[int]:
    """Return what tells that a file is the one that was hashed: a change changes one of these."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _write_quickly(path: Path, content: bytes) -> None:
    """Put a file of the cache in its place whole; one that cannot be written is made again."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(part).replace(path)
        except OSError:
            Path(part).unlink(missing_ok=True)
