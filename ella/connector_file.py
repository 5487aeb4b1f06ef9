"""Connector files: safetensors in, safetensors out, never a pickle.

Kind and sizes are read off the tensors' names and shapes; the number of heads is in no shape, so
files written here carry the whole configuration as metadata, and how long the texts were in
training.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from ella.config import ConnectorConfig, ConnectorKind, TrainedText
from ella.errors import ConnectorFileError, first_names, one_line
from ella.files import write_safetensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

METADATA_KEY = "ella_connector"
TEXT_KEY = "text"
DEFAULT_HEADS = 8

_TIME, _PROJECTION = "time_embedding.linear_1.weight", "connector.proj_in.weight"
_LATENTS = "connector.latents"
_ATTENTION = "connector.perceiver_blocks.0.attn.in_proj_weight"
_MLP_ONLY = "connector.proj_out.weight"
_POOL = "pool.proj.weight"
_SIZED_BY: dict[ConnectorKind, tuple[str, ...]] = {
    "adaln": (_TIME, _LATENTS, _PROJECTION, _ATTENTION),
    "adaln-zero": (_TIME, _LATENTS, _PROJECTION, _ATTENTION),
    "resampler": (_LATENTS, _PROJECTION, _ATTENTION),
    "mlp": (_PROJECTION, _MLP_ONLY),
}
_GATED = "connector.perceiver_blocks.0.ln_1.linear.weight"
_PLAIN_NORM = "connector.perceiver_blocks.0.ln_1.weight"
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
    if path.is_dir():
        raise ConnectorFileError(
            f"{path}: is a folder; give the connector's file in it, such as"
            " ella-sd1.5-tsc-t5xl.safetensors"
        )
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
    stated = _stated(path, metadata, forgive=heads is not None)
    config = _infer_config(path, state, stated, heads or stated.get("heads", DEFAULT_HEADS))
    _check_stated(path, stated, config, heads)
    return config, state


def has_latents(path: str | Path) -> bool:
    """Whether a file's connector gives one number of tokens for texts of any length.

    Raises:
        ConnectorFileError: If the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return _MLP_ONLY not in file.keys()  # noqa: SIM118 - it is no dict
    except (SafetensorError, OSError) as error:
        raise ConnectorFileError(f"{path}: {one_line(error)}") from error


def read_trained_text(path: str | Path, *, forgive: bool = False) -> TrainedText | None:
    """How long the texts were that a connector was trained with; None if its file does not say.

    Args:
        path: The connector's file.
        forgive: Whether a file whose metadata is spoilt says nothing, instead of being refused.

    Raises:
        ConnectorFileError: If the file cannot be read, or says what cannot be.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ConnectorFileError(f"{path}: {one_line(error)}") from error
    text = _stated(path, metadata, forgive=forgive).get(TEXT_KEY)
    if text is None:
        return None
    try:
        return TrainedText(**text)
    except (TypeError, ValueError) as error:
        raise ConnectorFileError(
            f"{path}: metadata {METADATA_KEY!r} says nothing sensible of the texts it was trained"
            f" with ({error})"
        ) from error


def check_names_and_shapes(
    path: str | Path, *, expected: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    """Raise unless `tensors` holds exactly the names of `expected`, each of the same shape.

    Raises:
        ConnectorFileError: Naming the file and the first names that differ.
    """
    missing = sorted(expected.keys() - tensors.keys())
    unknown = sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise ConnectorFileError(
            f"{path}: not the names of an ELLA connector (missing: {first_names(missing)}; unknown:"
            f" {first_names(unknown)}); give the connector's file, e.g."
            " ella-sd1.5-tsc-t5xl.safetensors"
        )
    wrong = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in sorted(expected.items())
        if tensors[name].shape != tensor.shape
    ]
    if wrong:
        raise ConnectorFileError(
            f"{path}: shapes that do not belong together ({first_names(wrong)}); download it again"
        )


def write_connector_file(
    path: str | Path,
    config: ConnectorConfig,
    state: Mapping[str, Tensor],
    text: TrainedText | None = None,
) -> None:
    """Write tensors and sizes; a reader sees the old file or the whole new one, never a part.

    Args:
        path: The file.
        config: The sizes.
        state: The tensors.
        text: How long the texts were in training, if that is known.
    """
    # One entry only: safetensors writes several in no fixed order, so in other bytes each time.
    stated = {**asdict(config), **({TEXT_KEY: _text_entries(text)} if text else {})}
    if not config.pooled_width:  # as in files from before there was a pool
        del stated["pooled_width"]
    write_safetensors(Path(path), state, {METADATA_KEY: json.dumps(stated, sort_keys=True)})


def _text_entries(text: TrainedText) -> dict[str, Any]:
    """What stands in a file; what is not known does not, so that old readers read it."""
    recorded = {name: value for name, value in asdict(text).items() if value is not None}
    return {"tokens": text.tokens, **recorded}


def _unreadable(path: Path, error: SafetensorError) -> str:
    """Why a file is none of safetensors, and what to do."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(_PICKLE_STARTS):
        return (
            "a pickle (PyTorch) file, which could run code; download the safetensors file, or"
            " convert this one where you trust it"
        )
    return f"cut short, damaged or not a safetensors file ({one_line(error)}); download it again"


