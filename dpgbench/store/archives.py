"""Files of archives of other people: zips and tars, however packed, cut off or hostile."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import IO

from dpgbench.errors import DataError, reason_of

_ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")
MAX_ARCHIVE_BYTES = 2**30  # unpacked, with all that is not the benchmark's
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted member; a method that is not implemented
    ValueError,
    OverflowError,
)

Members = Iterable[tuple[str, Callable[[], IO[bytes] | None]]]
"""The name of each file, and what opens it; None where it is none."""


def read_members(
    source: str, file: IO[bytes], choose: Callable[[Members], dict[str, bytes]]
) -> dict[str, bytes] | None:
    """Return what `choose` takes of an archive; None where `file` is none.

    Args:
        source: that messages name.
        file: opened, at its beginning.
        choose: returns the content of the members that are wanted.

    Raises:
        DataError: it is cut off, damaged, or packed in a way that is not read.
    """
    head = file.read(262)
    file.seek(0)
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                return choose(_zip_members(archive))
        file.seek(0)
        if _looks_like_tar(head):
            with tarfile.open(fileobj=file, mode="r:*") as tar:
                return choose(_tar_members(tar, source))
    except _DAMAGE as error:
        raise DataError(
            f"{source} cannot be unpacked: it is cut off or damaged, or packed in a way that is "
            f"not read here ({reason_of(error)}); fetch it again; nothing was replaced"
        ) from None
    if head.startswith(b"PK") or source.lower().endswith(_ARCHIVES):
        raise DataError(f"{source} is cut off or damaged; fetch it again; nothing was replaced")
    file.seek(0)
    return None


def read_capped(file: IO[bytes], limit: int, what: str) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: it has more than `limit` bytes.
    """
    data = file.read(limit + 1)
    if len(data) > limit:
        raise DataError(
            f"{what} is larger than {limit >> 20} MiB, which upstream's is not; "
            "nothing was replaced"
        )
    return data


def _looks_like_tar(head: bytes) -> bool:
    compressed = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
    return head.startswith(compressed) or head[257:262] == b"ustar"


def _zip_members(archive: zipfile.ZipFile) -> Members:
    for info in archive.infolist():
        if not info.is_dir():
            yield info.filename, partial(archive.open, info)


def _tar_members(archive: tarfile.TarFile, source: str) -> Members:
    unpacked = 0
    for member in archive:
        unpacked += member.size  # what lies before the next member has to be unpacked to pass it
        if unpacked > MAX_ARCHIVE_BYTES:
            raise DataError(
                f"{source} unpacks to more than {MAX_ARCHIVE_BYTES >> 20} MiB, which is no copy "
                "of the benchmark; nothing was replaced"
            )
        if member.isfile():
            yield member.name, partial(archive.extractfile, member)
