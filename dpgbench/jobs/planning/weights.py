"""How much memory the weights of a model take, counted from its files, or from a short table."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from dpgbench.backends.entries import HuggingFace, Role, WeightsSource
from dpgbench.backends.weights.locate import chosen_source, fetch_command, here
from dpgbench.jobs.planning.figures import Figure, unknown
from dpgbench.store.files import parse_json
from dpgbench.store.paths import user_path

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_STORED = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_LARGEST_HEADER = 100 * 2**20

PARAMETERS: Mapping[str, tuple[int, str]] = {
    "sd15": (
        1_066_235_307,
        "U-Net 859.5, CLIP 123.1 and VAE 83.7 million",
    ),
    "ella-sd15": (
        2_233_522_835,
        "U-Net 859.5, VAE 83.7, Flan-T5-XL's encoder 1,223.5 and connector 66.8 million",
    ),
    "mplug": (565_989_690, "as the judge builds it; the file holds more"),
}
"""Parameters of networks whose configuration is known, and what they are."""


def weights_here(role: Role, word: str | None, choice: str | None = None) -> Path | None:
    """Return where a role's weights are on this machine; None where they are not. No network."""
    if word is not None:
        path = user_path(word)
        return path if path.exists() else None
    source = chosen_source(role, choice)
    if isinstance(source, HuggingFace):
        folder = user_path(source.repository)
        if source.or_folder and folder.is_dir():
            return folder
        if source.is_pipeline and not source.required:
            source = replace(source, required=("model_index.json",))
    return here(source)


def missing_command(role: Role, choice: str | None = None) -> str:
    """Return the command that fetches a role's weights."""
    source: WeightsSource = chosen_source(role, choice)
    return fetch_command(source)


def weights_memory(
    name: str, roles: Iterable[Role], paths: Mapping[str, str], dtype: str
) -> Figure:
    """Return the GiB that the weights of a model take in a precision.

    What a computation needs beside them is not in it.
    """
    number, places = 0, []
    listed = list(roles)
    for role in listed:
        place = weights_here(role, paths.get(role.name))
        if place is None:
            return _by_table(name, dtype, role)
        number += weight_bytes(place, dtype)
        places.append(role.name)
    if not listed or not number:
        return _by_table(name, dtype, None)
    note = f"weights alone, from their files ({', '.join(places)}) in {dtype}; computing needs more"
    return Figure(number / 2**30, "estimated", note)


def _by_table(name: str, dtype: str, missing: Role | None) -> Figure:
    if name in PARAMETERS:
        number, what = PARAMETERS[name]
        note = f"weights alone, from a table ({what}) in {dtype}; computing needs more"
        return Figure(number * BYTES[dtype] / 2**30, "estimated", note)
    if missing is None:
        return unknown(f"nothing tells how large the networks of {name} are")
    return unknown(f"weights '{missing.name}' of {name} are not on this machine")


def weight_bytes(path: Path, dtype: str) -> int:
    """Return the bytes of the weights in a file or folder once they are in a precision.

    Where a folder has the same weights in several forms, one counts: safetensors before pickles,
    and of safetensors those that are no variant (``model.fp16.safetensors``).
    """
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    tensors = [p for p in files if p.suffix == ".safetensors"]
    plain = [p for p in tensors if not _is_variant(p)]
    folders = {p.parent for p in plain}
    tensors = plain + [p for p in tensors if _is_variant(p) and p.parent not in folders]
    covered = {p.parent for p in tensors}
    pickles = [p for p in files if p.suffix in _PICKLES and p.parent not in covered]
    total = sum(_safetensors_bytes(p, BYTES[dtype]) for p in tensors)
    return total + sum(p.stat().st_size * BYTES[dtype] // 4 for p in pickles)


def _is_variant(path: Path) -> bool:
    return any(part in ("fp16", "bf16", "non_ema", "ema") for part in path.name.split(".")[1:-1])


def _safetensors_bytes(path: Path, size: int) -> int:
    """Return the bytes of a file's tensors where each number takes `size` bytes."""
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length < _LARGEST_HEADER:
            return path.stat().st_size
        header = parse_json(file.read(length))
    total = 0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        stored = _STORED.get(tensor["dtype"])
        total += (end - begin) * size // stored if stored else end - begin
    return total
