"""Detections made elsewhere, as JSON lines: what a detector saw in each image of an item.

A line an image: ``{"item_id", "tile", "detections": [{"label", "box", "score"}]}``, and optionally
``"nouns": [first, last]``. A box is x_min, y_min, x_max, y_max in the detector's frame (479 px for
a square picture); detections stand in the detector's own order.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

from dpgbench.compbench.spatial import FRAME_PX, BoundingBox, Detection
from dpgbench.errors import DataError
from dpgbench.store.files import read_foreign_jsonl
from dpgbench.store.typed_json import Range, first_fault

log = logging.getLogger(__name__)
_SIDES = 4
_LARGEST_PX = FRAME_PX + 11  # the longer side of any picture has 480 px, but for rounding
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
    score: Annotated[float, Range(0, 1)]


class DetectionsLine(TypedDict):
    """What a detector saw in one image.

    Attributes:
        item_id: whose image.
        tile: its number, from 0.
        detections: in the detector's own order, the most confident first as a rule.
        nouns: the first and the last noun of the prompt, where it is not ``a X PHRASE a Y``.
    """

    item_id: str
    tile: Annotated[int, Range(0)]
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
        DataError: it is not there, a line lacks a field or has one of another type, an image
            stands twice, a label is empty, or a box ends before it begins.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a file of detections (docs/t2i-compbench.md)")
    lines: list[Any] = read_foreign_jsonl(path)
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
    _warn_frame(path, detections)
    if not detections:
        raise DataError(f"{path} holds no line; at least one image is needed")
    return detections


def _warn_frame(path: Path, detections: AllDetections) -> None:
    """Say that boxes are in another frame than the formula's: its distances are in pixels."""
    reaches = {
        image: max((side for one in seen.detections for side in one.box), default=0.0)
        for image, seen in detections.items()
    }
    beyond = {image: reach for image, reach in reaches.items() if reach > _LARGEST_PX}
    if beyond:
        (item_id, tile), reach = next(iter(beyond.items()))
        log.warning(
            "%s: boxes of %d of %d images reach beyond the detector's frame, %d px for a square "
            "picture (first: item %s tile %d, to %.0f): the score counts pixels there, so scale "
            "boxes of pictures of another size to it",
            path,
            len(beyond),
            len(detections),
            FRAME_PX,
            item_id,
            tile,
            reach,
        )


def _of_image(where: str, line: DetectionsLine) -> ImageDetections:
    nouns = line.get("nouns")
    if nouns is not None and len(nouns) != _NOUNS:
        raise DataError(f"{where}: nouns are two, the first and the last of the prompt")
    for one in line["detections"]:
        if not one["label"].strip():
            raise DataError(f"{where}: a detection without a label")
        if len(one["box"]) != _SIDES:
            raise DataError(f"{where}: a box is x_min, y_min, x_max, y_max")
        x_min, y_min, x_max, y_max = one["box"]
        if x_max < x_min or y_max < y_min:
            raise DataError(
                f"{where}: the box {one['box']} ends before it begins: it is x_min, y_min, x_max, "
                "y_max, not a corner with width and height"
            )
    return ImageDetections(
        tuple(
            Detection(one["label"], BoundingBox(*map(float, one["box"])), float(one["score"]))
            for one in line["detections"]
        ),
        (nouns[0], nouns[1]) if nouns else None,
    )
