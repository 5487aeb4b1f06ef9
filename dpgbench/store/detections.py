"""Detections made elsewhere, as JSON lines: what a detector saw in each image of an item.

A line an image: ``{"item_id", "tile", "detections": [{"label", "box", "score"}]}``, and optionally
``"nouns": [first, last]``. A box is x_min, y_min, x_max, y_max in the detector's frame (479 px for
a square picture); detections stand in the detector's own order.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from dpgbench.compbench.spatial import BoundingBox, Detection
from dpgbench.errors import DataError
from dpgbench.store.files import read_jsonl
from dpgbench.store.typed_json import first_fault

_SIDES = 4
_NOUNS = 2


class DetectionLine(TypedDict):
    """One detection.

    Attributes:
        label: of its class.
        box: x_min, y_min, x_max, y_max, in pixels of the detector's frame; y grows downward.
        score: confidence, 0 to 1.
    """

    label: str
    box: list[float]
    score: float


class DetectionsLine(TypedDict):
    """What a detector saw in one image.

    Attributes:
        item_id: whose image.
        tile: its number, from 0.
        detections: in the detector's own order, the most confident first as a rule.
        nouns: the first and the last noun of the prompt, where it is not ``a X PHRASE a Y``.
    """

    item_id: str
    tile: int
    detections: list[DetectionLine]
    nouns: NotRequired[list[str] | None]


class ImageDetections(NamedTuple):
    """What a detector saw in one image, and the prompt's nouns where the file has them."""

    detections: tuple[Detection, ...]
    nouns: tuple[str, str] | None


AllDetections = Mapping[tuple[str, int], ImageDetections]
"""By item id and tile."""


def read_detections(path: Path) -> AllDetections:
    """Return the detections of a file.

    Raises:
        DataError: it is not there, a line lacks a field or has one of another type, or an image
            stands twice.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a file of detections (docs/t2i-compbench.md)")
    lines: list[Any] = read_jsonl(path)
    fault = first_fault(lines, DetectionsLine)
    if fault:
        raise DataError(
            f"{path} line {fault[0] + 1} is no image's detections (item_id, tile, detections): "
            f"{fault[1]}"
        )
    detections: dict[tuple[str, int], ImageDetections] = {}
    for number, line in enumerate(lines, 1):
        image = (line["item_id"], line["tile"])
        if image in detections:
            raise DataError(f"{path} line {number}: item {image[0]} tile {image[1]} stands twice")
        detections[image] = _of_image(f"{path} line {number}", line)
    if not detections:
        raise DataError(f"{path} holds no line that ends; at least one image is needed")
    return detections


def _of_image(where: str, line: DetectionsLine) -> ImageDetections:
    nouns = line.get("nouns")
    if nouns is not None and len(nouns) != _NOUNS:
        raise DataError(f"{where}: nouns are two, the first and the last of the prompt")
    for one in line["detections"]:
        if len(one["box"]) != _SIDES:
            raise DataError(f"{where}: a box is x_min, y_min, x_max, y_max")
    return ImageDetections(
        tuple(
            Detection(one["label"], BoundingBox(*map(float, one["box"])), float(one["score"]))
            for one in line["detections"]
        ),
        (nouns[0], nouns[1]) if nouns else None,
    )
