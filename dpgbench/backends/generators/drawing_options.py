"""How items are drawn, as far as it changes no picture beyond rounding; no part of an identity.

Pictures follow from prompt, seed and settings; which of them share a call of the networks, and
whether these are compiled, moves a pixel by a rounding at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dpgbench.errors import UsageError

AUTO = "auto"


@dataclass(frozen=True)
class DrawingOptions:
    """How many items share a call, and whether networks are compiled.

    Attributes:
        batch_size: items (prompts) in one call; None takes as many as fit into memory.
        compile: the denoiser and the VAE's decoder by ``torch.compile``.
    """

    batch_size: int | None = 1
    compile: bool = False

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: give {AUTO}, or at least 1")

    @property
    def asked(self) -> int | str:
        """The batch size as it was asked for: a number, or ``auto``."""
        return AUTO if self.batch_size is None else self.batch_size


def parse_batch_size(value: Any) -> int | None:
    """Return the items of a call; None for ``auto``.

    Raises:
        UsageError: it is neither ``auto`` nor a whole number above 0.
    """
    text = str(value).strip().lower()
    if text == AUTO:
        return None
    if not text.isascii() or not text.isdecimal() or not int(text):
        raise UsageError(f"--batch-size {value}: give {AUTO}, or a whole number of at least 1")
    return int(text)
