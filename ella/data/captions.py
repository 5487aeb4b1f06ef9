"""Which caption of a picture a sample shows: of several columns and lists, and how much of it."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ella.errors import TrainingDataError

COLUMNS = ("text", "caption", "prompt", "captions", "texts", "prompts", "TEXT", "description")
"""Where a caption is sought where none is named, in this order."""

Texts = Mapping[str, str | Sequence[str]]
_CAPTION = 3  # a kind of randomness; ella.data.order has the others
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+")


@dataclass(frozen=True)
class CaptionColumns:
    """Columns that captions come from, each with its weight.

    Attributes:
        weights: By column; empty: the first of `COLUMNS` that a row has, or its only text.
    """

    weights: Mapping[str, float]

    @classmethod
    def parse(cls, words: str) -> CaptionColumns:
        """From `column` or `column:weight,column:weight`; without a weight it is 1.

        Raises:
            ValueError: If a weight is no number above 0, or a column is there twice.
        """
        weights: dict[str, float] = {}
        for word in filter(None, (part.strip() for part in words.split(","))):
            name, colon, number = word.rpartition(":")
            name, number = (name, number) if colon else (word, "1")
            try:
                weight = float(number)
            except ValueError:
                weight = math.nan
            if not (name and 0 < weight < math.inf) or name in weights:
                raise ValueError(f"`caption_column` must be like long:0.7,short:0.3, got {words!r}")
            weights[name] = weight
        return cls(weights)

    def check(self, columns: Collection[str], where: str) -> None:
        """Raise unless the data has every column.

        Raises:
            TrainingDataError: Naming the column and those that there are.
        """
        for name in self.weights:
            if name not in columns:
                near = difflib.get_close_matches(name, columns, n=1)
                hint = f"; did you mean {near[0]}" if near else ""
                raise TrainingDataError(
                    f"{where}: no text column is called {name!r}{hint} (there are:"
                    f" {', '.join(sorted(columns)) or 'none'}); change --caption-column"
                )

    def choose(self, texts: Texts, seed: int, number: int) -> str | None:
        """The caption of sample `number`, from (seed, number) alone; None if the row has none."""
        there = {name: captions for name in self._names(texts) if (captions := _all(texts[name]))}
        if not there:
            return None
        if len(there) == 1 and len(next(iter(there.values()))) == 1:
            return next(iter(there.values()))[0]
        generator = np.random.default_rng([_CAPTION, seed, number])
        weights = np.array([self.weights.get(name, 1.0) for name in there])
        ends = np.cumsum(weights / weights.sum())
        at = min(int(np.searchsorted(ends, generator.random(), side="right")), len(ends) - 1)
        captions = list(there.values())[at]
        return captions[int(generator.integers(len(captions)))]

    def first(self, texts: Texts) -> str | None:
        """The first caption that could be chosen, or None."""
        for name in self._names(texts):
            captions = _all(texts[name])
            if captions:
                return captions[0]
        return None

    def _names(self, texts: Texts) -> list[str]:
        if self.weights:
            return [name for name in self.weights if name in texts]
        usual = [name for name in COLUMNS if name in texts and _all(texts[name])]
        if usual:
            return usual[:1]
        return list(texts) if len(texts) == 1 else []


def has_usual(texts: Texts) -> bool:
    """Whether a row has a caption where one is sought when none is named."""
    return any(name in texts and bool(_all(texts[name])) for name in COLUMNS)


def _all(captions: str | Sequence[str]) -> list[str]:
    """The captions that say something; halves of surrogate pairs, which no tokenizer takes, as ?"""
    several = [captions] if isinstance(captions, str) else captions
    sound = [one.encode("utf-8", "replace").decode() for one in several if isinstance(one, str)]
    return [one for one in sound if one.strip()]


def cut_at_sentence(caption: str, num_tokens: int, count: Callable[[str], int]) -> str:
    """As many whole sentences from the beginning as have `num_tokens` together; at least one.

    Args:
        caption: Of any number of sentences.
        num_tokens: At most so many, where the first sentence alone has no more.
        count: Tokens of a text.
    """
    if count(caption) <= num_tokens:
        return caption
    ends = [match.start() for match in _SENTENCE_END.finditer(caption)]
    kept = ends[0] if ends else len(caption)
    for end in ends[1:]:
        if count(caption[:end]) > num_tokens:
            break
        kept = end
    return caption[:kept]
