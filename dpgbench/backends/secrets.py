"""Texts from elsewhere, with a secret key taken out before anybody reads or keeps them."""

from __future__ import annotations

import re

from dpgbench.store.files import utf8

_LONGEST = 2000
_MASKED = "***"  # as OpenAI shows a key that it refuses
_LEFT_OUT = re.compile(r"\*+|\.{2,}|…|•+|#+|[xX]{3,}")  # what stands for the middle of a key
_AROUND = "'\"`.,:;()[]{}<>"
_SECRET = 16  # characters from which on a key is no word such as "EMPTY" that servers take
_PART = 6  # characters in a row of a secret key that are not shown
_END = 4  # of its last ones, where they stand alone


def hide_key(text: str, key: str | None) -> str:
    """Return `text` as one line without words that show `key`, whole, in part or masked.

    A long text is cut. Half of a surrogate pair, which no file holds, becomes a question mark.
    """
    text = utf8(text[:_LONGEST]).decode()
    words = (text.replace(key, "[key]") if key else text).split()
    return " ".join("[key]" if _shows_key(word, key or "") else word for word in words)


def _shows_key(word: str, key: str) -> bool:
    if _MASKED in word or len(key) < _SECRET:
        return _MASKED in word
    if any(key[start : start + _PART] in word for start in range(len(key) - _PART + 1)):
        return True
    first, *others = _LEFT_OUT.split(word.strip(_AROUND))
    if not others:
        return first.endswith(key[-_END:]) and len(first) <= _END + 2
    begins = len(first) > 1 and key.startswith(first)
    return begins or (len(others[-1]) > 1 and key.endswith(others[-1]))
