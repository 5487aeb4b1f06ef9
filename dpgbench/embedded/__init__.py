"""The weights that ship with the toolkit: data alone. CARD.md says how they were made.

`SHA256SUMS` lists every file; `scripts/embedded/pack.py` writes the files and the list.
"""

from __future__ import annotations

from pathlib import Path


def embedded_path(part: str) -> Path:
    """Return where a part lies: ``sd15``, ``ella/connector.safetensors``, ``mplug``, ..."""
    return Path(__file__).parent / part
