"""Hard negatives as pictures: scenes changed in one respect, asked what that change makes false."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from dpgbench.shapes import Scene, hard_negative, questions, render, sample_scenes
from dpgbench.shapes.facts import Fact
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.store.files import replacing
from scripts.embedded.data.pool import labels
from scripts.embedded.judge.data.questions import QUESTIONS_A_PICTURE, Asked, Asker
from scripts.embedded.judge.data.statements import Balance, facts_about, kind_of

SEED: Final = 2_000_000
"""Scenes apart from those of `data/make_pool.py`, of the same part of the world."""
TIMES_ASKED: Final = 2
"""So many of a picture's questions are the one that fails."""


class Hard(NamedTuple):
    """Pictures `[N, 64, 64, 3]`, their labels `[N, NUM_FIELDS]` and the questions to them."""

    picture: npt.NDArray[np.uint8]
    fields: npt.NDArray[np.int8]
    asked: Asked


def hard_negatives(asker: Asker, number: int, folder: Path) -> Hard:
    """So many hard negatives of scenes to train on; made if they are not in `folder`."""
    path = folder / f"hard-{asker.seed}-{number}.npz"
    if not path.exists():
        made = _made(asker, number)
        arrays = {"picture": made.picture, "fields": made.fields, **made.asked._asdict()}
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, **arrays)
    with np.load(path) as arrays:
        asked = Asked(*(arrays[name] for name in Asked._fields))
        return Hard(arrays["picture"], arrays["fields"], asked)


def _made(asker: Asker, number: int) -> Hard:
    balance = Balance()
    scenes: list[Scene] = []
    facts: list[list[Fact]] = []
    for scene in tqdm(islice(sample_scenes("train", SEED), number), "hard negatives", number):
        rng = StableRandom("hard", asker.seed, scene.digest)
        graph = questions(scene)
        kind = rng.pick(sorted({kind_of(question.fact) for question in graph}))
        failed = rng.pick([question for question in graph if kind_of(question.fact) == kind])
        changed = hard_negative(scene, failed, graph, asker.seed) or scene
        others = [question.fact for question in graph] + facts_about(changed, rng)
        asked = [failed.fact] * TIMES_ASKED
        asked += balance.choose(changed, others, QUESTIONS_A_PICTURE - TIMES_ASKED, rng)
        asked += [rng.pick(asked) for _ in range(QUESTIONS_A_PICTURE - len(asked))]
        scenes.append(changed)
        facts.append(asked)
    return Hard(
        np.stack([np.asarray(render(scene)) for scene in scenes]),
        np.array([labels(scene) for scene in scenes], dtype=np.int8),
        asker.about(scenes, facts, "hard"),
    )
