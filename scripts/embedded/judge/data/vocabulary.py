"""The judge's words: special tokens where BERT has them, letters, the words of the world."""

from __future__ import annotations

import re
import string
from functools import lru_cache
from itertools import islice
from typing import Final

from dpgbench.shapes import caption, questions, sample_scenes

NUM_SCENES: Final = 2500
"""So many scenes' captions and questions are read for words."""
SEED: Final = 7
COMMON_WORDS: Final = """
    yes no not or any there are this that its it image photo drawing how many what which where who
    rectangle round line grey cyan background zero ten shapes things objects thing object
    dog cat man woman person tree car house table
"""


@lru_cache(maxsize=1)
def vocabulary() -> tuple[str, ...]:
    """All tokens; a token's number is its place."""
    start = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = string.ascii_lowercase + string.digits
    words = sorted((_world_words() | set(COMMON_WORDS.split())) - set(pieces))
    return (*start, *string.punctuation, *pieces, *(f"##{piece}" for piece in pieces), *words)


def _world_words() -> set[str]:
    words: set[str] = set()
    for number, scene in enumerate(islice(sample_scenes("train", SEED), NUM_SCENES)):
        texts = [question.text for question in questions(scene)] + [caption(scene, number)]
        words |= {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    return words
