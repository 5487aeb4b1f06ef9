"""What a recorded or short answer says: yes, no, nothing at all, or something else.

Rules that copy a published script compare with ``yes`` exactly (`ScoringRule.answers` is
``exact``); others read. The words of a chat model, with thoughts and boxes around them, are read
where they come in (`dpgbench.backends`), by the same `read_yes_no` in the end.
"""

from __future__ import annotations

import unicodedata

YES = "yes"
NO = "no"

_WORDS = {"yes": True, "true": True, "1": True, "1.0": True}
_WORDS |= {"no": False, "false": False, "0": False, "0.0": False}
_MARKS = " \t\r\n.,;:!?\"'`*_()[]{}<>\u2018\u2019\u201c\u201d\u3002\uff01"
_MISSING = frozenset(
    {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)


def read_yes_no(text: str) -> bool | None:
    """Return what an answer says when case, spaces and marks around it do not count.

    Returns:
        True for yes, true, 1; False for no, false, 0; None for anything else.
    """
    return _WORDS.get(unicodedata.normalize("NFKC", text).strip(_MARKS).lower())


def is_missing(text: str) -> bool:
    """Return whether a cell holds no answer: empty, or what pandas writes and reads as missing."""
    return text.strip() in _MISSING
