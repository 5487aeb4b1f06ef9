"""From files of weights to the network: reading, checking strictly, converting once.

A checkpoint is read as tensors and nothing else: a pickle's code never runs.
"""

import errno
import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from dpgbench.mplug.config import BERT_FILE, CONFIG_FILE, CONFIGURATION_FILE, MplugConfig
from dpgbench.mplug.errors import CheckpointError
from dpgbench.mplug.files import replacing
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.names import FALLBACKS, is_needed, published_name
from dpgbench.mplug.processing import VOCAB_FILE

WEIGHTS_FILE: Final = "pytorch_model.bin"
CONVERTED_FILE: Final = "model.safetensors"

_REFUSED: Final = (errno.EACCES, errno.EISDIR, errno.EIO)
_NAMES_SHOWN: Final = 3


def file_hashes(folder: str | Path) -> dict[str, str]:
    """Sha256 (hex) of those of the judge's files that are in `folder`, by file name."""
    names = [
        CONFIGURATION_FILE, CONFIG_FILE, BERT_FILE, VOCAB_FILE, WEIGHTS_FILE, CONVERTED_FILE
    ]  # fmt: skip
    paths = [Path(folder) / name for name in names]
    return {path.name: _sha256(path) for path in paths if path.is_file()}


def load_network(
    folder: str | Path,
    config: MplugConfig,
    *,
    cache_dir: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    weights_sha256: str | None = None,
) -> Mplug:
    """The network with the weights in `folder`.

    Takes model.safetensors if the folder has one; else pytorch_model.bin, or its converted copy in
    `cache_dir`, which is made on first use: smaller, and mapped into memory. `weights_sha256`
    spares the hashing of pytorch_model.bin where it is known.

    Raises:
        CheckpointError: a file is missing, damaged or of another network.
    """
    path = Path(folder) / CONVERTED_FILE
    if not path.exists():
        path = Path(folder) / WEIGHTS_FILE
        if cache_dir is not None and path.exists():
            path = _converted(path, config, Path(cache_dir), weights_sha256 or _sha256(path))
    return build_network(config, read_tensors(path), path, device=device, dtype=dtype)


def build_network(
    config: MplugConfig,
    tensors: Mapping[str, Any],
    origin: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Mplug:
    """The network with given tensors, which are not copied where they fit as they are.

    Args:
        config: the network's sizes.
        tensors: by the published checkpoint's names; unneeded ones may be among them.
        origin: the file they are from, for messages.
        device: where the network is to run.
        dtype: the floating-point type that it is to have.

    Raises:
        CheckpointError: names or shapes are not those of the network.
    """
    network = _without_numbers(config)
    checked = _checked(network, tensors, origin)
    state = {name: tensor.to(device, dtype) for name, tensor in checked.items()}
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()


def read_tensors(path: Path) -> Mapping[str, Any]:
    """Everything in a checkpoint, by published name; mapped into memory where the format can.

    The state dict may be nested under `model` and `module`; `model.` is cut from the names.
    """
    try:
        tensors = load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: not there; the judge needs its weights, download the folder again"
        ) from None
    except MemoryError:
        raise CheckpointError(
            f"{path}: does not fit into this machine's memory, or is damaged; nothing in it was run"
        ) from None
    except Exception as error:  # noqa: BLE001 - a damaged file can break a decoder in any way
        raise CheckpointError(f"{path}: {_why_unreadable(path, error)}") from None
    for wrapper in ("model", "module"):
        tensors = tensors[wrapper] if isinstance(tensors.get(wrapper), Mapping) else tensors
    return {str(name).replace("model.", ""): value for name, value in tensors.items()}


def _read_pickle(path: Path) -> Mapping[str, Any]:
    """A `torch.save` file's content. The old format, no zip file, cannot be mapped."""
    is_zip = zipfile.is_zipfile(path)
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise ValueError("packed, as torch.save does not do it: it could be of any size")
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    if not isinstance(content, Mapping):
        raise TypeError(f"a {type(content).__name__} instead of named tensors")
    return content


def _why_unreadable(path: Path, error: BaseException) -> str:
    """One line for a file that is no set of tensors: code, cut short, or something else."""
    if code := re.search(r"GLOBAL `?([\w.]+)", str(error)):
        return f"holds code ({code[1]}), which was not run; get weights from a source you trust"
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return f"{error.strerror}; a file that can be read is needed"
    size = f"{path.stat().st_size:,} bytes"
    return f"no weights, or cut short ({size}); nothing in it was run; delete it, get it again"


def _without_numbers(config: MplugConfig) -> Mplug:
    """The network's names and shapes, before any memory is taken for them."""
    with torch.device("meta"):
        return Mplug(config)


def _checked(network: Mplug, tensors: Mapping[str, Any], origin: str | Path) -> dict[str, Tensor]:
    """The tensors that the network needs, by its own names."""
    config = network.config
    chosen: dict[str, Tensor] = {}
    missing, misshapen = [], []
    for name, parameter in network.state_dict().items():
        published = published_name(name, config)
        tensor = tensors.get(published, tensors.get(FALLBACKS.get(published, "")))
        if not isinstance(tensor, Tensor):
            missing.append(published)
        elif tensor.shape != parameter.shape:
            expected, actual = list(parameter.shape), list(tensor.shape)
            misshapen.append(f"{published}: expected {expected}, found {actual}")
        chosen[name] = tensor
    expected_names = {published_name(name, config) for name in chosen}
    unexpected = [
        name for name in tensors if name not in expected_names and is_needed(name, config)
    ]
    _refuse(origin, {"missing": missing, "unexpected": unexpected, "of another shape": misshapen})
    return chosen


def _refuse(origin: str | Path, faults: Mapping[str, list[str]]) -> None:
    """Raises if there is any fault."""
    parts = [f"{len(names)} {kind} ({_shown(names)})" for kind, names in faults.items() if names]
    if parts:
        raise CheckpointError(
            f"{origin}: not this network's weights: {'; '.join(parts)}; "
            f"check that {CONFIG_FILE} and {BERT_FILE} belong to it"
        )


def _shown(names: list[str]) -> str:
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def _converted(path: Path, config: MplugConfig, cache_dir: Path, origin_hash: str) -> Path:
    """The safetensors copy of a pickle in the cache, holding the needed tensors only."""
    network = _without_numbers(config)
    needed = sorted(published_name(name, config) for name in network.state_dict())
    needed_hash = hashlib.sha256(json.dumps(needed).encode()).hexdigest()
    target = cache_dir / f"mplug-{origin_hash[:16]}-{needed_hash[:8]}.safetensors"
    if not target.exists():
        checked = _checked(network, read_tensors(path), path)
        tensors = {published_name(name, config): tensor for name, tensor in checked.items()}
        contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
        with replacing(target) as part:
            save_file(contiguous, part, metadata={"source_sha256": origin_hash})
    return target


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
