"""The device that a model runs on: which, in which precision, and when its memory runs out."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator

from dpgbench.errors import UsageError, reason_of

DTYPES = ("float32", "float16", "bfloat16")
# In a plain RuntimeError of MPS, of the CPU's allocator and of cuBLAS.
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


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
        first_line = reason_of(error, first_line=True, limit=120)
        raise UsageError(f"--device {name} cannot be used here: {first_line}") from None
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


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")  # without torch no such error can have been raised
    if torch is not None and isinstance(error, torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in _MEMORY_WORDS)


def device_is_lost() -> bool:
    """Return whether CUDA computes nothing more in this process: after a fault, all calls fail."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        return not is_out_of_memory(error)
    return False


def give_back_memory() -> None:
    """Give back the memory that nothing holds any more."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Run tiny networks on one core: threads cost them more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
