"""Importing this imports all that the embedded models import when they draw and judge.

A fork finds out what that is, so that this process itself computes nothing: a pool of threads that
was at work before a fork is of no use after it.
"""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress


def modules_at_work() -> list[str]:
    """Return the modules of a process that has drawn and judged."""
    read, write = os.pipe()
    if os.fork() == 0:
        from tests.chaos.counted import BATCH, load_generator, load_judge

        image = load_generator("tiny-sd15", device="cpu", steps=2).draw("a circle", [0])[0]
        load_judge("tiny-mplug", device="cpu", batch_size=BATCH).prepare(image)
        with os.fdopen(write, "w") as names:
            names.write("\n".join(sys.modules))
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as names:
        modules = names.read().split("\n")
    os.wait()
    return modules


for module in modules_at_work():
    with suppress(Exception):
        importlib.import_module(module)
