"""Where things are: packaged data, the user's cache. The one place that knows."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


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
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "dpgbench"
