"""Which device a model runs on, and in which precision unless told otherwise."""

from __future__ import annotations

from textwrap import shorten

from dpgbench.errors import UsageError, reason_of

DTYPES = ("float32", "float16", "bfloat16")


def find_device(name: str) -> str:
    """Return the device that `name` stands for; ``auto`` is CUDA, then MPS, then the CPU.

    Raises:
        UsageError: this machine has no such device.
    """
    if name == "cpu":
        return name  # always there: torch need not be loaded to know

    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = shorten(reason_of(error, first_line=True), 120, placeholder="...")
        raise UsageError(f"--device {name} cannot be used here: {reason}") from None
    return name


def default_dtype(device: str) -> str:
    """Return ``float16`` on a GPU and ``float32`` on a CPU."""
    return "float32" if device == "cpu" else "float16"


def check_dtype(name: str) -> str:
    """Return `name`.

    Raises:
        UsageError: it is not a precision that models run in.
    """
    if name not in DTYPES:
        raise UsageError(f"--dtype {name}: choose one of {', '.join(DTYPES)}")
    return name
