"""Questions to a pool's pictures, with their true answers: made once and kept beside the pool."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dpgbench.mplug.processing import MplugProcessor
from dpgbench.shapes import Scene
from dpgbench.shapes.facts import Fact, InStyle, holds
from dpgbench.shapes.questions import question_text
from dpgbench.shapes.scene_edits import edits, group_edits, moves
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.store.files import replacing
from scripts.embedded.data.pool import NUM_FIELDS, read_pool
from scripts.embedded.judge.data.labels import scene_of
from scripts.embedded.judge.data.statements import Balance, facts_about

PICTURE_PX: Final = 64
QUESTIONS_A_PICTURE: Final = 24
MOST_TOKENS: Final = 15
"""Tokens of the world's longest question, start and end included."""
OTHER_SCENES_CHANCE: Final = 0.4
"""How often a picture is also asked about what the picture before it shows."""

Tokens = npt.NDArray[np.int16]
Flags = npt.NDArray[np.bool_]


class Asked(NamedTuple):
    """Q questions to each of N pictures: tokens [N, Q, T]; the answer is yes; they ask for style.

    A question's tokens are padded with 0.
    """

    token: Tokens
    is_yes: Flags
    is_style: Flags

    @classmethod
    def joined(cls, shards: Sequence[Asked]) -> Asked:
        """Questions to one shard's pictures after the other's."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*shards, strict=True)))


@dataclass(frozen=True)
class Asker:
    """Makes questions in the judge's tokens."""

    processor: MplugProcessor
    seed: int

    def shard(self, pool: Path, number: int, folder: Path) -> Asked:
        """Questions to the pictures of one shard of a pool; made if they are not in `folder`."""
        shard = sorted(pool.glob("*.npz"))[number]
        path = folder / f"questions-{self.seed}-{shard.stem}.npz"
        if not path.exists():
            with np.load(shard) as arrays:
                scenes = [scene_of(fields) for fields in arrays["labels"].tolist()]
            with replacing(path) as part, part.open("wb") as file:
                np.savez(file, **self.ask(scenes, shard.stem)._asdict())
        with np.load(path) as arrays:
            return Asked(*(arrays[name] for name in Asked._fields))

    def ask(self, scenes: Sequence[Scene], name: str) -> Asked:
        """Questions about some scenes; `name` and the seed alone choose among them."""
        balance = Balance()
        rows = []
        for position, scene in enumerate(tqdm(scenes, f"questions {name}", mininterval=5)):
            rng = StableRandom("judge", self.seed, name, position)
            facts = list(_about(scene, scenes[position - 1], rng))
            asked = balance.choose(scene, facts, QUESTIONS_A_PICTURE, rng)
            asked += [rng.pick(asked) for _ in range(QUESTIONS_A_PICTURE - len(asked))]
            rows.append(self._row(asked, scene, rng))
        return Asked(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))

    def about(self, scenes: Sequence[Scene], facts: Sequence[Sequence[Fact]], name: str) -> Asked:
        """The given statements about each scene, as questions in words that `name` chooses."""
        rows = [
            self._row(asked, scene, StableRandom("judge", self.seed, name, position))
            for position, (scene, asked) in enumerate(zip(scenes, facts, strict=True))
        ]
        return Asked(*(np.stack(arrays) for arrays in zip(*rows, strict=True)))

    def _row(self, facts: Sequence[Fact], scene: Scene, rng: StableRandom) -> Asked:
        return Asked(
            np.stack([self._tokens(question_text(fact, rng)) for fact in facts]),
            np.array([holds(fact, scene) for fact in facts]),
            np.array([isinstance(fact, InStyle) for fact in facts]),
        )

    def _tokens(self, text: str) -> Tokens:
        """As the judge's preprocessing has them, word by word so that known words cost nothing."""
        pieces = [piece for word in re.findall(r"\w+|[^\w\s]", text) for piece in self._word(word)]
        start, end = self._ends
        numbers = [start, *pieces, end]
        if len(numbers) > MOST_TOKENS:
            raise ValueError(f"a question of more than {MOST_TOKENS} tokens: {text}")
        return np.array(numbers + [0] * (MOST_TOKENS - len(numbers)), dtype=np.int16)

    def _word(self, word: str) -> list[int]:
        words = self._words
        if word not in words:
            tokens = [n for n in self.processor.questions([word]).token_ST[0].tolist() if n]
            words[word] = tokens[1:-1]
        return words[word]

    @cached_property
    def _words(self) -> dict[str, list[int]]:
        return {}

    @cached_property
    def _ends(self) -> tuple[int, int]:
        start, end = [n for n in self.processor.questions([""]).token_ST[0].tolist() if n]
        return start, end


def read_pictures(
    pool: Path, num_shards: int | None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8]]:
    """A pool's pictures and labels, of its first few shards."""
    stored = read_pool(pool, num_shards)
    assert stored.labels.shape[1] == NUM_FIELDS
    return stored.pictures, stored.labels


def _about(scene: Scene, other: Scene, rng: StableRandom) -> Iterator[Fact]:
    """Statements about the scene, about one that differs from it in one respect, and another."""
    yield from facts_about(scene, rng)
    edited_scenes: tuple[list[Scene], ...] = ()
    match rng.below(3):
        case 0:
            edited_scenes = ([changed for _, changed in edits(scene)],)
        case 1:
            edited_scenes = (list(moves(scene)),)
        case _:
            edited_scenes = ([changed for _, changed in group_edits(scene)],)
    for changed in (rng.pick(way) for way in edited_scenes if way):
        yield from facts_about(changed, rng)
    if rng.chance(OTHER_SCENES_CHANCE):
        yield from facts_about(other, rng)
