"""Choices that come out the same on every machine and Python version.

Only `random.Random.random` is promised to keep its sequence across Python versions, so every
choice of this package is made from it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class StableRandom:
    """A stream of choices that depends on its key alone."""

    def __init__(self, *key: object) -> None:
        self._random = random.Random("/".join(str(part) for part in key))

    def below(self, limit: int) -> int:
        """A number from 0 to `limit - 1`."""
        return int(self._random.random() * limit)

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.below(len(choices))]

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in random order."""
        return self.some(values, len(values))

    def some(self, values: Sequence[T], number: int) -> list[T]:
        """`number` different ones of the values, in random order (all, where there are fewer)."""
        left = list(values)
        return [left.pop(self.below(len(left))) for _ in range(min(number, len(left)))]
