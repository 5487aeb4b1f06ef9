"""Short forms of what the page's data has most of: letters of answers, figures that repeat.

`reports/unpack.js` undoes them in the browser, when a run is first looked at.
"""

from __future__ import annotations

import string

from dpgbench.analysis.answers import ItemScores
from dpgbench.analysis.verdict_letters import FAILS, HOLDS, NONE, OTHER

_LETTERS = HOLDS + FAILS + OTHER + NONE
"""What an answer can be before any rule: its place here is what is packed."""
_SIGNS = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_A_SIGN = 3
"""Answers in one of the 64 signs."""
_SIGN_OF = {
    first + second + third: _SIGNS[16 * a + 4 * b + c]
    for a, first in enumerate(_LETTERS)
    for b, second in enumerate(_LETTERS)
    for c, third in enumerate(_LETTERS)
}


def packed_answers(letters: str) -> str:
    """Return an item's answers in a third of the signs; `letters` are those before any rule.

    The last sign is filled up: how many letters there are is known from the item's questions.
    """
    whole = letters + HOLDS * (-len(letters) % _A_SIGN)
    return "".join([_SIGN_OF[whole[at : at + _A_SIGN]] for at in range(0, len(whole), _A_SIGN)])


def changes(letters: str, answers: str) -> str:
    """Return what a rule makes of an item's answers: each letter that it changes and its place.

    ``z3n12`` says that the fourth answer is zeroed and the thirteenth counts as no. Where that
    would be the longer text, and where one of the two is empty, it is `letters`, which have no
    digits.
    """
    if len(letters) != len(answers):
        return letters
    changed = "".join(
        [
            f"{after}{place}"
            for place, (after, before) in enumerate(zip(letters, answers, strict=True))
            if after != before
        ]
    )
    return changed if len(changed) < len(letters) else letters


class Distinct:
    """Figures that repeat: the page has each once."""

    def __init__(self) -> None:
        self._places: dict[float | None, int | None] = {None: None}
        self.values: list[float] = []

    def places(self, figures: ItemScores) -> list[int | None]:
        """Return the place of each figure among `values`; None stays None."""
        return [self._place(figure) for figure in figures]

    def _place(self, figure: float | None) -> int | None:
        if figure is not None and figure not in self._places:
            self._places[figure] = len(self.values)
            self.values.append(figure)
        return self._places[figure]
