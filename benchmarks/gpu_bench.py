"""What the parts of `benchmarks/on_gpu.py` share: the clock, the figures, memory and time."""

from __future__ import annotations

import gc
import json
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image

Result = TypeVar("Result")
Figures = dict[str, Any]
TILES = 4


@dataclass
class Bench:
    """Where and how large to run, the clock, and what was measured.

    Attributes:
        ends: `time.monotonic()` after which no measurement begins.
        figures: what was measured, by part.
        scratch: for what nobody keeps.
        beside: processes that still work on the device: no time is taken before they have ended.
    """

    device: str
    size: str
    out: Path
    ends: float
    scratch: Path
    figures: Figures = field(default_factory=dict)
    beside: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def real(self) -> bool:
        """Whether networks have their real size."""
        return self.size == "real"

    @property
    def on_cuda(self) -> bool:
        """Whether the device is an NVIDIA GPU."""
        return self.device.startswith("cuda")

    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.ends

    def tell(self, part: str, name: str, value: Any) -> None:
        """Print a figure, keep it, and write the file."""
        shown = f"{value:.4g}" if isinstance(value, float) else value
        print(f"[{part}] {name}: {shown}", flush=True)
        self.figures.setdefault(part, {})[name] = value
        text = json.dumps(self.figures, indent=1)
        (self.out / "on_gpu.json").write_text(text, encoding="utf-8")

    @contextmanager
    def trying(self, part: str, name: str = "") -> Iterator[None]:
        """Keep what fails within as a figure, so that what follows still tells something."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the rest still tells something
            traceback.print_exc()
            failed = f"{name}: failed" if name else "failed"
            self.tell(part, failed, f"{type(error).__name__}: {error}"[:300])


@contextmanager
def peak_memory(bench: Bench, part: str, name: str) -> Iterator[None]:
    """Tell the most memory that was taken within, what was there before included."""
    if not bench.on_cuda:
        yield
        return
    torch.cuda.reset_peak_memory_stats()
    yield
    bench.tell(part, f"{name}: peak GiB on the device", torch.cuda.max_memory_allocated() / 2**30)


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    """Return seconds, the device's included, and what was returned."""
    synchronize()
    start = time.perf_counter()
    result = call()
    synchronize()
    return time.perf_counter() - start, result


def synchronize() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def free() -> None:
    """Give back memory that nothing holds, and begin to look for the peak anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def noise(seed: int) -> Image.Image:
    """A picture of 512 px."""
    pixels = np.random.default_rng(seed).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return Image.fromarray(pixels)
