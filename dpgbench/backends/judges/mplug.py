"""mPLUG as a judge: the native network between the toolkit's types and its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.judges.table import MPLUG_MODEL, MPLUG_REPOSITORY, find_judge, mplug_folder
from dpgbench.backends.memory import ask_within_memory
from dpgbench.backends.protocols import JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.embedded import embedded_path
from dpgbench.errors import SetupError, reason_of
from dpgbench.store.hashes import hash_files
from dpgbench.store.images import to_rgb
from dpgbench.store.paths import cache_folder

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dpgbench.mplug import MplugVqa, VqaAnswer

log = logging.getLogger(__name__)
_IMAGES_ON_GPU = 8
_WEIGHTS = ("pytorch_model.bin", "model.safetensors")
_NEEDED = ("configuration.json", "config.yaml", "config_bert.json", "vocab.txt")
_MAY_LACK = {"configuration.json", "config_bert.json"}  # as copies on other hubs do


class MplugJudge:
    """mPLUG in ModelScope's layout: a folder, the embedded one, or fetched from one of two hubs."""

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.folder, self.source, self._origin = self._find(request)
        self.vqa, self.hashes = _load(self.folder, request)
        self.is_standard = not _has_bert_config(self.folder)
        default = 1 if request.device == "cpu" else _IMAGES_ON_GPU
        self.num_images_at_once = request.batch_size or default
        if request.options["compile"]:
            self.vqa.compile()

    def describe(self) -> dict[str, Any]:
        """Return what decides the answers: the files' hashes, decoding, precision."""
        return {
            "model": self.source,
            "weights": self.hashes,
            "decode": self.request.options["decode"],
            "dtype": self.request.dtype,
            **({"config_bert": "standard"} if self.is_standard else {}),
        }

    def origin(self) -> dict[str, Any]:
        """Return where the files are from; what they are, their hashes say."""
        return self._origin

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile; each image is encoded once."""
        answers = ask_within_memory(self._ask, tiles)
        return [[JudgeAnswer(a.text, a.p_yes, a.truncated) for a in tile] for tile in answers]

    def prepare(self, image: Image) -> Tensor:
        """Return an image as the network reads it; called in worker threads."""
        return self.vqa.prepare(to_rgb(image))

    def _ask(self, tiles: Sequence[TileQuestions]) -> list[list[VqaAnswer]]:
        return self.vqa.ask(
            [to_rgb(tile.image) if tile.prepared is None else tile.prepared for tile in tiles],
            [tile.questions for tile in tiles],
            batch_size=len(tiles),
            decode=self.request.options["decode"],
        )

    def _find(self, request: JudgeRequest) -> tuple[Path, str, dict[str, Any]]:
        """Return the folder of weights, what a manifest calls it, and where it was fetched from."""
        (role,) = find_judge(request.name).roles
        given = request.weights.get(role.name)
        if given is None and role.embedded:
            return embedded_path(role.embedded), "embedded", {}
        if given is None and request.options.get("weights_source") == "hf":
            from dpgbench.backends.weights.mplug_hub import fetch

            folder, commit = fetch(revision=request.revision, say=log.warning)
            origin = {"weights_source": "Hugging Face", "commit": commit}
            return folder, f"{MPLUG_REPOSITORY} (Hugging Face)", origin
        if given is None:
            name = f"{MPLUG_MODEL} {request.revision or '(default)'}"
            return _fetch(request.revision), name, {"weights_source": "ModelScope"}
        folder = Path(given).expanduser()
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if set(missing) - _MAY_LACK:
            raise SetupError(
                f"--weights judge={given}: {folder} lacks {', '.join(missing)}; give a folder in "
                f"ModelScope's layout, such as 'modelscope download --model {MPLUG_MODEL}' makes"
            )
        return folder, "a folder", {}


def _fetch(revision: str | None) -> Path:
    """Return the folder of fetched weights; a whole one that a user put there is taken as it is."""
    from dpgbench.backends.weights.modelscope import MARKER, NEEDED, fetch

    target = mplug_folder(revision)
    if not (target / MARKER).exists() and all((target / name).is_file() for name in NEEDED):
        return target
    return fetch(MPLUG_MODEL, target, revision=revision, say=log.warning)


def _has_bert_config(folder: Path) -> bool:
    from dpgbench.mplug.config import has_bert_config

    return has_bert_config(folder)


def _load(folder: Path, request: JudgeRequest) -> tuple[MplugVqa, dict[str, str]]:
    import torch

    from dpgbench.mplug import CheckpointError, load_mplug

    try:
        files = [path for name in (*_NEEDED, *_WEIGHTS) if (path := folder / name).is_file()]
        hashes = hash_files(files, folder)
        vqa = load_mplug(
            folder,
            cache_dir=cache_folder() / "judges" / "converted",
            device=request.device,
            dtype=getattr(torch, request.dtype),
            weights_sha256=hashes.get(_WEIGHTS[0]),
            standard_bert=True,
        )
        if not _has_bert_config(folder):
            log.warning(
                "%s has no config_bert.json: mPLUG-large's own fields are taken; all tensors have "
                "the names and shapes that go with them",
                folder,
            )
        return vqa, hashes
    except CheckpointError as error:
        raise SetupError(
            f"{error}; fetch the judge again or check --weights judge=FOLDER"
        ) from error
    except (OSError, ValueError) as error:
        raise SetupError(f"judge weights in {folder} cannot be read: {reason_of(error)}") from error
