"""Hard negatives: scenes as near as can be that fail one question of a scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

from dpgbench.shapes.facts import (
    Between,
    Compared,
    Count,
    Exists,
    Fact,
    Has,
    InStyle,
    Located,
    OnGround,
    Related,
)
from dpgbench.shapes.questions import Question, answer
from dpgbench.shapes.scene import Scene
from dpgbench.shapes.scene_edits import (
    additions,
    edits,
    group_edits,
    moves,
    regroundings,
    removals,
    restylings,
)
from dpgbench.shapes.stable_random import StableRandom


def turned(graph: Sequence[Question], scene: Scene, other: Scene) -> frozenset[int]:
    """The numbers of the questions that the two scenes answer differently."""
    return frozenset(q.number for q in graph if answer(q, scene) != answer(q, other))


def dependents(graph: Sequence[Question], number: int) -> frozenset[int]:
    """A question's number and those of all that depend on it, however remotely."""
    numbers = {number}
    for question in graph:  # parents first
        if numbers & set(question.parents):
            numbers.add(question.number)
    return frozenset(numbers)


def hard_negative(
    scene: Scene, question: Question, graph: Sequence[Question], seed: int = 0
) -> Scene | None:
    """A scene that differs in one respect and fails this question and at most its dependents.

    Args:
        scene: The scene that the question graph belongs to.
        question: The question to be answered "no".
        graph: All questions of the scene.
        seed: Chooses among such scenes.

    Returns:
        The changed scene; None where there is none, which no sampled scene was seen to meet.
    """
    allowed = dependents(graph, question.number)
    rng = StableRandom("hard negative", scene.digest, question.number, seed)
    for other in rng.shuffled(list(_candidates(question.fact, scene))):
        failed = turned(graph, scene, other)
        if question.number in failed and failed <= allowed:
            return other
    return None


def _candidates(fact: Fact, scene: Scene) -> Iterator[Scene]:
    """The changes that can make a fact false."""
    match fact:
        case Exists() | Has() | Compared():
            yield from (changed for _, changed in chain(edits(scene), group_edits(scene)))
        case Located() | Related() | Between():
            yield from moves(scene)
        case Count():
            yield from (changed for _, changed in edits(scene))
            yield from chain(additions(scene), removals(scene))
        case OnGround():
            yield from regroundings(scene)
        case InStyle():
            yield from restylings(scene)
