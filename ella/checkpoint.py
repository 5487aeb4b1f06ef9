"""Connector files: safetensors in, safetensors out, never a pickle.

Sizes are read off the tensors' shapes; the number of heads is in no shape, so files written here
carry the whole configuration as metadata.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ella.config import ConnectorConfig
from ella.errors import ConnectorFileError

METADATA_KEY = "ella_connector"
DEFAULT_HEADS = 8
NUM_NAMES_SHOWN = 3

_SIZED_BY = (
    "time_embedding.linear_1.weight",
    "connector.latents",
    "connector.proj_in.weight",
    "connector.perceiver_blocks.0.attn.in_proj_weight",
)
_BLOCK = re.compile(r"connector\.perceiver_blocks\.(\d+)\.")
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_connector_file(
    path: str | Path, *, heads: int | None = None, device: str | torch.device = "cpu"
) -> tuple[ConnectorConfig, dict[str, Tensor]]:
    """A connector's sizes and tensors; names and shapes are still to be checked against a network.

    Raises:
        ConnectorFileError: If the file is missing, damaged, a pickle, or not a connector.
    """
    path = Path(path)
    if not path.is_file():
        raise ConnectorFileError(
            f"{path}: no such file; download ella-sd1.5-tsc-t5xl.safetensors from QQGYLab/ELLA"
        )
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            # Copied: a tensor within the mapped file is unaligned, which changes its products' last
            # bits with its place in the file.
            state = {name: file.get_tensor(name).clone() for name in sorted(file.keys())}
    except SafetensorError as error:
        raise ConnectorFileError(f"{path}: {_unreadable(path, error)}") from error
    return _infer_config(path, state, heads or _heads_in(path, metadata)), state


def check_names_and_shapes(
    path: str | Path, *, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]
) -> None:
    """Raise unless `found` holds exactly the names of `expected`, each of the same shape.

    Raises:
        ConnectorFileError: Naming the file and the first names that differ.
    """
    missing = sorted(expected.keys() - found.keys())
    unknown = sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise ConnectorFileError(
            f"{path}: not the names of an ELLA connector (missing: {_first(missing)}; unknown:"
            f" {_first(unknown)}); give the connector's file, e.g. ella-sd1.5-tsc-t5xl.safetensors"
        )
    wrong = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in sorted(expected.items())
        if found[name].shape != tensor.shape
    ]
    if wrong:
        raise ConnectorFileError(
            f"{path}: shapes that do not belong together ({_first(wrong)}); download it again"
        )


def write_connector_file(
    path: str | Path, config: ConnectorConfig, state: Mapping[str, Tensor]
) -> None:
    """Write tensors and sizes; a reader sees the old file or the whole new one, never a part."""
    path = Path(path)
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}
    # One entry only: safetensors writes several in no fixed order, so in other bytes each time.
    metadata = {METADATA_KEY: json.dumps(asdict(config), sort_keys=True)}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = Path(folder) / path.name
        save_file(tensors, part, metadata=metadata)
        part.replace(path)


def _unreadable(path: Path, error: SafetensorError) -> str:
    """Why a file is none of safetensors, and what to do."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLE_STARTS):
        return (
            "a pickle (PyTorch) file, which could run code; download the safetensors file, or"
            " convert this one where you trust it"
        )
    reason = " ".join(str(error).split())
    return f"cut short, damaged or not a safetensors file ({reason}); download it again"


def _heads_in(path: Path, metadata: Mapping[str, str]) -> int:
    try:
        return int(json.loads(metadata.get(METADATA_KEY, "{}")).get("heads", DEFAULT_HEADS))
    except (ValueError, AttributeError) as error:
        raise ConnectorFileError(
            f"{path}: metadata {METADATA_KEY!r} is no JSON object of sizes; pass `heads`"
        ) from error


def _infer_config(path: Path, state: Mapping[str, Tensor], heads: int) -> ConnectorConfig:
    missing = [name for name in _SIZED_BY if name not in state]
    if missing:
        raise ConnectorFileError(
            f"{path}: not an ELLA connector (missing: {_first(missing)}; it has"
            f" {_first(sorted(state)) or 'nothing'}); give the connector's file"
        )
    time_embed_dim, time_channel = _matrix(path, state, "time_embedding.linear_1.weight")
    num_latents, width = _matrix(path, state, "connector.latents")
    _, input_dim = _matrix(path, state, "connector.proj_in.weight")
    layers = len({match[1] for match in map(_BLOCK.match, state) if match})
    try:
        return ConnectorConfig(
            time_channel, time_embed_dim, width, layers, heads, num_latents, input_dim
        )
    except ValueError as error:
        raise ConnectorFileError(f"{path}: {error}; pass the right `heads`") from error


def _matrix(path: Path, state: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    shape = tuple(state[name].shape)
    if len(shape) != 2:
        raise ConnectorFileError(f"{path}: {name} has the shape {shape}, not that of a matrix")
    return shape[0], shape[1]


def _first(names: Iterable[str]) -> str:
    names = list(names)
    more = f", and {len(names) - NUM_NAMES_SHOWN} more" if len(names) > NUM_NAMES_SHOWN else ""
    return (", ".join(names[:NUM_NAMES_SHOWN]) + more) or "none"
