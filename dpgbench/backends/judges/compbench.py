"""T2I-CompBench's metrics as judges: BLIP-VQA, CLIPScore, and the 2D spatial score."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.entries import Role, WebFiles
from dpgbench.backends.judges.table import find_judge
from dpgbench.backends.loading import quiet
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.backends.weights.locate import locate
from dpgbench.compbench.errors import PictureError, WeightsError
from dpgbench.compbench.noun_chunks import spacy_nouns
from dpgbench.compbench.spatial import (
    Detection,
    Relation,
    locality_of,
    looked_for,
    simple_nouns,
    spatial_score,
)
from dpgbench.domain.answer_text import NO, YES
from dpgbench.errors import DataError, SetupError, UsageError, reason_of
from dpgbench.store.detections import read_detections
from dpgbench.store.hashes import hash_files, sha256_file
from dpgbench.store.paths import user_path

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

log = logging.getLogger(__name__)
_IMAGES_ON_GPU = 16
_DECIMALS = 4  # that the metric has of a probability
_RECORDED = 6  # that a run has
_NOTHING_ASKED = JudgeAnswer(YES, 1.0)
_TEMPLATES = {"spatial-owlv2": "a photo of a {}", "spatial-grounding-dino": "a {}"}


class BlipVqaJudge(Judge):
    """BLIP asked for each noun chunk: the probability of yes against no.

    The answer's text is the likelier of both; what scores is the probability.
    """

    reads_plain_rgb = True

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.folder = _folder(request, "BLIP's weights are")
        self.vqa = _loaded(self.folder, request, _load_blip)
        self.num_images_at_once = request.batch_size or _images_at_once(request)

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: the files' hashes, precision, whose chunks."""
        return {
            "model": "BLIP VQA, ViT-B/16 and BERT",
            "weights": _hashes(self.folder),
            "dtype": self.request.dtype,
            **({"chunks": self.request.options["chunks"]} if self._has_chunks else {}),
        }

    @property
    def _has_chunks(self) -> bool:
        return bool(self.request.options.get("chunks"))

    def prepare(self, image: Image) -> Tensor:
        """Return an image as the network reads it; called in worker threads."""
        return self.vqa.prepare(image)

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile; each image is encoded once.

        An empty question, of a prompt without a chunk, counts 1.
        """
        asked = [tile for tile in tiles if any(tile.questions)]
        answers = self.vqa.ask(
            [self.prepare(t.image) if t.prepared is None else t.prepared for t in asked],
            [[question for question in tile.questions if question] for tile in asked],
        )
        by_tile = {id(tile): iter(of_one) for tile, of_one in zip(asked, answers, strict=True)}
        return [
            [
                _blip_answer(next(by_tile[id(tile)])) if question else _NOTHING_ASKED
                for question in tile.questions
            ]
            for tile in tiles
        ]


class ClipScoreJudge(Judge):
    """The cosine of image and prompt by CLIP: the answer is the number."""

    reads_plain_rgb = True

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.folder = _folder(request, "CLIP's weights are")
        self.scorer = _loaded(self.folder, request, _load_clip)
        self.num_images_at_once = request.batch_size or _images_at_once(request)

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: the files' hashes, precision."""
        return {
            "model": "CLIP",
            "weights": _hashes(self.folder),
            "dtype": self.request.dtype,
        }

    def prepare(self, image: Image) -> Tensor:
        """Return an image as the network reads it; called in worker threads."""
        return self.scorer.prepare(image)

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the cosine for each tile and its prompt.

        Raises:
            DataError: a prompt has more tokens than CLIP reads.
        """
        try:
            scores = self.scorer.scores(
                [self.prepare(t.image) if t.prepared is None else t.prepared for t in tiles],
                [_prompt(tile) for tile in tiles],
            )
        except PictureError as error:
            raise DataError(str(error)) from None
        return [[JudgeAnswer(repr(score))] for score in scores]


class DetectionsJudge(Judge):
    """The 2D spatial score on detections that were made elsewhere: the answer is the number."""

    def __init__(self, request: JudgeRequest) -> None:
        path = request.options.get("detections")
        if not path:
            raise UsageError(
                f"--judge {request.name} scores detections made elsewhere: give them with "
                "--detections FILE.jsonl, or take --judge spatial-owlv2 or spatial-grounding-dino, "
                "which are other metrics"
            )
        self.path = user_path(str(path))
        self.detections = read_detections(self.path)
        self._warned = False

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: the file's hash."""
        return {"model": "recorded detections", "weights": {"detections": sha256_file(self.path)}}

    def origin(self) -> Mapping[str, Any]:
        """Return the file's name."""
        return {"detections": self.path.name}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the score of each tile.

        Raises:
            DataError: the file has no detections of it, or they have no score.
        """
        return [[JudgeAnswer(self.answer(t.item_id, t.tile, _prompt(t)))] for t in tiles]

    def unseen_nouns(self, prompts: Mapping[str, str]) -> list[str]:
        """Return the nouns of prompts that no detection of the file is labelled with, sorted.

        Args:
            prompts: by item id; of those ``a X PHRASE a Y``, and of those whose nouns the file has.
        """
        labels = {one.label for image in self.detections.values() for one in image.detections}
        nouns = {noun for prompt in prompts.values() for noun in simple_nouns(prompt) or ()}
        nouns |= {
            noun
            for (item_id, _), image in self.detections.items()
            if item_id in prompts
            for noun in image.nouns or ()
        }
        return sorted(noun for noun in nouns if looked_for(noun) not in labels)

    def answer(self, item_id: str, tile: int, prompt: str) -> str:
        """Return the score of an image, as a number in words.

        Raises:
            DataError: the file has no detections of it, or they have no score.
        """
        seen = self.detections.get((item_id, tile))
        if seen is None:
            raise DataError(f"{self.path} has no detections of item {item_id} tile {tile}")
        nouns = seen.nouns or nouns_of(prompt)
        self._warn_labels(nouns, seen.detections)
        return repr(score_of(prompt, seen.detections, nouns))

    def _warn_labels(self, nouns: tuple[str, str], detections: Sequence[Detection]) -> None:
        """Say once of a label that is a noun's but for capitals, spaces or underscores."""
        labels = {looked_for(noun) for noun in nouns}
        for one in detections:
            plain = one.label.strip().lower().replace("_", " ")
            if plain in labels and one.label not in labels and not self._warned:
                self._warned = True
                log.warning(
                    "%s: the label %r is not %r and counts as another thing, as in the original: "
                    "labels are UniDet's, in small letters",
                    self.path,
                    one.label,
                    plain,
                )


