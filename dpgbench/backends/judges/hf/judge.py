"""Models of Hugging Face transformers as judges: ``hf:ORG/REPO`` and ``hf:FOLDER``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpgbench.backends.judges.hf.answers import DECODE, P_YES
from dpgbench.backends.judges.hf.blip import BlipAnswerer
from dpgbench.backends.judges.hf.files import find_files
from dpgbench.backends.judges.hf.image_text import ImageTextAnswerer
from dpgbench.backends.judges.hf.load import (
    AUTO_CLASSES,
    find_family,
    load_model,
    load_processor,
)
from dpgbench.backends.protocols import Judge, JudgeAnswer, JudgeRequest, TileQuestions

if TYPE_CHECKING:
    from PIL.Image import Image


class HfJudge(Judge):
    """Any image-text-to-text model of transformers, or a BLIP for visual question answering."""

    def __init__(self, request: JudgeRequest) -> None:
        self.request = request
        self.files = find_files(request.name, request.revision, "judge")
        family = find_family(self.files)
        model = load_model(self.files, AUTO_CLASSES[family], request.device, request.dtype)
        processor = load_processor(self.files, model)
        self.network = type(model).__name__
        self.processing = [type(processor).__name__, type(processor.image_processor).__name__]
        self.answerer: BlipAnswerer | ImageTextAnswerer
        if family == "blip-vqa":
            self.answerer = BlipAnswerer(model, processor, request.batch_size)
        else:
            self.answerer = ImageTextAnswerer(request.name, model, processor)
        self.num_images_at_once = self.answerer.num_images_at_once

    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers: model, files, prompt, decoding, precision."""
        return {
            **self.files.describe(),
            "network": self.network,
            "processor": self.processing,
            "prompt": self.answerer.prompt.describe(),
            "decode": DECODE,
            "p_yes": P_YES,
            "dtype": self.request.dtype,
        }

    def prepare(self, image: Image) -> Any:
        """Return an image as the network reads it; called in worker threads."""
        return self.answerer.prepare(image)

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile, in the order of its questions."""
        return self.answerer.ask(tiles)
