"""Tensors in files that are whole or not there, and hashes of networks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn, uint8

from ella.errors import one_line
from ella.whole_files import NUM_HASH_CHARACTERS, replacing, text_hash

__all__ = [
    "NUM_HASH_CHARACTERS", "module_hash", "replacing", "text_hash", "write_safetensors",
    "write_tensors",
]  # fmt: skip


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """`write_safetensors`, with facts beside the tensors.

    Args:
        path: A safetensors file; its folder is made.
        tensors: From any device.
        about: What goes with them, as JSON under the metadata's only key `ella`.

    Raises:
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, tensors, {"ella": json.dumps(about, sort_keys=True)})


def write_safetensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Put `tensors` at `path`, as `replacing` does.

    Args:
        path: A safetensors file in a folder that is there.
        tensors: From any device.
        metadata: The file's; of several entries safetensors fixes no order.

    Raises:
        OSError: If it cannot be written.
    """
    ready = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with replacing(path) as part:
        try:
            save_file(ready, part, metadata=dict(metadata))
        except SafetensorError as error:
            raise OSError(f"cannot write {path}: {one_line(error)}") from error


def module_hash(module: nn.Module) -> str:
    """A hash of a network's weights: names, dtypes, shapes and values, wherever they are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(memoryview(flat.view(uint8).numpy()))
    return digest.hexdigest()[:NUM_HASH_CHARACTERS]
