"""Counts of a benchmark: by source, category and prompt length."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dpgbench.domain.rows import QuestionRow, item_source

_BIN_WORDS = 20


def take_census(
    prompts: Mapping[str, str], items: Sequence[Sequence[QuestionRow]]
) -> dict[str, Any]:
    """Return `items`, `questions`, `sources`, `l1`, `l2`, `words` and `lengths`.

    `words` has mean, median, min and max over prompts, split at white space; `lengths` counts
    prompts by ranges of 20 words.
    """
    rows = [row for item in items for row in item]
    lengths = [len(text.split()) for text in prompts.values()]
    return {
        "items": len(prompts),
        "questions": len(rows),
        "sources": _counts(item_source(item_id) for item_id in prompts),
        "l1": _counts(row.category.l1 for row in rows),
        "l2": _counts(row.category.l2 for row in rows),
        "words": {
            "mean": statistics.fmean(lengths),
            "median": statistics.median(lengths),
            "min": min(lengths),
            "max": max(lengths),
        },
        "lengths": _ranges(lengths),
    }


def _counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _ranges(lengths: Sequence[int]) -> dict[str, int]:
    bins = Counter(length // _BIN_WORDS for length in lengths)
    return {
        f"{number * _BIN_WORDS}-{(number + 1) * _BIN_WORDS - 1}": bins[number]
        for number in sorted(bins)
    }
