"""T2I-CompBench's 2D spatial score: two nouns, a phrase between them, and boxes with labels.

Pure, in double precision. Source: T2I-CompBench at commit 1b70949, `UniDet_eval`, simple prompts.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

FRAME_PX: Final = 479
"""Side of a square picture in the frame that boxes are in: UniDet sees 479 px of 480."""
LOCALITIES: Final = (
    "on side of",
    "next to",
    "near",
    "on the left of",
    "on the right of",
    "on the bottom of",
    "on the top of",
    "on top of",
)
"""Phrases in the order in which a prompt is searched for them, anywhere in it."""
PERSON: Final = "person"
PEOPLE: Final = frozenset({"girl", "boy", "man", "woman"})
"""Nouns that are looked for as `PERSON`."""

_NEARBY: Final = frozenset({"next to", "on side of", "near"})
_NEAR_PX: Final = 150.0
_MOST_OVERLAP: Final = 0.1
_LEAST_SCORE: Final = 0.5
_SIMPLE: Final = re.compile(rf"an? (\w+) ({'|'.join(LOCALITIES)}) an? (\w+)")


class BoundingBox(NamedTuple):
    """Left, top, right and bottom, in pixels of a frame of `FRAME_PX`; y grows downward."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


class Detection(NamedTuple):
    """A box with its label and its confidence, 0 to 1."""

    label: str
    box: BoundingBox
    score: float


class Relation(NamedTuple):
    """What a prompt says: the first and the last noun, and the phrase; None where it has none."""

    first: str
    second: str
    locality: str | None


def locality_of(prompt: str) -> str | None:
    """The first phrase of `LOCALITIES` that stands anywhere in the prompt, within a word too."""
    return next((phrase for phrase in LOCALITIES if phrase in prompt), None)


def simple_nouns(prompt: str) -> tuple[str, str] | None:
    """The two nouns of a prompt ``a X PHRASE a Y`` with one-word X and Y; None for any other."""
    match = _SIMPLE.fullmatch(prompt.strip().removesuffix("."))
    return (match[1], match[3]) if match else None


def looked_for(noun: str) -> str:
    """The label that a noun is looked for by."""
    return PERSON if noun in PEOPLE else noun


def position_score(locality: str | None, first: BoundingBox, second: BoundingBox) -> float:
    """How well two boxes stand as a phrase has it, 0 to 1.

    Raises:
        ZeroDivisionError: both boxes are without area, which ends the original's run.
    """
    overlap = _overlap(first, second)
    dx, dy = _centre(second)[0] - _centre(first)[0], _centre(second)[1] - _centre(first)[1]
    if locality in _NEARBY:
        if abs(dx) < _NEAR_PX or abs(dy) < _NEAR_PX:
            return 1.0
        return _NEAR_PX / max(abs(dx), abs(dy))
    holds = {
        "on the right of": dx < 0 and abs(dx) > abs(dy),
        "on the left of": dx > 0 and abs(dx) > abs(dy),
        "on the bottom of": dy < 0 and abs(dy) > abs(dx),
        "on the top of": dy > 0 and abs(dy) > abs(dx),
    }
    if not holds.get(locality or "", False):
        return 0.0
    return 1.0 if overlap < _MOST_OVERLAP else _MOST_OVERLAP / overlap


def spatial_score(
    relation: Relation, detections: Sequence[Detection], *, people: bool = True
) -> float:
    """The score of one image, 0 to 1; anything below one half is 0.

    A noun's box is that of the first detection with exactly its label, in the order given; two
    nouns with one label share it. With `people`, girl, boy, man and woman are labelled person.

    Raises:
        ZeroDivisionError: as `position_score`.
    """
    names = (relation.first, relation.second)
    labels = map(looked_for, names) if people else names
    first, second = (_first(detections, label) for label in labels)
    if first is None and second is None:
        return 0.0
    if first is None or second is None:
        present = first or second
        score = 0.25 * present.score if present else 0.0
    else:
        position = position_score(relation.locality, first.box, second.box)
        score = 0.25 * first.score + 0.25 * second.score + 0.5 * position
    return 0.0 if score < _LEAST_SCORE else score


def frame_scale(width: int, height: int) -> float:
    """What pixels of a picture are multiplied with to be those of the detector's frame.

    The shorter side becomes 479, unless the longer one would be more than 480.
    """
    scale = FRAME_PX / min(width, height)
    longest = FRAME_PX + 1
    return min(scale, longest / max(width, height))


def _first(detections: Sequence[Detection], label: str) -> Detection | None:
    return next((detection for detection in detections if detection.label == label), None)


def _centre(box: BoundingBox) -> tuple[float, float]:
    return (box.x_min + box.x_max) / 2, (box.y_min + box.y_max) / 2


def _overlap(first: BoundingBox, second: BoundingBox) -> float:
    """Intersection over union.

    Raises:
        ZeroDivisionError: both are without area.
    """
    width = max(0.0, min(first.x_max, second.x_max) - max(first.x_min, second.x_min))
    height = max(0.0, min(first.y_max, second.y_max) - max(first.y_min, second.y_min))
    shared = width * height
    return shared / (_area(first) + _area(second) - shared)


def _area(box: BoundingBox) -> float:
    return (box.x_max - box.x_min) * (box.y_max - box.y_min)
