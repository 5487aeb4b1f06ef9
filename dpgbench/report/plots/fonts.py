"""Fonts that have every letter of a figure's names: matplotlib's own, then any on this machine."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_OWN = "DejaVu Sans"  # comes with matplotlib
_MOST_FALLBACKS = 3
_TRUETYPE = (b"\x00\x01\x00\x00", b"true")


class Fonts(NamedTuple):
    """Fonts for some texts.

    Attributes:
        families: in the order in which they are asked for a letter.
        missing: letters that no font of this machine has, sorted.
        is_truetype: whether all are TrueType, which PDF takes as they are.
    """

    families: tuple[str, ...]
    missing: str
    is_truetype: bool = True

    def printable(self, text: str) -> str:
        """Return `text` with the code points of letters that no font has."""
        if not self.missing:
            return text
        parts = [f"[U+{ord(c):04X}]" if c in self.missing else c for c in text]
        return "".join(parts)


def fonts_for(texts: Iterable[str]) -> Fonts:
    """Return fonts that have the letters of `texts`, as far as this machine has any."""
    return _fonts_for("".join(sorted({c for text in texts for c in text if not c.isspace()})))


@functools.cache
def _fonts_for(letters: str) -> Fonts:
    from matplotlib import font_manager

    own = font_manager.findfont(_OWN, fallback_to_default=True)
    missing = set(letters) - _letters(own)
    families, is_truetype = [_OWN], True
    if missing:
        candidates = {path: _letters(path) & missing for path in _installed()}
        for _ in range(_MOST_FALLBACKS):
            path = max(
                candidates, key=lambda p: (len(candidates[p] & missing), _rank(p)), default=""
            )
            if not path or not candidates[path] & missing:
                break
            font_manager.fontManager.addfont(path)
            families.append(font_manager.get_font(path).family_name)
            is_truetype = is_truetype and _is_truetype(path)
            missing -= candidates[path]
    return Fonts(tuple(families), "".join(sorted(missing)), is_truetype)


def _installed() -> list[str]:
    from matplotlib import font_manager

    return sorted(font_manager.findSystemFonts())


def _rank(path: str) -> tuple[bool, bool, str]:
    """Return what speaks for one of two fonts that have the same letters."""
    name = Path(path).stem.casefold()
    plain = not any(
        word in name for word in ("bold", "italic", "oblique", "light", "black", "thin")
    )
    return _is_truetype(path), plain, path


def _is_truetype(path: str) -> bool:
    with Path(path).open("rb") as file:
        return file.read(4) in _TRUETYPE


def _letters(path: str) -> set[str]:
    """Return the letters that a font can draw at any size; none of one that cannot be read."""
    from matplotlib import ft2font

    try:
        font = ft2font.FT2Font(path)
        return {chr(code) for code in font.get_charmap()} if font.scalable else set()
    except (RuntimeError, OSError, ValueError):
        return set()
