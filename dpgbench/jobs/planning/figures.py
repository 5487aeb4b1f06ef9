"""A number of a plan with what it rests on: nothing in a plan stands without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Basis = Literal["counted", "measured", "given", "computed", "estimated", "assumed", "unknown"]


CPU_ONLY = "a CPU's rate says nothing of a GPU's"
"""Said of a rate that was measured on a CPU, and of all that is computed of it."""


@dataclass(frozen=True)
class Figure:
    """A number.

    Attributes:
        value: None where it is unknown.
        basis: what it rests on.
        note: how it came about, or why it is unknown; where it may not hold.
    """

    value: float | None
    basis: Basis
    note: str = ""

    @property
    def or_zero(self) -> float:
        """The number; 0 where it is unknown."""
        return self.value or 0.0

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"value": self.value, "basis": self.basis, "note": self.note}


def unknown(note: str) -> Figure:
    """Return a number that nobody knows, and why."""
    return Figure(None, "unknown", note)


def computed(value: float | None, *parts: Figure, note: str = "") -> Figure:
    """Return a number that is computed of others: no surer than the least sure of them.

    Args:
        value: the number; it is unknown where one of the parts is.
        parts: what it is made of.
        note: what else is to be said of it.
    """
    if value is None or any(part.value is None for part in parts):
        why = "; ".join(dict.fromkeys(p.note for p in parts if p.value is None and p.note))
        return unknown(why or note)
    unsure: tuple[Basis, ...] = ("assumed", "estimated", "given", "measured", "counted", "computed")
    bases = [part.basis for part in parts]
    basis: Basis = next((basis for basis in unsure if basis in bases), "computed")
    carried = [CPU_ONLY for part in parts if CPU_ONLY in part.note and CPU_ONLY not in note]
    carried += [part.note for part in parts if part.basis == "assumed"]
    note = "; ".join(dict.fromkeys(text for text in (note, *carried) if text))
    return Figure(value, "computed" if basis == "counted" else basis, note)
