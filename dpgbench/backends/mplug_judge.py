"""mPLUG as a judge: the native network between the toolkit's types and its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.base import JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.backends.judges import MPLUG_MODEL, find_judge, mplug_folder
from dpgbench.backends.memory import ask_within_memory
from dpgbench.embedded import embedded_path
from dpgbench.errors import SetupError
from dpgbench.store.hashes import hash_files
from dpgbench.store.images import to_rgb
from dpgbench.store.places import cache_folder

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dpgbench.mplug import MplugVqa, VqaAnswer

log = logging.getLogger(__name__)
_IMAGES_ON_GPU = 8
_WEIGHTS = ("pytorch_model.bin", "model.safetensors")
_NEEDED = ("configuration.json", "config.yaml", "config_bert.json", "vocab.txt")


class MplugJudge:
    """mPLUG in ModelScope's layout: a folder, the embedded one, or fetched into the cache."""

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.folder, self.source = self._find(request)
        self.vqa, self.hashes = _load(self.folder, request)
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
        }

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

    def _find(self, request: JudgeRequest) -> tuple[Path, str]:
        """Return the folder of weights, and what a manifest calls it."""
        (role,) = find_judge(request.name).roles
        given = request.weights.get(role.name)
        if given is None and role.embedded:
            return embedded_path(role.embedded), "embedded"
        if given is None:
            return _fetch(request.revision), f"{MPLUG_MODEL} {request.revision or '(default)'}"
        folder = Path(given).expanduser()
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if missing:
            raise SetupError(
                f"--weights judge={given}: {folder} lacks {', '.join(missing)}; give a folder in "
                f"ModelScope's layout, such as 'modelscope download --model {MPLUG_MODEL}' makes"
            )
        return folder, "a folder"


def _fetch(revision: str | None) -> Path:
    """Return the folder of fetched weights; a whole one that a user put there is taken as it is."""
    from dpgbench.backends.modelscope import MARKER, NEEDED, fetch

    target = mplug_folder(revision)
    if not (target / MARKER).exists() and all((target / name).is_file() for name in NEEDED):
        return target
    return fetch(MPLUG_MODEL, target, revision=revision, say=log.warning)


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
        )
        return vqa, hashes
    except CheckpointError as error:
        raise SetupError(
            f"{error}; fetch the judge again or check --weights judge=FOLDER"
        ) from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SetupError(f"judge weights in {folder} cannot be read: {reason}") from error
