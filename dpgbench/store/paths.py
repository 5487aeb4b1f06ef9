"""Where things are and what files are called: packaged data, the user's cache, names of files."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from dpgbench.errors import DataError, clipped

_MAX_ID_BYTES = 200
_PLAIN_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,62}[a-z0-9_-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|conin\$|conout\$)(\.|$)", re.IGNORECASE)
_READABLE = 40  # characters of a name that its file keeps beside the hash
_PACKAGE = Path(__file__).resolve().parents[1]


def user_path(text: str | Path) -> Path:
    """Return the path that a user wrote, a home folder's ``~`` resolved.

    Where there is no such user, the ``~`` is a character as any other, as in a shell.
    """
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def data_folder(name: str) -> Path:
    """Return the folder of packaged data called `name` (``prompts`` or ``reports``).

    In a wheel it lies inside the package; in an editable checkout, at the repository's top.
    """
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def cache_folder() -> Path:
    """Return the user's cache: ``$DPGBENCH_CACHE``, or ``dpgbench`` in the platform's cache."""
    chosen = os.environ.get("DPGBENCH_CACHE")
    if chosen:
        return user_path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return user_path(base) / "dpgbench"


def check_item_id(item_id: str, where: str) -> None:
    """Raise where an id could not be a file's name, or could escape its folder.

    Raises:
        DataError: names the id and `where` it stands.
    """
    bad = (
        not item_id
        or item_id != item_id.strip()
        or item_id.startswith(".")
        or any(character in '/\\:*?"<>|' or not character.isprintable() for character in item_id)
        or len(item_id.encode()) > _MAX_ID_BYTES
    )
    if bad:
        raise DataError(
            f"{where}: item id {clipped(item_id, 80)} cannot name an image file; use letters, "
            f"digits, '_', '-' and '.', at most {_MAX_ID_BYTES} bytes, no leading '.'"
        )


def file_name(name: str) -> str:
    """Return the file name that stands for `name` and for no other name, on any file system.

    A name of small letters, digits and ``._-`` is its own file name. Any other keeps what is
    readable of it, then ``~`` and 8 digits of its SHA-256: names that differ only in ``:``, ``/``
    or capitals stay apart, and reserved or over-long names are harmless.
    """
    plain = _PLAIN_NAME.fullmatch(name) and not _RESERVED.match(name)
    return name if plain else hashed_file_name(name)


def hashed_file_name(name: str) -> str:
    """Return the file name of `name` that always has its hash."""
    readable = old_file_name(name)[:_READABLE].strip(".-") or "unnamed"
    guard = "_" if _RESERVED.match(readable) else ""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{guard}{readable}~{digest}"


def old_file_name(name: str) -> str:
    """Return what earlier versions called the file of `name`; other names may have the same."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "unnamed"
