"""Put trained weights into the package: float16, only what is needed, at most 25 MB together.

python -m scripts.embedded.pack --from WORK

WORK has `sd15/`, `ella/text_encoder/`, `ella/connector.safetensors` and `judge/`, of any float
type. What it lacks stays in the package as it is. Writes `SHA256SUMS` of all files, and prints it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from dpgbench.embedded import embedded_path
from dpgbench.mplug import MplugConfig
from dpgbench.mplug.checkpoint import load_network
from dpgbench.mplug.names import published_name

LIMIT_BYTES: Final = 25_000_000
SUMS_FILE: Final = "SHA256SUMS"
NO_DATA: Final = ("__init__.py", "CARD.md", SUMS_FILE)
"""What lies beside the weights and is not counted among them."""

TOKENIZER: Final = (
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
DIFFUSERS: Final = (
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    *(f"tokenizer/{name}" for name in TOKENIZER),
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
)
TEXT_ENCODER: Final = ("config.json", "model.safetensors", *TOKENIZER)
JUDGE_TEXTS: Final = ("configuration.json", "config.yaml", "config_bert.json", "vocab.txt")
VOCABULARIES: Final = ("tokenizer.json", "vocab.json")
"""JSON whose texts are tokens: copied as it is."""

ORIGINS: Final = ("_name_or_path", "name_or_path", "_commit_hash")
DTYPES: Final = ("dtype", "torch_dtype")
METADATA: Final = ("format", "ella_connector")


class PackError(Exception):
    """What cannot be packed, and why."""


def pack(source: Path, target: Path, limit_bytes: int = LIMIT_BYTES) -> dict[str, str]:
    """Write the parts that `source` has into `target`; the SHA-256 of every file there.

    Raises:
        PackError: `source` has no part, a file is not fit for the package, or all is too large.
    """
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".packing-") as name:
        staged = Path(name)
        for part, (origin, write) in PARTS.items():
            if (source / origin).exists():
                (staged / part).parent.mkdir(parents=True, exist_ok=True)
                write(source / origin, staged / part)
        new = [part for part in PARTS if (staged / part).exists()]
        if not new:
            expected = ", ".join(origin for origin, _ in PARTS.values())
            raise PackError(f"{source}: none of {expected} is there")
        kept = [part for part in PARTS if part not in new and (target / part).exists()]
        total = sum(map(_bytes, [*(staged / p for p in new), *(target / p for p in kept)]))
        if total > limit_bytes:
            raise PackError(f"{total:,} bytes together; at most {limit_bytes:,} may ship")
        for part in new:
            _swap(staged / part, target / part, Path(tempfile.mkdtemp(dir=staged)))
        sums = hashes(target)
        (staged / SUMS_FILE).write_text(
            "".join(f"{sha256}  {path}\n" for path, sha256 in sums.items()), encoding="utf-8"
        )
        (staged / SUMS_FILE).replace(target / SUMS_FILE)
    return sums


def hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every data file by its path in the package folder, sorted by path."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(names[name].read_bytes()).hexdigest()
        for name in sorted(names)
        if name not in NO_DATA
    }


def _pack_folder(names: Sequence[str]) -> Callable[[Path, Path], None]:
    """What copies these files, weights as float16; a tokenizer need not have all of its files."""

    def write(source: Path, target: Path) -> None:
        for name in names:
            if (source / name).is_file():
                _copy(source / name, target / name)
            elif Path(name).name not in TOKENIZER:
                raise PackError(f"{source / name}: not there")

    return write


def _pack_judge(source: Path, target: Path) -> None:
    _pack_folder(JUDGE_TEXTS)(source, target)
    config = MplugConfig.from_folder(source)
    state = load_network(source, config).state_dict()
    tensors = {published_name(name, config): tensor for name, tensor in state.items()}
    _save(tensors, target / "model.safetensors", {"format": "pt"})


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".safetensors":
        with safe_open(source, framework="pt") as file:
            metadata = {k: v for k, v in (file.metadata() or {}).items() if k in METADATA}
        _save(load_file(source), target, metadata)
    elif source.suffix == ".json" and source.name not in VOCABULARIES:
        fields = _cleaned(json.loads(source.read_text(encoding="utf-8")))
        _refuse_paths(fields, source)
        target.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    else:
        if source.suffix == ".yaml":
            _refuse_paths(yaml.safe_load(source.read_text(encoding="utf-8")), source)
        shutil.copyfile(source, target)


def _save(tensors: Mapping[str, Tensor], target: Path, metadata: dict[str, str]) -> None:
    half = {
        name: (tensor.to(torch.float16) if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in sorted(tensors.items())
    }
    beyond = [name for name, tensor in half.items() if not tensor.isfinite().all()]
    if beyond:
        raise PackError(f"{target.name}: {', '.join(beyond[:3])} not finite in float16")
    save_file(half, target, metadata=metadata)
    target.chmod(0o644)  # safetensors writes for the owner alone


def _cleaned(value: Any) -> Any:
    """A configuration that tells nothing of where it was made, and float16 as its type."""
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key: "float16" if key in DTYPES and entry is not None else _cleaned(entry)
        for key, entry in value.items()
        if key not in ORIGINS
    }


def _refuse_paths(value: Any, source: Path) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for entry in value:
            _refuse_paths(entry, source)
    elif isinstance(value, str) and len(value) > 1 and Path(value).is_absolute():
        raise PackError(f"{source}: holds the path {value}; take it out")


def _swap(new: Path, old: Path, bin_folder: Path) -> None:
    """Put `new` where `old` is; a reader sees the one or the other."""
    old.parent.mkdir(parents=True, exist_ok=True)
    if old.exists():
        old.rename(bin_folder / old.name)
    new.rename(old)


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


PARTS: Final[Mapping[str, tuple[str, Callable[[Path, Path], None]]]] = {
    "sd15": ("sd15", _pack_folder(DIFFUSERS)),
    "ella/text_encoder": ("ella/text_encoder", _pack_folder(TEXT_ENCODER)),
    "ella/connector.safetensors": ("ella/connector.safetensors", _copy),
    "mplug": ("judge", _pack_judge),
}
"""By its path in the package: its path in the work folder, and what writes it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Pack, and print each file's size and hash; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--from", dest="source", type=Path, required=True, metavar="WORK")
    parser.add_argument("--to", dest="target", type=Path, default=embedded_path("."))
    options = parser.parse_args(arguments)
    try:
        sums = pack(options.source, options.target)
    except PackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    sizes = {name: (options.target / name).stat().st_size for name in sums}
    for name, sha256 in sums.items():
        print(f"{sha256}  {sizes[name]:>10,}  {name}")
    print(f"{sum(sizes.values()):,} bytes together (at most {LIMIT_BYTES:,})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
