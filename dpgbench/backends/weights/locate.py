"""Where weights are: a path that the user gave, what ships, or a hub's copy, fetched if need be.

`Role.source` says where a role's weights come from; here is what is done with it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.backends.entries import (
    EmbeddedWeights,
    HuggingFace,
    ModelEntry,
    ModelScope,
    Role,
    WebFiles,
    WeightsSource,
)
from dpgbench.backends.weights import modelscope
from dpgbench.backends.weights.hub_errors import hub_trouble
from dpgbench.embedded import embedded_path
from dpgbench.errors import SetupError
from dpgbench.store.hashes import digest, hash_files
from dpgbench.store.paths import cache_folder, file_name, old_file_name, user_path

log = logging.getLogger(__name__)
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

    def to_json(self) -> dict[str, Any]:
        """Return what goes into the manifest."""
        return {"path": str(self.path), "sha256": self.sha256, "files": dict(self.files)}


class WeightsLocation(NamedTuple):
    """Where a role's weights are, and what they come from; None where the user gave the path."""

    path: Path
    source: WeightsSource | None


def locate_weights(
    entry: ModelEntry, paths: Mapping[str, str], revisions: Mapping[str, str] | None = None
) -> dict[str, Weights]:
    """Return the weights of each role of a model.

    Args:
        entry: the model.
        paths: by role, as the user gave them.
        revisions: by role, of what is fetched; roles left out take the entry's own.

    Raises:
        SetupError: a path does not exist, or the hub cannot be reached.
    """
    located = {
        role.name: locate(
            role,
            paths.get(role.name),
            revision=(revisions or {}).get(role.name),
            subject=f"weights '{role.name}' of {entry.name} are",
            otherwise=f"or give a copy with --weights {role.name}=PATH ({role.what})",
        )
        for role in entry.roles
    }
    return {name: Weights(where.path, _hashes(where.path)) for name, where in located.items()}


def locate(
    role: Role,
    path: str | None,
    *,
    choice: str | None = None,
    revision: str | None = None,
    subject: str,
    otherwise: str,
) -> WeightsLocation:
    """Return where the weights of a role are; they are fetched where need be.

    Args:
        role: what is looked for.
        path: that the user gave; None takes a source of the role.
        choice: the source, as in ``--weights-source``; None is the role's first.
        revision: of what is fetched; None is the source's own, or the newest.
        subject: what cannot be fetched, with its verb, for an error.
        otherwise: what else the user can do, for an error.

    Raises:
        SetupError: the path does not exist, or the weights cannot be fetched.
    """
    if path is not None:
        return WeightsLocation(_existing(role, path), None)
    source = chosen_source(role, choice)
    match source:
        case EmbeddedWeights():
            return WeightsLocation(embedded_path(source.part), source)
        case HuggingFace():
            folder = _named_folder(source) if source.or_folder else None
            if folder is not None:
                return WeightsLocation(folder, None)
            fetched = fetch_from_hub(source, revision, subject=subject, otherwise=otherwise)
            return WeightsLocation(fetched, source)
        case ModelScope():
            return WeightsLocation(_fetch_from_modelscope(source, revision), source)
        case WebFiles():
            return WeightsLocation(_fetched_by_user(source, subject, otherwise), source)


def chosen_source(role: Role, choice: str | None) -> WeightsSource:
    """Return the source of a role that ``--weights-source`` chooses; None is the first."""
    chosen = [source for source in role.sources if choice in (None, source.choice)]
    return chosen[0]


def here(source: WeightsSource, revision: str | None = None) -> Path | None:
    """Return where the files of a source are on this machine; None where some are missing.

    Nothing is fetched.
    """
    match source:
        case EmbeddedWeights():
            return embedded_path(source.part)
        case HuggingFace():
            return _in_hub_cache(source, revision)
        case ModelScope():
            folder = modelscope_folder(source, revision)
            return folder if _has_all(folder, source) else None
        case WebFiles():
            folder = cache_folder() / source.folder
            return folder if _has_all(folder, source) else None


def fetch_command(source: WeightsSource, revision: str | None = None) -> str:
    """Return the command that fetches the files of a source; "" where they ship."""
    match source:
        case EmbeddedWeights():
            return ""
        case HuggingFace():
            part = ""
            if source.path:
                is_file = source.path in source.required
                part = f" {source.path}" if is_file else f" --include '{source.path}/*'"
            wanted = revision or source.revision
            at = f" --revision {wanted}" if wanted else ""
            return f"hf download {source.repository}{part}{at}"
        case ModelScope():
            at = f" --revision {revision}" if revision else ""
            folder = modelscope_folder(source, revision)
            return f"modelscope download --model {source.model}{at} --local_dir {folder}"
        case WebFiles():
            folder = cache_folder() / source.folder
            return " && ".join(
                f"curl -L --create-dirs -o {folder / name} {address}"
                for name, address in source.addresses
            )


