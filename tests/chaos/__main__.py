"""`python -m tests.chaos`: runs of generate and score that are killed at random moments.

python -m tests.chaos --runs 50                          forks of a process that has torch: minutes
python -m tests.chaos --runs 50 --cold                   processes as a user starts them: an hour
python -m tests.chaos --signals KILL TERM INT            others than kill -9, mixed
python -m tests.chaos --cold --workers 2 -- --engine ray --workers 2
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import tempfile
import time
from pathlib import Path

from tests.chaos.disturb import Chaos, Cold, run_chaos
from tests.chaos.warm_modules import MODULES
from tests.warm import Warm


def main() -> None:
    """Read the options, make the runs, print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--items", type=int, default=6)
    parser.add_argument("--ends", type=int, default=5, help="of each command, at most")
    parser.add_argument("--cold", action="store_true", help="start each process anew")
    parser.add_argument("--signals", nargs="+", default=["KILL"], choices=["KILL", "TERM", "INT"])
    parser.add_argument("--workers", type=int, default=1, help="batches that may be in flight")
    parser.add_argument("options", nargs="*", help="of both commands, after --")
    arguments = parser.parse_args()
    signals = [signal.Signals[f"SIG{name}"] for name in arguments.signals]
    start = time.monotonic()
    starting = contextlib.nullcontext(Cold()) if arguments.cold else Warm(*MODULES)
    with tempfile.TemporaryDirectory() as folder, starting as starter:
        chaos = Chaos(
            starter,
            arguments.items,
            arguments.ends,
            signals,
            arguments.options,
            arguments.workers,
        )
        figures = run_chaos(chaos, Path(folder), runs=arguments.runs, seed=arguments.seed, say=True)
    print(f"{figures}; {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
