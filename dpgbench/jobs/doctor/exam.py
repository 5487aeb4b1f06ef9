"""Pictures of the embedded world with questions whose true answers are known, to test judges on.

Half of the questions are true of their picture and half are not, in each category, and the false
ones are true of a picture that differs in one respect: reading the question alone gets half right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Final, NamedTuple

from dpgbench.backends.protocols import TileQuestions
from dpgbench.shapes import Question, Scene, answer, hard_negative, questions, render, sample_scenes
from dpgbench.shapes.scene import KINDS

NUM_PICTURES: Final = 12
SEED: Final = 20240308
PICTURE_PX: Final = 512
"""Side of a picture, as of what a judge is usually asked about."""
WORLD_PX: Final = 64
"""Side of a picture for a judge that knows the pictures of this world alone: their own size."""
_TRIES: Final = 4


class Probe(NamedTuple):
    """A question with its true answer and its L1 category."""

    text: str
    truth: bool
    category: str


@dataclass(frozen=True)
class Exam:
    """One picture and its questions, as many true as false ones."""

    name: str
    scene: Scene
    probes: tuple[Probe, ...]

    def tile(self, size_px: int) -> TileQuestions:
        """Return the picture, drawn, with the questions numbered from 1."""
        qids = tuple(range(1, len(self.probes) + 1))
        texts = tuple(probe.text for probe in self.probes)
        return TileQuestions(self.name, 0, render(self.scene, size_px), qids, texts)


@cache
def exams() -> tuple[Exam, ...]:
    """Return the exams, the same everywhere; the kinds of scenes take turns."""
    number = NUM_PICTURES // len(KINDS)
    by_kind = [islice(sample_scenes("heldout", SEED, kind), number) for kind in KINDS]
    scenes = [scene for group in zip(*by_kind, strict=True) for scene in group]
    return tuple(Exam(f"picture {n}", scene, _probes(scene)) for n, scene in enumerate(scenes, 1))


def _probes(scene: Scene) -> tuple[Probe, ...]:
    """Return a scene's own questions, each followed by one of its category that is false of it.

    A question without such a partner is left out.
    """
    graph = questions(scene)
    asked = {question.text for question in graph}
    probes: list[Probe] = []
    for question in graph:
        false = [other for other in _false_ones(scene, question, graph) if other not in asked]
        if false:
            partner = max(false, key=lambda text: _likeness(text, question.text))
            asked.add(partner)
            category = question.category[0]
            probes += [Probe(question.text, True, category), Probe(partner, False, category)]
    return tuple(probes)


def _false_ones(scene: Scene, question: Question, graph: Sequence[Question]) -> Iterator[str]:
    """Yield questions of the category that are true of near scenes and false of this one."""
    for seed in range(_TRIES):
        near = hard_negative(scene, question, graph, seed)
        for other in questions(near) if near else ():
            if other.category[0] == question.category[0] and answer(other, scene) == "no":
                yield other.text


def _likeness(text: str, other: str) -> int:
    """Return how many words two questions share."""
    return len(set(text.lower().split()) & set(other.lower().split()))
