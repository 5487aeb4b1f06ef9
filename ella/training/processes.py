"""What several processes of one run must agree on: what the first one reads, all have.

Nodes need no common folder: the first process alone reads and writes the run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from ella.errors import EllaError, TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator

Result = TypeVar("Result")


def from_first(accelerator: Accelerator, make: Callable[[], Result]) -> Result:
    """What `make` gives in the first process, in every process; its error likewise.

    Raises:
        EllaError: What `make` raised, in all processes.
        OSError: Likewise.
    """
    if accelerator.num_processes == 1:
        return make()
    answer: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            answer[0] = make()
        except (EllaError, OSError) as error:
            answer[1] = error
    broadcast_object_list(answer)
    if answer[1] is not None:
        answer[1].in_all_processes = True
        raise answer[1]
    result: Result = answer[0]
    return result


def tensors_from_first(
    accelerator: Accelerator, tensors: Mapping[str, Tensor] | None
) -> dict[str, Tensor]:
    """The first process's tensors, on the CPU of every process; others pass None."""
    if accelerator.num_processes == 1:
        return dict(tensors or {})
    about = from_first(
        accelerator,
        lambda: [(name, tuple(t.shape), t.dtype) for name, t in (tensors or {}).items()],
    )
    received = {}
    for name, shape, dtype in about:
        own = tensors[name] if accelerator.is_main_process and tensors else None
        sent = torch.empty(shape, dtype=dtype) if own is None else own.detach()
        sent = sent.to(accelerator.device).contiguous()
        torch.distributed.broadcast(sent, src=0)
        received[name] = sent.cpu()
    return received


def check_alike(accelerator: Accelerator, settings: Mapping[str, Any]) -> None:
    """Raise in every process unless all were started with the same settings, models and data.

    Raises:
        TrainingError: Naming the process and what differs.
    """
    if accelerator.num_processes == 1:
        return
    every: list[Mapping[str, Any]] = gather_object([dict(settings)])
    for process, other in enumerate(every):
        names = sorted(n for n in {*every[0], *other} if every[0].get(n) != other.get(n))
        if names:
            differences = "; ".join(f"{n}: {every[0].get(n)} and {other.get(n)}" for n in names)
            error = TrainingError(
                f"processes 0 and {process} differ ({differences}); start all with the same"
                " settings, models and data"
            )
            error.in_all_processes = True
            raise error


def from_all(accelerator: Accelerator, items: Sequence[Result]) -> list[Result]:
    """The items of all processes, the first one's first, in every process."""
    if accelerator.num_processes == 1:
        return list(items)
    gathered: list[Result] = gather_object(list(items))
    return gathered
