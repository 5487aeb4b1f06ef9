"""Detectors of transformers that find named things: OWLv2 and Grounding DINO.

They are asked for both nouns of a prompt by name. What comes of it is another metric than UniDet's.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from dpgbench.compbench.errors import WeightsError
from dpgbench.compbench.spatial import BoundingBox, Detection, frame_scale

_LEAST_CONFIDENCE: Final = 0.1


class Detector(Protocol):
    """Finds named things in a picture."""

    def detect(self, picture: Image.Image, names: Sequence[str]) -> list[Detection]:
        """What is there of `names`, most confident first, in the frame of the spatial score."""


class ZeroShotDetector:
    """A zero-shot detector of transformers, with the words that it wants a name in."""

    def __init__(self, network: Any, processor: Any, template: str) -> None:
        self.network, self.processor, self.template = network, processor, template

    @classmethod
    def from_folder(
        cls, folder: Path, template: str, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "ZeroShotDetector":
        """The network and the processor of a folder in transformers' layout.

        Raises:
            WeightsError: they cannot be read.
        """
        try:
            processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
            network = AutoModelForZeroShotObjectDetection.from_pretrained(
                folder, local_files_only=True, dtype=dtype
            )
        except Exception as error:  # noqa: BLE001 - a damaged folder can break it in any way
            raise WeightsError(
                f"{folder} holds no zero-shot detector in transformers' layout: "
                f"{type(error).__name__}: {error}"
            ) from None
        detector = cls(network.to(device).requires_grad_(False).eval(), processor, template)
        detector.try_processor(folder)
        return detector

    def try_processor(self, folder: Path) -> None:
        """See that the processor has the packages that it needs, which it imports late.

        Raises:
            WeightsError: it has not.
        """
        try:
            self._inputs(Image.new("RGB", (8, 8)), "thing")
        except ImportError as error:
            package = re.search(r"the (\w+) library", str(error))
            name = package[1] if package else "a package"
            raise WeightsError(
                f"the processor in {folder} needs {name}, which is not installed: "
                "pip install 'dpgbench[compbench]'"
            ) from None

    def detect(self, picture: Image.Image, names: Sequence[str]) -> list[Detection]:
        """What is there of `names`, most confident first.

        Each name is asked for alone, so that a box has one label.
        """
        detections: list[Detection] = []
        for name in dict.fromkeys(names):
            detections += self._of_name(picture, name)
        return sorted(detections, key=lambda detection: -detection.score)

    def _inputs(self, picture: Image.Image, name: str) -> Any:
        text = [[self.template.format(name)]]
        return self.processor(images=picture, text=text, return_tensors="pt")

    def _of_name(self, picture: Image.Image, name: str) -> list[Detection]:
        inputs = self._inputs(picture, name).to(self.network.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(self.network.dtype)
        with torch.inference_mode():
            outputs = self.network(**inputs)
        (boxes,) = self.processor.post_process_grounded_object_detection(
            outputs, threshold=_LEAST_CONFIDENCE, target_sizes=[(picture.height, picture.width)]
        )
        scale = frame_scale(picture.width, picture.height)
        return [
            Detection(name, BoundingBox(*(scale * side for side in box)), score)
            for box, score in zip(boxes["boxes"].tolist(), boxes["scores"].tolist(), strict=True)
        ]