class DetectorJudge(Judge):
    """The 2D spatial score on boxes of a detector that is asked for both nouns by name."""

    reads_plain_rgb = True

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.folder = _folder(request, "the detector's weights are")
        self.detector = _loaded(self.folder, request, _load_detector)
        self.num_images_at_once = 1

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: the files' hashes, precision."""
        return {
            "model": self.request.name.removeprefix("spatial-"),
            "weights": _hashes(self.folder),
            "dtype": self.request.dtype,
        }

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the score of each tile.

        Raises:
            DataError: a prompt has no two nouns, or two boxes are without area.
        """
        answers = []
        for tile in tiles:
            prompt = _prompt(tile)
            nouns = nouns_of(prompt)
            detections = self.detector.detect(tile.image, nouns)
            answers.append([JudgeAnswer(repr(score_of(prompt, detections, nouns, people=False)))])
        return answers


def nouns_of(prompt: str) -> tuple[str, str]:
    """Return the first and the last noun of a prompt.

    Raises:
        DataError: it is not ``a X PHRASE a Y``, and spaCy finds none.
        SetupError: it is not, and spaCy is not installed.
    """
    try:
        nouns = simple_nouns(prompt) or spacy_nouns(prompt)
    except WeightsError as error:
        raise SetupError(f"{error}; or give the nouns in the lines of --detections") from None
    if nouns is None:
        raise DataError(f"no noun in the prompt {prompt!r}: there is no spatial score of it")
    return nouns


def score_of(
    prompt: str,
    detections: Sequence[Detection],
    nouns: tuple[str, str] | None,
    *,
    people: bool = True,
) -> float:
    """Return the 2D spatial score of an image.

    Args:
        prompt: with a phrase of place.
        detections: in the detector's order.
        nouns: the first and the last of the prompt; None finds them.
        people: girl, boy, man and woman are looked for as person, as UniDet labels them.

    Raises:
        DataError: two boxes are without area, which ends the original's whole run.
    """
    first, second = nouns or nouns_of(prompt)
    try:
        relation = Relation(first, second, locality_of(prompt))
        return float(spatial_score(relation, detections, people=people))
    except ZeroDivisionError:
        raise DataError(
            f"the boxes of {first} and {second} are without area: the original ends with an error "
            "here, so this image has no score"
        ) from None


def recorded_probability(p_yes: float) -> float:
    """Return a probability with six digits, as a run has it, whose four digits are its own four.

    Rounded twice, a number just below a half of the fourth digit would be rounded up: it is moved
    by one of the sixth.
    """
    text = f"{p_yes:.{_DECIMALS}f}"
    step = 10.0**-_RECORDED
    near = (round(p_yes + shift * step, _RECORDED) for shift in (0, -1, 1))
    return next(p for p in near if f"{p:.{_DECIMALS}f}" == text)


def _blip_answer(answer: Any) -> JudgeAnswer:
    p_yes = recorded_probability(answer.p_yes)
    return JudgeAnswer(YES if answer.p_yes >= 0.5 else NO, p_yes, answer.truncated)


def _prompt(tile: TileQuestions) -> str:
    (prompt,) = tile.questions
    return prompt


def _images_at_once(request: JudgeRequest) -> int:
    return 1 if request.device == "cpu" else _IMAGES_ON_GPU


def _folder(request: JudgeRequest, subject: str) -> Path:
    """Return where the weights are.

    Raises:
        SetupError: they are not on this machine, and cannot be fetched.
    """
    role: Role
    (role,) = find_judge(request.name).roles
    otherwise = f"or give a copy with --weights {role.name}=FOLDER ({role.what})"
    place = locate(
        role,
        request.weights.get(role.name),
        revision=None if isinstance(role.source, WebFiles) else request.revision,
        subject=subject,
        otherwise=otherwise,
    )
    if not place.path.is_dir():
        raise SetupError(f"--weights {role.name}={place.path}: give a folder: {role.what}")
    return place.path


def _hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and _counts(path)]
    return hash_files(files, folder)


def _counts(path: Path) -> bool:
    return path.suffix in (".safetensors", ".pth", ".bin", ".json", ".txt")


def _loaded(folder: Path, request: JudgeRequest, load: Callable[..., Any]) -> Any:
    """Return what `load` makes of a folder.

    Raises:
        SetupError: it holds no such weights.
    """
    import torch

    try:
        with quiet("transformers", logs=False, bars=False):
            return load(folder, request, getattr(torch, request.dtype))
    except WeightsError as error:
        raise SetupError(str(error)) from None
    except (OSError, ValueError) as error:
        raise SetupError(f"weights in {folder} cannot be read: {reason_of(error)}") from error


def _load_blip(folder: Path, request: JudgeRequest, dtype: Any) -> Any:
    from dpgbench.compbench.blip import BlipVqa

    return BlipVqa.from_folder(folder, device=request.device, dtype=dtype)


def _load_clip(folder: Path, request: JudgeRequest, dtype: Any) -> Any:
    from dpgbench.compbench.clip import ClipScorer

    return ClipScorer.from_folder(folder, device=request.device, dtype=dtype)


def _load_detector(folder: Path, request: JudgeRequest, dtype: Any) -> Any:
    from dpgbench.compbench.detectors import ZeroShotDetector

    template = _TEMPLATES[request.name]
    return ZeroShotDetector.from_folder(folder, template, device=request.device, dtype=dtype)
