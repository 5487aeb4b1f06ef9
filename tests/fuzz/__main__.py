"""The long form: `python -m tests.fuzz --minutes 20 --seed 7`, other examples with each seed.

Every reader is shown damaged files in turn until the time is over. What fails is shrunk to its
smallest example, printed, and written to a folder, one file a failure.
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
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.fuzz.damage import Damaged, damaged
from tests.fuzz.examine import examine
from tests.fuzz.readers import READERS, Reader


def main() -> int:
    """Fuzz until the time is over; return 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--only", default="", help="readers whose name has this in it")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"))
    chosen = parser.parse_args()
    seed = random.randrange(2**32) if chosen.seed is None else chosen.seed
    print(f"seed {seed}", flush=True)
    _leave_the_user_alone()
    readers = [reader for name, reader in READERS.items() if chosen.only in name]
    end, counts, failures = time.monotonic() + 60 * chosen.minutes, Counter[str](), 0
    for round_ in range(10**6):
        for reader in readers:
            if time.monotonic() > end:
                print(f"{sum(counts.values()):,} examples, {failures} failures; by reader:")
                for name, number in counts.most_common():
                    print(f"  {number:>8,}  {name}")
                return 1 if failures else 0
            failures += not _fuzz(reader, seed + round_, counts, chosen.out)
    return 0


def _leave_the_user_alone() -> None:
    """Let nothing be read or written in the user's caches, and no hub be asked."""
    home = tempfile.mkdtemp(prefix="fuzz-cache-")
    os.environ |= {"DPGBENCH_CACHE": home, "HF_HOME": f"{home}/hf", "HF_HUB_OFFLINE": "1"}


def _fuzz(reader: Reader, seed: int, counts: Counter[str], out: Path) -> bool:
    """Return whether a reader got through some examples."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    last = Damaged(b"")
    try:
        reader.warm(place / "sound")

        @hypothesis.seed(seed)
        @settings(
            max_examples=max(200, 5 * reader.examples),
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            database=None,
            deadline=None,
            derandomize=False,
            report_multiple_bugs=False,
            print_blob=False,
        )
        @given(data=damaged(reader.kind, reader.samples()))
        def look(data: Damaged) -> None:
            nonlocal last
            counts[reader.name] += 1
            last = data
            examine(reader, place / "damaged", data.content)

        look()
    except Exception:
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{reader.name.replace(' ', '-')}-{seed}{Path(reader.file).suffix}"
        path.write_bytes(last.content)
        print(f"\n== {reader.name} (seed {seed}): {path}\n{_short_trace()}", flush=True)
        return False
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return True


def _short_trace() -> str:
    """Return where an exception came from, without the library's frames and long lines."""
    lines = [line[:300] for line in traceback.format_exc().splitlines()]
    return "\n".join(line for line in lines if "hypothesis" not in line)[-6000:]


if __name__ == "__main__":
    sys.exit(main())