def _stated(path: Path, metadata: Mapping[str, str], *, forgive: bool) -> dict[str, Any]:
    """What the file says of itself; empty if nothing, as the released one."""
    try:
        stated = json.loads(metadata.get(METADATA_KEY, "{}"))
        if not isinstance(stated, dict) or type(stated.get("heads", 1)) is not int:
            raise ValueError
    except (ValueError, RecursionError) as error:
        if forgive:
            return {}
        raise ConnectorFileError(
            f"{path}: metadata {METADATA_KEY!r} is no JSON object of sizes; pass `heads`"
        ) from error
    return stated


def _check_stated(
    path: Path, stated: Mapping[str, Any], config: ConnectorConfig, heads: int | None
) -> None:
    """Raise where the file's own words differ from its tensors; warn where heads are a guess."""
    for name, size in asdict(config).items():
        if name in stated and stated[name] != size and not (name == "heads" and heads):
            raise ConnectorFileError(
                f"{path}: its metadata says {name} {stated[name]}, its tensors {size}; download it"
                " again"
            )
    certain = config == ConnectorConfig() or not (config.has_latents or config.pooled_width)
    if "heads" not in stated and not heads and not certain:
        warnings.warn(
            f"{path}: the file does not say how many attention heads the connector has;"
            f" {DEFAULT_HEADS} assumed, as the released one has (pass `heads` if that is wrong)",
            stacklevel=4,
        )


def _kind_of(state: Mapping[str, Tensor]) -> ConnectorKind:
    """The kind that the tensors' names speak of; the released one where they speak of none."""
    if _MLP_ONLY in state:
        return "mlp"
    if _PLAIN_NORM in state:
        return "resampler"
    modulation, projection = state.get(_GATED), state.get(_PROJECTION)
    if modulation is None or projection is None:
        return "adaln"
    return "adaln-zero" if len(modulation) == 3 * len(projection) else "adaln"


def _infer_config(
    path: Path, state: Mapping[str, Tensor], stated: Mapping[str, Any], heads: int
) -> ConnectorConfig:
    kind = _kind_of(state)
    missing = [name for name in _SIZED_BY[kind] if name not in state]
    if missing:
        raise ConnectorFileError(
            f"{path}: not an ELLA connector (missing: {first_names(missing)}; it has"
            f" {first_names(sorted(state))}); give the connector's file"
        )
    width, input_dim = _matrix(path, state, _PROJECTION)
    sizes = {"width": width, "input_dim": input_dim, "heads": heads}
    if _TIME in _SIZED_BY[kind]:
        sizes["time_embed_dim"], sizes["time_channel"] = _matrix(path, state, _TIME)
    if _LATENTS in _SIZED_BY[kind]:
        sizes["num_latents"], sizes["width"] = _matrix(path, state, _LATENTS)
        sizes["layers"] = len({match[1] for match in map(_BLOCK.match, state) if match})
    if _POOL in state:
        sizes["pooled_width"], _ = _matrix(path, state, _POOL)
    # Sizes of parts that this kind has not change nothing: they are as the file says.
    unused = {name: stated[name] for name in _unused(kind) if type(stated.get(name)) is int}
    try:
        return ConnectorConfig(**{**unused, **sizes}, kind=kind)
    except ValueError as error:
        raise ConnectorFileError(f"{path}: {error}; pass the right `heads`") from error


def _unused(kind: ConnectorKind) -> tuple[str, ...]:
    without_time = () if _TIME in _SIZED_BY[kind] else ("time_channel", "time_embed_dim")
    return without_time + (() if _LATENTS in _SIZED_BY[kind] else ("layers", "num_latents"))


def _matrix(path: Path, state: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    shape = tuple(state[name].shape)
    if len(shape) != 2:
        raise ConnectorFileError(f"{path}: {name} has the shape {shape}, not that of a matrix")
    return shape[0], shape[1]
