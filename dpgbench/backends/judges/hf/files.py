"""Where the files of a model of Hugging Face are: a folder, or the hub's copy of a repository.

Nothing in them is run: no code of the repository, no pickles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.backends.entries import HuggingFace, argument_of
from dpgbench.backends.weights.locate import fetch_from_hub, is_repository
from dpgbench.errors import SetupError, UsageError, reason_of
from dpgbench.store.hashes import hash_files
from dpgbench.store.paths import user_path

_READ = ("*.json", "*.jinja", "*.model", "*.safetensors", "*.txt")
_FETCHED = (*_READ, "additional_chat_templates/*.jinja")
_NOT_FETCHED = ("*/*.safetensors", "consolidated*", "original/*", "onnx/*")


@dataclass(frozen=True)
class ModelFiles:
    """One model's files on this machine.

    Attributes:
        subject: what it is to be, with its name, for messages: ``judge hf:ORG/REPO``.
        folder: configuration, safetensors, tokenizer and processor.
        model: what a manifest calls it.
        commit: of the repository; None where the user gave a folder.
    """

    subject: str
    folder: Path
    model: str
    commit: str | None

    def describe(self) -> Mapping[str, Any]:
        """Return what tells these files from others: the commit, or every file's SHA-256."""
        if self.commit:
            return {"model": self.model, "revision": self.commit}
        return {"model": self.model, "revision": None, "weights": self._hashes()}

    def config(self) -> Mapping[str, Any]:
        """Return the model's configuration as it is written.

        Raises:
            SetupError: there is none, or it is no JSON object.
        """
        path = self.folder / "config.json"
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SetupError(
                f"{self.subject}: {self.folder} has no config.json; give a folder that holds "
                "a whole transformers model, such as 'hf download ORG/REPO' makes"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
            raise SetupError(
                f"{self.subject}: {path} cannot be read: {reason_of(error, limit=300)}; "
                "fetch it again"
            ) from error
        if not isinstance(config, dict):
            raise SetupError(f"{self.subject}: {path} is not a JSON object; fetch it again")
        return config

    def require_safetensors(self) -> None:
        """Raise where the weights are not there as safetensors.

        Raises:
            SetupError: there are none, or only pickles.
        """
        if any(self.folder.glob("*.safetensors")):
            return
        pickles = sorted(path.name for path in self.folder.glob("*.bin"))
        there = f"only {pickles[0]}, a pickle, which is never opened" if pickles else "no weights"
        raise SetupError(
            f"{self.subject}: {self.folder} has no *.safetensors ({there}); take a revision "
            "with safetensors (--revision), or convert the weights with save_pretrained"
        )

    def _hashes(self) -> dict[str, str]:
        files = [path for pattern in _READ for path in self.folder.glob(pattern)]
        return hash_files(sorted(files), self.folder)


def find_files(name: str, revision: str | None, kind: str) -> ModelFiles:
    """Return the files that ``hf:NAME`` stands for; a repository is fetched where need be.

    Args:
        name: with its family, ``hf:ORG/REPO`` or ``hf:FOLDER``.
        revision: of the repository; None is the newest.
        kind: what the model is to be, such as ``judge``.

    Raises:
        UsageError: the name is neither a folder nor ORG/REPO, or a folder has a revision.
        SetupError: the repository cannot be fetched.
    """
    subject, bare = f"{kind} {name}", argument_of(name)
    folder = user_path(bare)
    if folder.is_dir():
        if revision:
            raise UsageError(
                f"--revision {revision}: {folder} is a folder; a revision is for a "
                "repository on the hub, hf:ORG/REPO"
            )
        return ModelFiles(subject, folder, f"folder {folder.resolve().name}", None)
    if not is_repository(bare):
        raise UsageError(
            f"{subject}: there is no folder {bare}, and a repository of the hub is "
            "written hf:ORG/REPO"
        )
    fetched = fetch_from_hub(
        HuggingFace(bare, files=_FETCHED, skipped=_NOT_FETCHED),
        revision,
        subject=f"{subject} is",
        otherwise="or name a folder that holds the model: hf:FOLDER",
    )
    return ModelFiles(subject, fetched, bare, fetched.name)
