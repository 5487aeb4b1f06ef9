"""`python -m ella.data index FOLDER`: where each picture is and what its captions are, once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path

from tqdm import tqdm

from ella.data.index import Index, build_index, default_folder
from ella.data.readers import num_processors
from ella.errors import EllaError, one_line, readable

_NUM_SHOWN = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; 0, 1 for an error, 130 where interrupted."""
    options = build_parser().parse_args(arguments)
    try:
        index = _build(options.data, options.index, options.workers or num_processors())
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on where it was", 130)
    except BrokenExecutor:
        return _fail(
            "a process was ended from outside, by the system where memory ran out as a rule; the"
            " same command with fewer --workers goes on where it was",
            1,
        )
    except (EllaError, OSError, ValueError) as error:
        return _fail(one_line(error), 1)
    print(_described(index))
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command `index` and its options."""
    parser = argparse.ArgumentParser("python -m ella.data", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="index")
    index = commands.add_parser(
        "index", help="index a folder; a call that was cut off, or new data, goes on where it was"
    )
    index.add_argument("data", type=Path, help="folder, or one list, shard or table")
    index.add_argument("--index", type=Path, help="where it is put (default: DATA/.ella-index)")
    index.add_argument(
        "--workers", type=int, default=0, help="processes (default: one a processor)"
    )
    return parser


def _build(data: Path, folder: Path | None, workers: int) -> Index:
    with tqdm(unit=" pieces", disable=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int, rows: int) -> None:
            bar.total = total
            bar.set_postfix_str(f"{rows:,} pictures")
            bar.update(done - bar.n)

        return build_index(data, folder or default_folder(data), processes=workers, progress=show)


def _described(index: Index) -> str:
    number = f"{index.num_rows:,} picture{'' if index.num_rows == 1 else 's'}"
    lines = [
        f"{index.folder}: {number} ({index.layout}) of {index.root}",
        f"captions: {', '.join(sorted(index.text_columns))}",
    ]
    if index.columns:
        lines.append(f"numbers: {', '.join(sorted(index.columns))}")
    if index.num_left_out:
        lines.append(f"left out: {index.num_left_out:,}")
        lines += [f"  {one}" for one in index.left_out[:_NUM_SHOWN]]
    return "\n".join(readable(line) for line in lines)


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
