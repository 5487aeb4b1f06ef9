"""Commands that are killed at random moments, and what must hold of their runs all the same.

After each end, what is on disk counts as done: nothing of it may be drawn or asked again. What was
begun and is not on disk may be, and is at most one batch an end, or two grids: one is written while
the next is drawn. Once a command is left in peace, its grids, answers and scores are those of an
undisturbed run, byte by byte.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dpgbench.store.benchmarks import load_benchmark
from tests.chaos.counted import ASKED, BATCH, DRAWN, FOLDER
from tests.helpers import REPOSITORY, Ended, json_lines

ITEM_CHOICE = ("--bench", "shapes", "--limit")
MODEL, JUDGE = "tests.chaos.counted:Generator", "tests.chaos.counted:Judge"
ENDS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


class Starter(Protocol):
    """Starts a command, and returns how it ended."""

    def start(self, words: Sequence[object], folder: Path) -> int:
        """Start a command in a folder; return its process."""

    def wait(self) -> Ended:
        """Return how it ended."""


class Cold:
    """Starts each command as a user does."""

    def start(self, words: Sequence[object], folder: Path) -> int:
        """Start a command in a folder; return its process."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dpgbench", *map(str, words)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), FOLDER: str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self._process.pid

    def wait(self) -> Ended:
        """Return how it ended."""
        out, err = self._process.communicate()
        return Ended(self._process.returncode, out, err)


@dataclass
class Figures:
    """What happened in all runs together."""

    runs: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    done_again: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """Return the figures in a sentence."""
        ends = ", ".join(f"{number} {name}" for name, number in sorted(self.ends.items()))
        again = ", ".join(f"{self.done_again[name]} {name}" for name in ("drawn", "asked"))
        return f"{self.runs} runs, equal to the undisturbed one; ends: {ends}; again: {again}"


@dataclass(frozen=True)
class Chaos:
    """How commands are disturbed.

    Attributes:
        starter: starts them.
        num_items: of each run.
        max_ends: of each command, at most; then it is left in peace.
        signals: one of them ends it.
        options: of both commands, such as ``--engine ray``.
        num_workers: each may have a batch in flight.
    """

    starter: Starter
    num_items: int = 6
    max_ends: int = 5
    signals: Sequence[signal.Signals] = (signal.SIGKILL,)
    options: Sequence[str] = ()
    num_workers: int = 1

    def commands(self) -> Mapping[str, tuple[str, ...]]:
        """Return the two commands, by the file that counts what they do."""
        common = ("--device", "cpu", "-q", *self.options)
        choice = (*ITEM_CHOICE, str(self.num_items))
        return {
            DRAWN: ("generate", "--model", MODEL, "--out", "r", *choice, *common),
            ASKED: ("score", "r", "--judge", JUDGE, *common),
        }

    def undisturbed(self, folder: Path) -> tuple[dict[str, bytes], dict[str, float]]:
        """Return what an undisturbed run holds, and the seconds of each command.

        Of two times, as the first has more to load than those that follow.
        """
        seconds: dict[str, float] = {}
        for number in ("1", "2"):
            (folder / number).mkdir(parents=True)
            for name, words in self.commands().items():
                ended, duration = self._run(words, folder / number)
                assert ended.code == 0, ended.err
                seconds[name] = min(duration, seconds.get(name, duration))
        return product(folder / "2/r"), seconds

    def disturb(
        self,
        folder: Path,
        good: Mapping[str, bytes],
        seconds: dict[str, float],
        moments: random.Random,
        figures: Figures,
    ) -> None:
        """Make a run whose commands are disturbed, and see that it is as `good`."""
        folder.mkdir(parents=True)
        for name, words in self.commands().items():
            for left in range(moments.randint(1, self.max_ends), -1, -1):
                done, begun = on_disk(folder / "r", name), counted(folder, name)
                after = moments.uniform(0, 1.02 * seconds[name]) if left else None
                how = moments.choice(self.signals)
                ended, duration = self._run(words, folder, after, how)
                figures.ends["in peace" if ended.code == 0 else how.name] += 1
                self._check(folder, name, done, begun, figures)
                if ended.code == 0:
                    seconds[name] = seconds[name] if begun else min(duration, seconds[name])
                    break
                assert ended.code in (ENDS[how], -how), (ended.code, ended.err)
        result = product(folder / "r")
        assert result.keys() == good.keys()
        assert [path for path in good if result[path] != good[path]] == []
        figures.runs += 1

    def _run(
        self,
        words: Sequence[str],
        folder: Path,
        after: float | None = None,
        how: signal.Signals = signal.SIGKILL,
    ) -> tuple[Ended, float]:
        """Run a command, ended after some seconds; return how it ended, and after how many."""
        start = time.monotonic()
        process = self.starter.start(words, folder)
        if after is not None:
            time.sleep(after)
            with suppress(ProcessLookupError):
                os.kill(process, how)
        ended = self.starter.wait()
        return ended, time.monotonic() - start

    def _check(
        self, folder: Path, name: str, done: set[str], begun: Sequence[str], figures: Figures
    ) -> None:
        """See that nothing was done twice beyond a batch."""
        new = counted(folder, name)[len(begun) :]
        assert not done.intersection(new), f"{name}: done again though it was on disk"
        assert len(new) == len(set(new)), f"{name}: twice by one command"
        again = [what for what in new if what in set(begun)]
        batch = 1 if name == DRAWN else len({tuple(json.loads(what)[:2]) for what in again})
        assert name == DRAWN or batch <= BATCH * self.num_workers, f"{batch} tiles again"
        most = 2 * self.num_workers  # the grid that is drawn, and the one that is being written
        assert name == ASKED or len(again) <= most, f"{again} again"
        figures.done_again[name.removesuffix(".log")] += len(again)


def counted(folder: Path, name: str) -> list[str]:
    """Return what a generator or judge was asked to do so far."""
    path = folder / name
    return path.read_text().splitlines() if path.exists() else []


def on_disk(run: Path, name: str) -> set[str]:
    """Return what is done, as a generator or judge would write it down."""
    if name == DRAWN:
        prompts = load_benchmark("shapes").prompts
        return {json.dumps(prompts[path.stem]) for path in run.glob("images/*.png")}
    return {
        json.dumps([line["item_id"], line["tile"], line["qid"]])
        for path in run.glob("answers/*.jsonl")
        for line in whole_lines(path)
    }


def whole_lines(path: Path) -> list[dict[str, object]]:
    """Return the lines of a file, but for a torn one at its end."""
    whole = path.with_name(f"{path.name}.whole")
    data = path.read_bytes()
    whole.write_bytes(data[: data.rfind(b"\n") + 1])
    lines = json_lines(whole)
    whole.unlink()
    return lines


def product(run: Path) -> dict[str, bytes]:
    """Return a run's grids, answers and scores, by path."""
    parts = ("images/*", "answers/*", "scores/*/*")
    paths = [path for part in parts for path in sorted(run.glob(part))]
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in paths}


def run_chaos(chaos: Chaos, folder: Path, *, runs: int, seed: int, say: bool = False) -> Figures:
    """Make runs that are disturbed, each of which must be as an undisturbed one.

    Raises:
        AssertionError: one is not; its folder is left.
    """
    figures, moments = Figures(), random.Random(seed)
    good, seconds = chaos.undisturbed(folder / "undisturbed")
    for number in range(1, runs + 1):
        chaos.disturb(folder / str(number), good, seconds, moments, figures)
        shutil.rmtree(folder / str(number))
        if say:
            print(f"{number}: {figures}", flush=True)
    return figures
