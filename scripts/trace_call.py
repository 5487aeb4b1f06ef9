"""Which files of dpgbench a call goes through, in the order in which it enters them.

    python -m scripts.trace_call report
    python -m scripts.trace_call score

The call runs on a small run of the embedded models (3 items, 1 image each). For each file: who
entered it first, how many of its lines ran, how many files it enters, and through which it was
entered again while it was itself on the way. A file of very few lines that enters one other is one
that only hands a value on. What only importing a module runs is left out, and so is what a file
hands over to be run elsewhere (a generator, a lambda): it is a part of that file.

With PYTHONPATH=CHECKOUT and the path of this file it traces another version of the toolkit.
"""

from __future__ import annotations

import argparse
import inspect
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dpgbench

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = Path(dpgbench.__file__).resolve().parent
CALLS = ("report", "score")
NUM_ITEMS = 3


@dataclass
class EnteredFile:
    """One file that a call went through.

    Attributes:
        entered_by: the file that entered it first; empty for the first of all.
        lines: numbers of the lines that ran.
        enters: the files that it entered.
        again_from: files through which it was entered while it was itself on the way.
    """

    entered_by: str
    lines: set[int] = field(default_factory=set)
    enters: set[str] = field(default_factory=set)
    again_from: set[str] = field(default_factory=set)


def trace_files(call: Callable[[], object]) -> dict[str, EnteredFile]:
    """Return the files that `call` entered on this thread, in order of their first entry."""
    files: dict[str, EnteredFile] = {}

    def on_call(frame: FrameType, _event: str, _argument: Any) -> Any:
        name = _name(frame)
        if name is None or _is_import(frame):
            return None
        way = _way(frame.f_back)
        caller = way[0] if way else ""
        entered = files.setdefault(name, EnteredFile(caller))
        entered.lines.add(frame.f_lineno)
        if caller in files and caller != name:
            files[caller].enters.add(name)
            if name in way and not _is_handed_over(frame):
                entered.again_from.add(caller)
        return on_line

    def on_line(frame: FrameType, event: str, _argument: Any) -> Any:
        name = _name(frame)
        if event == "line" and name is not None:
            files[name].lines.add(frame.f_lineno)
        return on_line

    sys.settrace(on_call)
    try:
        call()
    finally:
        sys.settrace(None)
    return files


def _name(frame: FrameType) -> str | None:
    """Return a frame's file below the package; None for files of others."""
    path = frame.f_code.co_filename
    return path.removeprefix(f"{PACKAGE}/") if path.startswith(f"{PACKAGE}/") else None


def _is_handed_over(frame: FrameType) -> bool:
    """Return whether a frame is a generator, a lambda or the like: run where it was given to."""
    code = frame.f_code
    return code.co_name.startswith("<") or bool(code.co_flags & inspect.CO_GENERATOR)


def _is_import(frame: FrameType | None) -> bool:
    """Return whether a frame runs because a module of the package is being imported."""
    while frame is not None:
        if frame.f_code.co_name == "<module>" and _name(frame) is not None:
            return True
        frame = frame.f_back
    return False


def _way(frame: FrameType | None) -> list[str]:
    """Return the files of the package on the stack, the innermost first."""
    way: list[str] = []
    while frame is not None:
        name = _name(frame)
        if name is not None:
            way.append(name)
        frame = frame.f_back
    return way


def small_call(name: str, folder: Path) -> Callable[[], object]:
    """Return a call on a small run under `folder`; what the call needs is made before."""
    benchmark = dpgbench.load_benchmark("shapes")
    items = list(benchmark.prompts)[:NUM_ITEMS]
    run = dpgbench.generate(
        "tiny-ella-sd15", benchmark, items=items, out=folder / "run", num_images=1, steps=2
    ).run
    if name == "score":
        return lambda: dpgbench.score(run.path, judge="tiny-mplug")
    dpgbench.score(run.path, judge="tiny-mplug")
    from dpgbench.report.build import render_report

    return lambda: render_report([run], folder / "report")


def table(files: dict[str, EnteredFile]) -> str:
    """Return the files as lines of text, and how many there are in each folder."""
    lines = ["file | entered first by | lines that ran | files it enters | entered again from"]
    for path, entered in files.items():
        again = ", ".join(sorted(entered.again_from))
        numbers = f"{len(entered.lines)} | {len(entered.enters)}"
        lines.append(f"{path} | {entered.entered_by} | {numbers} | {again}")
    folders = Counter(path.partition("/")[0] if "/" in path else "." for path in files)
    parts = ", ".join(f"{folder} {number}" for folder, number in sorted(folders.items()))
    num_again = sum(bool(entered.again_from) for entered in files.values())
    return "\n".join([*lines, f"{len(files)} files ({parts}); {num_again} entered again"])


def main() -> None:
    """Trace one call and print its files."""
    parser = argparse.ArgumentParser(description="Print the files that a call goes through.")
    parser.add_argument("call", choices=CALLS)
    name = parser.parse_args().call
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        files = trace_files(small_call(name, Path(folder)))
    print(table(files))


if __name__ == "__main__":
    main()
