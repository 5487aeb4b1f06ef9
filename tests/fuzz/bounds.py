"""What reading a file may cost: memory beyond what was there, and processor time; both measured."""

from __future__ import annotations

import contextlib
import gc
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MEBIBYTE = 2**20
_PAGE = resource.getpagesize()
_ROOM = 2 * 2**30  # of addresses, which libraries reserve without using them


class Bounds(NamedTuple):
    """The most that one call may need.

    Attributes:
        fixed_bytes: whatever the size of its input.
        factor: bytes more for each byte of input.
        seconds: of processor time, whatever the size of its input.
        seconds_per_mebibyte: more for each MiB of input.
    """

    fixed_bytes: int = 64 * MEBIBYTE
    factor: int = 100
    seconds: float = 4.0
    seconds_per_mebibyte: float = 8.0


class BoundError(AssertionError):
    """A call needed more than it may."""


@contextlib.contextmanager
def within(bounds: Bounds, size: int) -> Iterator[None]:
    """Raise where the block needs more than `bounds` allow for an input of `size` bytes.

    Peak memory is the process's own (Linux), with what libraries in C take; the address space is
    limited meanwhile, so that a huge allocation fails instead of taking the machine.

    Raises:
        BoundError: says what was needed.
    """
    allowed = bounds.fixed_bytes + bounds.factor * size
    seconds = bounds.seconds + bounds.seconds_per_mebibyte * size / MEBIBYTE
    with _limited_addresses(allowed + _ROOM):
        before, started = _reset_peak(), time.process_time()
        yield
        needed, taken = _peak() - before, time.process_time() - started
    if needed > allowed:  # once more room for what is only not yet given back
        raise BoundError(f"{needed:,} bytes for an input of {size:,}; {allowed:,} are allowed")
    if taken > seconds:
        raise BoundError(f"{taken:.1f} s for an input of {size:,} bytes; {seconds:.1f} are allowed")


@contextlib.contextmanager
def _limited_addresses(more: int) -> Iterator[None]:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(statm.read_text().split()[0]) * _PAGE
    limit = used + more if hard == resource.RLIM_INFINITY else min(hard, used + more)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _reset_peak() -> int:
    """Let the peak begin anew; return the memory in use, in bytes; 0 where it cannot be told."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return 0
    return _status("VmRSS")


def _peak() -> int:
    try:
        return _status("VmHWM")
    except OSError:
        return 0


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0


def settle() -> None:
    """Give back what earlier calls left, before something large is measured."""
    gc.collect()
