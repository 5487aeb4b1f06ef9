"""A shard: the part of a run's items that one of several commands works on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dpgbench.errors import UsageError

_OPTION = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})", re.ASCII)
_FOLDER = re.compile(r"([1-9]\d{0,5})-of-([1-9]\d{0,5})", re.ASCII)


@dataclass(frozen=True, order=True)
class Shard:
    """Part `number`, from 1, of `of` parts."""

    of: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a user wrote as ``I/N``.

        Raises:
            UsageError: it is none.
        """
        match = _OPTION.fullmatch(text)
        if match is None or int(match[1]) > int(match[2]):
            raise UsageError(
                f"--shard {text}: write I/N, part I of N with I from 1 to N, such as 1/4"
            )
        return cls(int(match[2]), int(match[1]))

    @classmethod
    def of_folder(cls, name: str) -> Shard | None:
        """Return the shard whose folder has this name, if one has."""
        match = _FOLDER.fullmatch(name)
        if match is None or int(match[1]) > int(match[2]):
            return None
        return cls(int(match[2]), int(match[1]))

    @property
    def folder_name(self) -> str:
        """What its folder is called, ``I-of-N``."""
        return f"{self.number}-of-{self.of}"

    def items(self, chosen: Sequence[str]) -> list[str]:
        """Return its items: of N shards, every N-th, so that all take about as long."""
        return list(chosen[self.number - 1 :: self.of])

    def __str__(self) -> str:
        """Return it as a user writes it."""
        return f"{self.number}/{self.of}"


def shard_of(position: int, of: int) -> Shard:
    """Return which of `of` shards the item at a position, from 0, belongs to."""
    return Shard(of, position % of + 1)
