"""Where a Hugging Face judge's files are: a folder, or the hub's copy of a repository.

Nothing in them is run: no code of the repository, no pickles. What a library raises about them
becomes one line.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpgbench.backends.protocols import JudgeRequest
from dpgbench.backends.weights.hub_errors import hub_trouble
from dpgbench.errors import DpgBenchError, SetupError, UsageError, reason_of
from dpgbench.store.hashes import hash_files

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_READ = ("*.json", "*.jinja", "*.model", "*.safetensors", "*.txt")
_FETCHED = (*_READ, "additional_chat_templates/*.jinja")
_NOT_FETCHED = ("*/*.safetensors", "consolidated*", "original/*", "onnx/*")
_REASON_LENGTH = 300


@dataclass(frozen=True)
class ModelFiles:
    """One model's files on this machine.

    Attributes:
        judge: the judge's name, for messages.
        folder: configuration, safetensors, tokenizer and processor.
        model: what a manifest calls it.
        commit: of the repository; None where the user gave a folder.
    """

    judge: str
    folder: Path
    model: str
    commit: str | None

    def describe(self) -> dict[str, Any]:
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
                f"judge {self.judge}: {self.folder} has no config.json; give a folder that holds "
                "a whole transformers model, such as 'hf download ORG/REPO' makes"
            ) from None
        except (OSError, ValueError) as error:
            raise SetupError(
                f"judge {self.judge}: {path} cannot be read: {_reason(error)}; fetch it again"
            ) from error
        if not isinstance(config, dict):
            raise SetupError(f"judge {self.judge}: {path} is not a JSON object; fetch it again")
        return config

    def require_safetensors(self) -> None:
        """Raise where the weights are not there as safetensors.

        Raises:
            SetupError: there are none, or only pickles.
        """
        if any(self.folder.glob("*.safetensors")):
            return
        pickles = sorted(path.name for path in self.folder.glob("*.bin"))
        found = f"only {pickles[0]}, a pickle, which is never opened" if pickles else "no weights"
        raise SetupError(
            f"judge {self.judge}: {self.folder} has no *.safetensors ({found}); take a revision "
            "with safetensors (--revision), or convert the weights with save_pretrained"
        )

    def _hashes(self) -> dict[str, str]:
        files = [path for pattern in _READ for path in self.folder.glob(pattern)]
        return hash_files(sorted(files), self.folder)


def find_files(request: JudgeRequest) -> ModelFiles:
    """Return the files that ``hf:NAME`` stands for; a repository is fetched where need be.

    Raises:
        UsageError: the name is neither a folder nor ORG/REPO, or a folder has a revision.
        SetupError: the repository cannot be fetched.
    """
    name = request.name.removeprefix("hf:")
    folder = Path(name).expanduser()
    if folder.is_dir():
        if request.revision:
            raise UsageError(
                f"--revision {request.revision}: {folder} is a folder; a revision is for a "
                "repository on the hub, hf:ORG/REPO"
            )
        return ModelFiles(request.name, folder, f"folder {folder.resolve().name}", None)
    if not _REPOSITORY.fullmatch(name):
        raise UsageError(
            f"judge {request.name}: there is no folder {name}, and a repository of the hub is "
            "written hf:ORG/REPO"
        )
    fetched = _fetch(name, request.revision)
    return ModelFiles(request.name, fetched, name, fetched.name)


def _fetch(repository: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=list(_FETCHED),
            ignore_patterns=list(_NOT_FETCHED),
        )
    except Exception as error:  # the hub's client raises errors of many kinds
        raise SetupError(
            f"judge hf:{repository} is not on this machine and cannot be fetched from the hub: "
            f"{hub_trouble(error, repository, revision)}; or name a folder that holds the model: "
            "hf:FOLDER"
        ) from error
    return Path(folder)


@contextlib.contextmanager
def loading(judge: str) -> Iterator[None]:
    """Turn what a library raises about a model's files into one line, and keep its warnings back.

    Raises:
        SetupError: names the judge, the reason and a remedy.
    """
    try:
        with _quiet():
            yield
    except DpgBenchError:
        raise
    except ImportError as error:
        raise SetupError(
            f"judge {judge} needs a package that is not installed: {_reason(error)}"
        ) from error
    except (OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError) as error:
        if type(error).__name__ == "OutOfMemoryError":
            raise SetupError(
                f"judge {judge} does not fit into memory: {_reason(error)}; take a smaller model, "
                "or half the precision (--dtype bfloat16)"
            ) from error
        raise SetupError(
            f"judge {judge} cannot be loaded: {_reason(error)}; check its files, or upgrade "
            "transformers (pip install -U transformers)"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("safetensors", "safetensors_rust"):
            raise
        raise SetupError(
            f"judge {judge} cannot be loaded: a safetensors file is cut off or damaged "
            f"({_reason(error)}); fetch it again"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers' log: a table of weights, advice about packages."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _reason(error: BaseException) -> str:
    return reason_of(error, limit=_REASON_LENGTH)