def modelscope_folder(source: ModelScope, revision: str | None = None) -> Path:
    """Return where the files of a revision lie in the user's cache once they are fetched."""
    folder = cache_folder() / source.folder
    new = folder / file_name(revision or "default")
    old = folder / old_file_name(revision or "default")  # of an earlier version of the toolkit
    return old if not new.exists() and modelscope.is_of_revision(old, revision) else new


def is_repository(name: str) -> bool:
    """Return whether a name has the form ``ORG/REPO`` of the hub's repositories."""
    return _REPOSITORY.fullmatch(name) is not None


def fetch_from_hub(
    source: HuggingFace, revision: str | None = None, *, subject: str, otherwise: str
) -> Path:
    """Return the file or folder that `source` is, in the hub's cache.

    Args:
        source: what is fetched.
        revision: branch, tag or commit; None is the source's own, or the newest.
        subject: what cannot be fetched, with its verb, for an error.
        otherwise: what else the user can do, for an error.

    Raises:
        SetupError: gated, no such repository or revision, no network, no room on the disk, or a
            file is missing.
    """
    revision = revision or source.revision
    if source.size and here(source, revision) is None:
        log.warning(
            "fetching %s (revision %s) from Hugging Face, %s, into the hub's cache",
            source.repository,
            revision or "main",
            source.size,
        )
    try:
        folder = _download(source, revision)
    except Exception as error:  # the hub's client raises errors of many kinds
        raise SetupError(
            f"{subject} not on this machine and cannot be fetched ({source}): "
            f"{hub_trouble(error, source.repository, revision)}; {otherwise}"
        ) from error
    missing = [name for name in source.required if not (folder / name).is_file()]
    if missing:
        raise SetupError(
            f"{source.repository} as it is in {folder} lacks {', '.join(missing)}: a cut transfer "
            f"(run the same command again where there is a network) or another revision is needed; "
            f"{otherwise}"
        )
    return folder / source.path


def _named_folder(source: HuggingFace) -> Path | None:
    """Return the folder that ``hf:NAME`` of a model names; None where it is a repository's name.

    Raises:
        SetupError: it is written as a path, and there is no such folder: the hub is not asked.
    """
    name = source.repository
    path = user_path(name)
    if path.is_dir():
        return path
    if path.is_file():
        raise SetupError(
            f"model hf:{name}: {path} is a file; give a folder in diffusers' layout, or a single "
            f"Stable Diffusion 1.x checkpoint as --model sd15 --weights base={name}"
        )
    if not is_repository(name) or path.suffix in _FILE_SUFFIXES:
        raise SetupError(
            f"model hf:{name}: there is no folder {path}, and a repository of the hub is written "
            "hf:ORG/REPO; check the path"
        )
    return None


def _download(source: HuggingFace, revision: str | None) -> Path:
    """Return the folder of the repository at a revision, with the files of `source` in it."""
    if source.is_pipeline:
        from diffusers import DiffusionPipeline

        return Path(
            DiffusionPipeline.download(
                source.repository,
                revision=revision,
                variant=source.variant,
                use_safetensors=True,
            )
        )
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            source.repository,
            revision=revision,
            allow_patterns=list(source.files),
            ignore_patterns=list(source.skipped) or None,
        )
    )


def _in_hub_cache(source: HuggingFace, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    paths = [
        try_to_load_from_cache(source.repository, name, revision=revision or source.revision)
        for name in source.required
    ]
    cached = [Path(path) for path in paths if isinstance(path, str)]
    return cached[0].parent if cached and len(cached) == len(source.required) else None


def _fetch_from_modelscope(source: ModelScope, revision: str | None) -> Path:
    """Return the folder of fetched weights; a whole one that a user put there is taken as it is."""
    target = modelscope_folder(source, revision)
    if not (target / modelscope.MARKER).exists() and _has_all(target, source):
        return target
    return modelscope.fetch(source, target, revision=revision, say=log.warning)


def _fetched_by_user(source: WebFiles, subject: str, otherwise: str) -> Path:
    """Return the folder that the user has fetched files into.

    Raises:
        SetupError: they are not there; it has the command.
    """
    folder = cache_folder() / source.folder
    if not _has_all(folder, source):
        raise SetupError(
            f"{subject} not on this machine; fetch them with: {fetch_command(source)}; {otherwise}"
        )
    return folder


def _has_all(folder: Path, source: ModelScope | WebFiles) -> bool:
    return all((folder / name).is_file() for name in source.required)


def _existing(role: Role, text: str) -> Path:
    path = user_path(text)
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
