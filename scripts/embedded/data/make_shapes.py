"""Make the question file of the benchmark `shapes`, or check that it is what would be made.

python -m scripts.embedded.data.make_shapes            # writes prompts/shapes.csv
python -m scripts.embedded.data.make_shapes --check    # exit code 1 where the file differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dpgbench.shapes import benchmark_items, to_csv
from scripts import REPOSITORY


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the file; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=REPOSITORY / "prompts" / "shapes.csv")
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    options = parser.parse_args(arguments)
    made = to_csv(benchmark_items()).encode()
    if not options.check:
        options.out.write_bytes(made)
        return 0
    if options.out.is_file() and options.out.read_bytes() == made:
        return 0
    print(f"{options.out} is not what this script makes; run it without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
