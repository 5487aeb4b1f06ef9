"""Finding weights: a path that the user gave, or the hub's copy; and what they hash to."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.backends.protocols import ModelEntry, Role
from dpgbench.backends.weights.hub_errors import hub_trouble
from dpgbench.embedded import embedded_path
from dpgbench.errors import SetupError
from dpgbench.store.hashes import digest, hash_files

SD15_REPOSITORY = "stable-diffusion-v1-5/stable-diffusion-v1-5"
ELLA_REPOSITORY = "QQGYLab/ELLA"
ELLA_FILE = "ella-sd1.5-tsc-t5xl.safetensors"
T5_FOLDER = "models--google--flan-t5-xl--text_encoder"
_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_FILE_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf")


@dataclass(frozen=True)
class Weights:
    """One role's weights on this machine: a file or a folder, and its files' hashes."""

    path: Path
    files: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """One hash for all files."""
        return digest(dict(self.files))

    def describe(self) -> dict[str, Any]:
        """Return what goes into the manifest."""
        return {"path": str(self.path), "sha256": self.sha256, "files": dict(self.files)}


def locate_weights(entry: ModelEntry, given: Mapping[str, str]) -> dict[str, Weights]:
    """Return the weights of each role of a model; where no path is given, embedded or the hub's.

    Raises:
        SetupError: a path does not exist, or the hub cannot be reached.
    """
    found = {}
    for role in entry.roles:
        if role.name in given:
            path = _given_path(role, given[role.name])
        else:
            path = embedded_path(role.embedded) if role.embedded else _fetch(role, entry)
        found[role.name] = Weights(path, _hashes(path))
    return found


def _given_path(role: Role, text: str) -> Path:
    path = Path(text).expanduser()
    if not path.exists():
        raise SetupError(
            f"--weights {role.name}={text}: there is no such path; it must be {role.what}"
        )
    return path


def _hashes(path: Path) -> dict[str, str]:
    if path.is_file():
        return hash_files([path], path.parent)
    files = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
    return hash_files(files, path)


def _fetch(role: Role, entry: ModelEntry) -> Path:
    if entry.name.startswith("hf:"):
        local = _local_folder(entry.name.removeprefix("hf:"))
        if local is not None:
            return local
    repository, fetch = _SOURCES[role.name]
    repository = repository or _pipeline_repository(entry)
    try:
        return fetch(repository)
    except Exception as error:  # the hub's client raises errors of many kinds
        raise SetupError(
            f"weights '{role.name}' of {entry.name} are not on this machine and cannot be fetched "
            f"({role.source}): {hub_trouble(error, repository)}; or give a copy with --weights "
            f"{role.name}=PATH ({role.what})"
        ) from error


def _local_folder(name: str) -> Path | None:
    """Return the folder that ``hf:NAME`` names; None where it is a repository of the hub.

    Raises:
        SetupError: it is written as a path, and there is no such folder: the hub is not asked.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise SetupError(
            f"model hf:{name}: {path} is a file; give a folder in diffusers' layout, or a single "
            f"Stable Diffusion 1.x checkpoint as --model sd15 --weights base={name}"
        )
    if not _REPOSITORY.fullmatch(name) or path.suffix in _FILE_SUFFIXES:
        raise SetupError(
            f"model hf:{name}: there is no folder {path}, and a repository of the hub is written "
            "hf:ORG/REPO; check the path"
        )
    return None


def _pipeline_repository(entry: ModelEntry) -> str:
    return entry.name.removeprefix("hf:") if entry.name.startswith("hf:") else SD15_REPOSITORY


def _fetch_pipeline(repository: str) -> Path:
    from diffusers import DiffusionPipeline

    return Path(DiffusionPipeline.download(repository, use_safetensors=True))


def _fetch_connector(repository: str) -> Path:
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repository, ELLA_FILE))


def _fetch_text_encoder(repository: str) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(repository, allow_patterns=[f"{T5_FOLDER}/*"])
    return Path(folder) / T5_FOLDER


_SOURCES: Mapping[str, tuple[str, Callable[[str], Path]]] = {
    "base": ("", _fetch_pipeline),
    "connector": (ELLA_REPOSITORY, _fetch_connector),
    "text_encoder": (ELLA_REPOSITORY, _fetch_text_encoder),
}
