"""Where encoder and connector work: with the pipeline, also where that is offloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_PLACED_BY_OTHERS = ("hf_device_map", "_hf_hook", "quantization_method")


def is_offloaded(pipeline: Any) -> bool:
    """Whether a pipeline's networks wait on the CPU (accelerate's hooks are on them)."""
    components = getattr(pipeline, "components", {}).values()
    return any(hasattr(one, "_hf_hook") for one in components if isinstance(one, nn.Module))


def module_of(text_encoder: Any) -> nn.Module | None:
    """The network of a text encoder; None where it is placed by others or is no such network."""
    model = getattr(text_encoder, "model", None)
    if not isinstance(model, nn.Module):
        return None
    return None if any(hasattr(model, name) for name in _PLACED_BY_OTHERS) else model


@contextmanager
def working_on(module: nn.Module | None, device: torch.device, *, returns: bool) -> Iterator[None]:
    """Have a network on a device; with `returns` it goes back to the CPU afterwards."""
    if module is None:
        yield
        return
    first = next(iter(module.parameters()), None)
    if first is not None and first.device != device:
        module.to(device)
    try:
        yield
    finally:
        if returns and device.type != "cpu":
            module.to("cpu")
