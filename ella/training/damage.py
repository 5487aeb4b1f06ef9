"""Pairs that cannot be used: counted over all processes, named, listed, and too many of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ella.errors import TrainingDataError
from ella.files import replacing
from ella.training.batches import Damaged
from ella.training.processes import from_all

if TYPE_CHECKING:
    from accelerate import Accelerator

FILE = "damaged.jsonl"
_NUM_NAMED = 20


class DamageLog:
    """The damaged pairs that a run has met since it was started.

    Args:
        out: The run's folder, for the list.
        most: That are allowed: a number, or below 1 a share of the pairs.
        num_pairs: Pairs in all.
    """

    def __init__(self, out: Path, most: float, num_pairs: int) -> None:
        self._path = out / FILE
        self._setting = most
        self._most = int(most * num_pairs) if most < 1 else int(most)
        self._num_pairs = num_pairs
        self._met: dict[int, Damaged] = {}
        self._new: list[Damaged] = []

    def add(self, damaged: Iterable[Damaged]) -> None:
        """Note what this process has met."""
        for one in damaged:
            if one.pair not in self._met and all(one.pair != new.pair for new in self._new):
                self._new.append(one)

    def share(self, accelerator: Accelerator) -> None:
        """Tell the other processes, and stop all of them where there are too many.

        Raises:
            TrainingDataError: If there are more than may be.
            OSError: If the list cannot be written.
        """
        new = {one.pair: one for one in from_all(accelerator, self._new)}
        self._new = []
        new = {pair: one for pair, one in new.items() if pair not in self._met}
        if not new:
            return
        self._met |= new
        if accelerator.is_main_process:
            self._write()
            for one in list(new.values())[:_NUM_NAMED]:
                tqdm.write(f"left out: {one.reason}", file=sys.stderr)
        if len(self._met) > self._most:
            raise self._too_many(list(self._met.values()))

    def _write(self) -> None:
        """Bring the list up to date; of an earlier start, too."""
        there = _read(self._path)
        there |= {one.name: one.reason for one in self._met.values()}
        with replacing(self._path) as part:
            lines = [json.dumps({"picture": n, "reason": r}) + "\n" for n, r in there.items()]
            part.write_text("".join(lines), encoding="utf-8")

    def _too_many(self, damaged: list[Damaged]) -> TrainingDataError:
        names = ", ".join(one.name for one in damaged[1 : 1 + _NUM_NAMED])
        others = f", and {len(damaged) - 1} more ({names})" if len(damaged) > 1 else ""
        error = TrainingDataError(
            f"{damaged[0].reason}{others}: {len(damaged)} of {self._num_pairs} pairs cannot be"
            f" used, more than --max-bad {self._setting:g} allows; they are listed in {self._path}"
        )
        error.in_all_processes = True
        return error

    def summary(self) -> str:
        """What was left out, in a line; empty if nothing."""
        if not self._met:
            return ""
        names = ", ".join(one.name for one in list(self._met.values())[:_NUM_NAMED])
        more = len(self._met) - _NUM_NAMED
        rest = f" and {more} more" if more > 0 else ""
        return (
            f"{len(self._met)} of {self._num_pairs} pairs could not be used, others stood in their"
            f" place: {names}{rest}; the reasons are in {self._path}"
        )

    def __len__(self) -> int:
        return len(self._met)


def _read(path: Path) -> dict[str, str]:
    listed = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(line)
                listed[str(row["picture"])] = str(row["reason"])
            except (ValueError, KeyError, TypeError):
                continue
    return listed
