"""The long form: `python -m tests.fuzz --minutes 20 --seed 7`, other examples with each seed.

Every reader and command meets damaged files in turn until the time is over. What fails is shrunk to
its smallest example, printed, and written to a folder, one file a failure.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from tests.fuzz.commands import COMMANDS
from tests.fuzz.damage import Damaged, damaged
from tests.fuzz.examine import examine
from tests.fuzz.readers import READERS

_EXAMPLES = 300  # of a target before the next one has its turn


def main() -> int:
    """Fuzz until the time is over; return 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--only", default="", help="targets whose name has this in it")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"))
    chosen = parser.parse_args()
    seed = random.randrange(2**32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    _leave_the_user_alone()
    names = [name for name in (*READERS, *COMMANDS) if chosen.only in name]
    end, counts, failures = time.monotonic() + 60 * chosen.minutes, Counter[str](), 0
    for round_ in range(10**6):
        for name in names:
            if time.monotonic() > end:
                print(f"{sum(counts.values()):,} examples, {failures} failures; by target:")
                for target, number in counts.most_common():
                    print(f"  {number:>8,}  {target}")
                return 1 if failures else 0
            failures += not _fuzz(name, seed + round_, counts, chosen.out)
    return 0


def _leave_the_user_alone() -> None:
    """Let nothing be read or written in the user's caches, and no hub be asked."""
    home = tempfile.mkdtemp(prefix="fuzz-cache-")
    os.environ |= {"DPGBENCH_CACHE": home, "HF_HOME": f"{home}/hf", "HF_HUB_OFFLINE": "1"}


def _fuzz(name: str, seed: int, counts: Counter[str], out: Path) -> bool:
    """Return whether a target got through some examples."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    last: Any = None
    try:
        strategy, look = _target(name, place)

        @hypothesis.seed(seed)
        @settings(
            max_examples=_EXAMPLES,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            database=None,
            deadline=None,
            derandomize=False,
            report_multiple_bugs=False,
            print_blob=False,
        )
        @given(one=strategy)
        def examine_one(one: Any) -> None:
            nonlocal last
            counts[name] += 1
            last = one
            look(one)

        examine_one()
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        path = _kept(out, name, seed, last)
        print(f"\n== {name} (seed {seed}): {path}\n{last}\n{_short_trace()}", flush=True)
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return True


def _target(name: str, place: Path) -> tuple[SearchStrategy[Any], Callable[[Any], None]]:
    """Return what makes a target's examples, and what looks at one."""
    if name in COMMANDS:
        make, look = COMMANDS[name]
        return make(), look
    reader = READERS[name]
    reader.warm(place / "sound")
    examples = damaged(reader.kind, reader.samples())
    return examples, lambda one: examine(reader, place / "damaged", one.content)


def _kept(out: Path, name: str, seed: int, last: Any) -> Path:
    """Write the smallest example that fails into a folder; return its file."""
    suffix = Path(READERS[name].file).suffix if name in READERS else ".txt"
    path = out / f"{name.replace(' ', '-')}-{seed}{suffix}"
    out.mkdir(parents=True, exist_ok=True)
    path.write_bytes(last.content if isinstance(last, Damaged) else repr(last).encode())
    return path


def _short_trace() -> str:
    """Return where an exception came from, without the library's frames and long lines."""
    lines = [line[:300] for line in traceback.format_exc().splitlines()]
    return "\n".join(line for line in lines if "hypothesis" not in line)[-6000:]


if __name__ == "__main__":
    sys.exit(main())
