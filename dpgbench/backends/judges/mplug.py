"""mPLUG as a judge: the native network between the toolkit's types and its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.entries import (
    EmbeddedWeights,
    HuggingFace,
    ModelScope,
    WebFiles,
    WeightsSource,
)
from dpgbench.backends.judges.table import DEFAULT_JUDGE, JUDGES, find_judge
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeRequest, SelfTest, TileQuestions
from dpgbench.backends.weights.locate import WeightsLocation, fetch_command, locate
from dpgbench.errors import SetupError, reason_of
from dpgbench.store.hashes import hash_files
from dpgbench.store.images import to_rgb
from dpgbench.store.paths import cache_folder, user_path

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from dpgbench.mplug import MplugVqa
    from dpgbench.mplug.self_test import GoldenReport

log = logging.getLogger(__name__)
_IMAGES_ON_GPU = 8
_WEIGHTS = ("pytorch_model.bin", "model.safetensors")
_NEEDED = ("configuration.json", "config.yaml", "config_bert.json", "vocab.txt")
_MAY_LACK = {"configuration.json", "config_bert.json"}  # as copies on other hubs do


class MplugJudge(Judge):
    """mPLUG in ModelScope's layout: a folder, the embedded one, or fetched from one of two hubs."""

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.folder, self.source = _find(request)
        self.vqa, self.hashes = _load(self.folder, request)
        self.is_standard = not _has_bert_config(self.folder)
        default = 1 if request.device == "cpu" else _IMAGES_ON_GPU
        self.num_images_at_once = request.batch_size or default
        if request.options["compile"]:
            self.vqa.compile()

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: the files' hashes, decoding, precision."""
        return {
            "model": _source_name(self.source, self.request.revision),
            "weights": self.hashes,
            "decode": self.request.options["decode"],
            "dtype": self.request.dtype,
            **({"config_bert": "standard"} if self.is_standard else {}),
        }

    def origin(self) -> Mapping[str, Any]:
        """Return where the files are from; what they are, their hashes say."""
        match self.source:
            case HuggingFace():
                return {"weights_source": "Hugging Face", "commit": self.folder.name}
            case ModelScope():
                return {"weights_source": "ModelScope"}
            case _:
                return {}

    @classmethod
    def self_test(cls, device: str) -> SelfTest:
        """Return whether a small network gives its recorded answers on `device`."""
        from dpgbench.mplug.self_test import check_golden

        report = check_golden(device)
        return SelfTest(_fault(report), {**report._asdict(), "sound": report.sound})

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile; each image is encoded once.

        A right answer's probability is of its words that the vocabulary holds whole; where it lacks
        the number's word itself, there is none.
        """
        wanted = any(tile.forms for tile in tiles)
        answers = self.vqa.ask(
            [to_rgb(tile.image) if tile.prepared is None else tile.prepared for tile in tiles],
            [tile.questions for tile in tiles],
            batch_size=len(tiles),
            decode=self.request.options["decode"],
            first_ids=[self._first_ids(tile) for tile in tiles] if wanted else None,
        )
        return [
            [JudgeAnswer(a.text, a.p_yes, a.truncated, p_answer=a.p_first) for a in tile]
            for tile in answers
        ]

    def _first_ids(self, tile: TileQuestions) -> list[list[int]]:
        word_ids = self.vqa.processor.word_ids
        return [word_ids(forms) if word_ids(forms[:1]) else [] for forms in tile.forms_of_each]

    def prepare(self, image: Image) -> Tensor:
        """Return an image as the network reads it; called in worker threads."""
        return self.vqa.prepare(to_rgb(image))


def _find(request: JudgeRequest) -> WeightsLocation:
    """Return where the weights are.

    Raises:
        SetupError: they cannot be fetched, or a folder lacks some.
    """
    (role,) = find_judge(request.name).roles
    path = request.weights.get(role.name)
    if path is not None:
        folder = user_path(path)
        missing = [name for name in _NEEDED if not (folder / name).is_file()]
        if set(missing) - _MAY_LACK:
            example = fetch_command(JUDGES[DEFAULT_JUDGE].roles[0].source)
            raise SetupError(
                f"--weights judge={path}: {folder} lacks {', '.join(missing)}; give {role.what}, "
                f"such as '{example}' makes"
            )
    return locate(
        role,
        path,
        choice=request.options.get("weights_source"),
        revision=request.revision,
        subject="mPLUG's weights are",
        otherwise=(
            f"or take ModelScope's with --weights-source {ModelScope.choice}, or give a copy with "
            "--weights judge=FOLDER"
        ),
    )


def _source_name(source: WeightsSource | None, revision: str | None) -> str:
    """Return what a manifest calls the place that weights are from."""
    match source:
        case EmbeddedWeights():
            return "embedded"
        case HuggingFace():
            return f"{source.repository} (Hugging Face)"
        case ModelScope():
            return f"{source.model} {revision or '(default)'}"
        case WebFiles() | None:
            return "a folder"


def _fault(report: GoldenReport) -> str | None:
    """Return what is wrong with the network of this installation, and what to do."""
    if report.sound:
        return None
    if report.error:
        what = f"mPLUG's network cannot be run here: {report.error}"
    else:
        what = (
            f"mPLUG's network computes something else here than its reference: of "
            f"{report.questions} golden questions {report.other_tokens} have other tokens, "
            f"{report.other_answers} other answers, {report.other_scores} other scores"
        )
    return f"{what}; install the versions of constraints.txt (torch, transformers)"


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
