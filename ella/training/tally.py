"""Figures of the steps since the last line of metrics: added up on the device, read now and then.

No step waits for the device: what it computes is asked for when a line is due, or a checkpoint.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from typing import NamedTuple

import torch
from torch import Tensor


class Figures(NamedTuple):
    """Means over some steps.

    Attributes:
        loss: Over steps and processes, without steps that were left out; NaN where all were.
        gradient_norm: Before it was shortened.
        seconds: A step.
        data_wait: The share of the time in which the loop waited for its next batch, 0 to 1.
    """

    loss: float
    gradient_norm: float
    seconds: float
    data_wait: float


class StepSums:
    """Sums of losses, gradient lengths and time."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(3, device=device)
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self._sums.zero_()
        self.steps, self._waited = 0, 0.0
        self._since = time.perf_counter()

    def waited(self, seconds: float) -> None:
        """Add time that was spent waiting for data."""
        self._waited += seconds

    def leave_out(self, seconds: float) -> None:
        """Leave out time that was not spent on steps."""
        self._since += seconds

    def add(self, loss: Tensor, norm: Tensor) -> None:
        """Add a step, but for its figures where its gradient is not finite.

        Nothing is read from the device.
        """
        finite = norm.isfinite()
        figures = torch.stack([loss, norm.to(loss), torch.ones_like(loss)])
        self._sums += torch.where(finite, figures, torch.zeros_like(figures))
        self.steps += 1

    def figures(self, mean_of_processes: Tensor, elapsed: float | None = None) -> Figures:
        """The means of the steps so far; the device is waited for.

        Args:
            mean_of_processes: `sums`, averaged over processes.
            elapsed: Seconds that they took; by default since `clear`.
        """
        loss, norm, counted = mean_of_processes.tolist()
        loss, norm = (total / counted if counted else math.nan for total in (loss, norm))
        passed = time.perf_counter() - self._since if elapsed is None else elapsed
        return Figures(
            loss,
            norm,
            passed / max(1, self.steps),
            min(1.0, self._waited / passed) if passed else 0,
        )

    @property
    def sums(self) -> Tensor:
        """Of losses, gradient lengths and steps that were not left out: `[3]` on the device."""
        return self._sums.clone()


def memory_gib(device: torch.device) -> float:
    """The most memory that was in use so far: of the GPU where there is one, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)
