"""What handing work to workers costs, with a generator and a judge that only sleep.

    python -m benchmarks.engine                   # 1 and 8 workers, a quarter of a second an item
    python -m benchmarks.engine --items 100000    # the driver's memory

Prints for `generate` and `score` how much faster eight workers are than one, what each item costs
beside the sleep, and the most memory that the driver has held. Targets: 7 times, 5 ms, 1 GiB.
The time until all workers are there is not counted: a cluster that is there has them at once.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.backends.protocols import JudgeAnswer, JudgeReply
from dpgbench.engine.asking import Opened, OpenGrid, Spent
from dpgbench.engine.drawing import Drawn, DrawUnit, NotDrawn
from dpgbench.engine.open import kept_cluster, open_workers
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.work import Worker, Workers

GIB = 2**30


@dataclass(frozen=True)
class Sleeps:
    """Builds a worker that sleeps for each item."""

    kind: str
    seconds: float
    num_bytes: int

    def __call__(self) -> Worker[Any, Any]:
        """Return it."""
        return Sleeper(self) if self.kind == "generate" else SleepingJudge(self)


class Sleeper(Worker[DrawUnit, Drawn | NotDrawn]):
    """Draws nothing, for as long as it is told to, and sends back so many bytes."""

    def __init__(self, sleeps: Sleeps) -> None:
        self.sleeps, self.png = sleeps, os.urandom(sleeps.num_bytes)

    def units_at_once(self) -> int:
        """Return what drawing has."""
        return 1

    def decides(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def work(self, units: Iterable[DrawUnit]) -> Iterator[Drawn | NotDrawn]:
        """Sleep for each item."""
        for unit in units:
            time.sleep(self.sleeps.seconds)
            yield Drawn(unit.item_id, self.png, "0" * 64, self.sleeps.seconds)


class SleepingJudge(Worker[OpenGrid, JudgeReply | Opened | Spent]):
    """Says yes to one question of each of four tiles."""

    def __init__(self, sleeps: Sleeps) -> None:
        self.sleeps = sleeps

    def units_at_once(self) -> int:
        """Return what a judge of one image at once has."""
        return 4

    def decides(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}

    def work(self, units: Iterable[OpenGrid]) -> Iterator[JudgeReply | Opened | Spent]:
        """Sleep for each item."""
        for unit in units:
            time.sleep(self.sleeps.seconds)
            for tile in range(4):
                yield JudgeReply(unit.item_id, tile, {1: JudgeAnswer("yes", 0.9)})


def main() -> None:
    options = parse_options()
    for kind in options.kinds.split(","):
        seconds = {
            number: measure(kind, number, options)
            for number in map(int, options.workers.split(","))
        }
        first, last = min(seconds), max(seconds)
        per_item = {
            number: (taken - options.items * options.seconds / number) / options.items * number
            for number, taken in seconds.items()
        }
        report = {
            "kind": kind,
            "items": options.items,
            "seconds": {number: round(taken, 2) for number, taken in seconds.items()},
            "times_faster": round(seconds[first] / seconds[last], 2),
            "overhead_ms_per_item_of_a_worker": {
                number: round(1000 * value, 2) for number, value in per_item.items()
            },
            "driver_peak_gib": round(peak_bytes() / GIB, 3),
        }
        print(json.dumps(report))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=320)
    parser.add_argument("--seconds", type=float, default=0.25, help="that each item takes")
    parser.add_argument("--bytes", type=int, default=1_500_000, help="of a grid")
    parser.add_argument("--workers", default="1,8")
    parser.add_argument("--kinds", default="generate,score")
    parser.add_argument("--engine", default="ray")
    return parser.parse_args()


def measure(kind: str, number: int, options: argparse.Namespace) -> float:
    """Return the seconds from the first batch to the last outcome."""
    ray = options.engine == "ray"
    engine = EngineOptions(
        options.engine, workers=number if ray else None, cpus_per_worker=0.25 if ray else None
    )
    factory = Sleeps(kind, options.seconds, options.bytes)
    with kept_cluster(engine, device="cpu"):
        workers: Workers[Any, Any] = open_workers(engine, factory, device="cpu")
        with workers, tempfile.TemporaryDirectory() as folder:
            image = Path(folder) / "grid.png"
            image.write_bytes(os.urandom(options.bytes))
            wait_for_all(workers, number)
            started, done = time.perf_counter(), 0
            for outcome in workers.run(units(kind, options.items, image), options.items):
                done += isinstance(outcome, Drawn) or (
                    isinstance(outcome, JudgeReply) and outcome.tile == 0
                )
                if isinstance(outcome, Drawn) and outcome.png:
                    (Path(folder) / "drawn.png").write_bytes(outcome.png)
            taken = time.perf_counter() - started
    if done != options.items:
        sys.exit(f"{done} of {options.items} items were done")
    return taken


def wait_for_all(workers: Workers[Any, Any], number: int) -> None:
    """Wait until all workers are loaded, so that their start is not measured."""
    ready = getattr(workers, "wait_for", None)
    if ready is not None:
        ready(number)


def units(kind: str, number: int, image: Path) -> Iterator[DrawUnit | OpenGrid]:
    for position in range(number):
        item_id = f"item_{position}"
        if kind == "generate":
            yield DrawUnit(item_id, "a prompt of some words " * 20, (0, 1, 2, 3))
        else:
            yield OpenGrid(item_id, image, {}).for_another_process(shared_storage=False)


def peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
