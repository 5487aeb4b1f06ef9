"""Fail where tests execute less of a package than the floor.

    python -m slipcover --source dpgbench,ella --json --out coverage.json -m pytest ...
    python -m scripts.coverage_floor coverage.json

Prints each package's share of executed lines, and the files that lack most lines. Exit code 1: a
package is below the floor. Lines that only other processes execute do not count as executed.
(SlipCover's own `--fail-under` loses what pytest-xdist's workers measured.)
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("dpgbench", "ella")
FLOOR_PERCENT = 90.0
NUM_SHOWN = 15


class Lines(NamedTuple):
    """How many lines tests execute, and how many they do not."""

    executed: int
    missing: int

    @property
    def percent(self) -> float:
        """The share that is executed; 100 where there is no line."""
        total = self.executed + self.missing
        return 100.0 * self.executed / total if total else 100.0


def read_lines(path: Path) -> dict[str, Lines]:
    """Return the lines of each file of SlipCover's JSON, by its path below the checkout."""
    files = json.loads(path.read_text(encoding="utf-8"))["files"]
    return {
        name: Lines(len(entry["executed_lines"]), len(entry["missing_lines"]))
        for name, entry in files.items()
    }


def package_total(files: dict[str, Lines], package: str) -> Lines:
    """Return the sum over a package's files.

    Raises:
        ValueError: nothing of the package was measured.
    """
    its = [lines for name, lines in files.items() if name.startswith(f"{package}/")]
    if not its:
        raise ValueError(f"no file of {package} was measured")
    return Lines(sum(lines.executed for lines in its), sum(lines.missing for lines in its))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("measured", type=Path, help="what `slipcover --json --out` wrote")
    parser.add_argument("--floor", type=float, default=FLOOR_PERCENT, help="percent of lines")
    options = parser.parse_args(arguments)
    files = read_lines(options.measured)
    totals = {package: package_total(files, package) for package in PACKAGES}
    lacking = sorted(files.items(), key=lambda item: (-item[1].missing, item[0]))
    for name, lines in lacking[:NUM_SHOWN]:
        if lines.missing:
            print(f"{lines.missing:5} lines not executed ({lines.percent:.0f}%)  {name}")
    for package, lines in totals.items():
        print(f"{package}: tests execute {lines.percent:.1f}% of {sum(lines)} lines")
    low = [package for package, lines in totals.items() if lines.percent < options.floor]
    if low:
        print(f"error: below {options.floor:g}%: {', '.join(low)}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
