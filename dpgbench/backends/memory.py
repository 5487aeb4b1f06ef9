"""How much memory a piece of work took on a device, and how many times that fits."""

from __future__ import annotations

import contextlib
from pathlib import Path

_PROCESS = Path("/proc/self")
_MACHINE = Path("/proc/meminfo")
_CONTAINER = Path("/sys/fs/cgroup")
_LEAST = 2**20  # bytes; what took less cannot be told from nothing


class MemoryGauge:
    """Measures what work takes at most, on CUDA exactly, on a Linux CPU by the process's pages.

    Args:
        device: ``cuda``, ``cuda:1``, ``cpu``, ...; of others nothing is known.
        share: of what is free that may be counted on.
    """

    def __init__(self, device: str, *, share: float = 0.85) -> None:
        self.device, self.share = device, share
        self._before: int | None = None

    def start(self) -> None:
        """Begin to measure."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        elif self.device == "cpu":
            with contextlib.suppress(OSError):
                (_PROCESS / "clear_refs").write_text("5")  # the peak is counted from here on
            self._before = _kibibytes(_PROCESS / "status", "VmRSS")

    def times_that_fit(self) -> int | None:
        """Return how many times as much as was taken since `start` fits; None where unknown."""
        if self._before is None:
            return None
        if self.device.startswith("cuda"):
            import torch

            taken = torch.cuda.max_memory_allocated(self.device) - self._before
            free, _ = torch.cuda.mem_get_info(self.device)
            unused = torch.cuda.memory_reserved(self.device)
            free += unused - torch.cuda.memory_allocated(self.device)
        else:
            peak, unused_here = _kibibytes(_PROCESS / "status", "VmHWM"), _free_here()
            if peak is None or unused_here is None:
                return None
            taken, free = peak - self._before, unused_here
        return int(self.share * free) // max(_LEAST, taken)


def _free_here() -> int | None:
    """Return the bytes that this process can still have; None where it is not known."""
    free = _kibibytes(_MACHINE, "MemAvailable")
    with contextlib.suppress(OSError, ValueError):  # "max" is no number: there is no limit
        limit = int((_CONTAINER / "memory.max").read_text())
        left = limit - int((_CONTAINER / "memory.current").read_text())
        free = left if free is None else min(free, left)
    return free


def _kibibytes(path: Path, name: str) -> int | None:
    """Return the bytes that a line ``Name: 12 kB`` of the kernel's says."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return 1024 * int(value.split()[0])
    return None
