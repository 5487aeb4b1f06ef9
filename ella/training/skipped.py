"""Steps that are left out because their gradient, or their loss, is not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ella.errors import TrainingError


class Skipped:
    """Counts, on the device, the steps left out since the run was started.

    Args:
        device: Of the gradients.
        most_in_a_row: So many in a row stop the run.
    """

    def __init__(self, device: torch.device, most_in_a_row: int) -> None:
        self._most = most_in_a_row
        # Left out in all; in a row now; the longest row; its first step, with its loss and norm.
        self._counts = torch.zeros(3, dtype=torch.int64, device=device)
        self._first = torch.zeros(3, dtype=torch.float64, device=device)

    def add(self, step: int, loss: Tensor, norm: Tensor, *, scaled: bool) -> None:
        """Note a step, whether it is left out or not; nothing is read from the device.

        Args:
            step: Counted from 1.
            loss: Of this process.
            norm: The gradient's length, over all processes.
            scaled: Whether there is a loss scaler. Where the loss is finite it is the scaler that
                made the gradient too long, and it shortens its scale: no reason to stop.
        """
        left_out = ~norm.isfinite()
        in_a_row = left_out & ~loss.isfinite() if scaled else left_out
        total, row, longest = self._counts.unbind()
        row_now = (row + 1) * in_a_row
        begins = in_a_row & (row == 0) & (longest < self._most)
        this = torch.stack([torch.full_like(loss, step), loss, norm.to(loss)]).double()
        self._first = torch.where(begins, this, self._first)
        self._counts = torch.stack([total + left_out, row_now, torch.maximum(longest, row_now)])

    @property
    def total(self) -> int:
        """Steps left out; the device is waited for."""
        return int(self._counts[0])

    def check(self, out: Path) -> None:
        """Raise where there were too many in a row; the device is waited for.

        Args:
            out: The run's folder, for the message.

        Raises:
            TrainingError: In all processes alike; no weight has been changed by those steps.
        """
        longest = int(self._counts[2])
        if longest < self._most:
            return
        step, loss, norm = self._first.tolist()
        what = f"gradient of step {int(step)} is {norm}"
        if not math.isfinite(loss):
            what = f"loss of step {int(step)} is {loss}"
        rest = f", and {longest - 1} more in a row" if longest > 1 else ""
        error = TrainingError(
            f"{out}: the {what}{rest}; nothing of these steps is kept. Start the same command with"
            " a lower learning rate (--learning-rate ... --allow learning_rate) or higher precision"
            " (--mixed-precision ... --allow mixed_precision)"
        )
        error.in_all_processes = True
        raise error

    def summary(self) -> str:
        """How many steps were left out, in a line; empty if none."""
        if not self.total:
            return ""
        return f"{self.total} steps were left out: their gradient was not finite"


def check_finite(tensors: Mapping[str, Tensor], out: Path) -> None:
    """Raise where something that is to be saved is not finite.

    Raises:
        TrainingError: Naming the tensor; what is on disk stays.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TrainingError(
                f"{out}: {name} is not finite, so nothing is saved; the same command goes on from"
                " the last checkpoint"
            )
