"""How many tokens a prompt has: by a tokenizer that the user names, or roughly."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from dpgbench.errors import SetupError, clipped

ROUGHLY = "words and marks"
_CHARACTERS = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # each is a word
_PIECE = re.compile(rf"[{_CHARACTERS}]|[^\W{_CHARACTERS}]+|[^\w\s]")


def count_roughly(text: str) -> int:
    """Return how many words and marks a text has; each character of Chinese, Japanese or Korean.

    A tokenizer of English counts somewhat more: it cuts rare words.
    """
    return len(_PIECE.findall(text))


@lru_cache(maxsize=4)
def counter(tokenizer: str | None) -> tuple[str, Callable[[str], int]]:
    """Return what counts tokens, in words for a record, and the counting.

    Args:
        tokenizer: a repository or folder that transformers reads one from; None counts roughly.

    Raises:
        SetupError: it cannot be had.
    """
    if tokenizer is None:
        return ROUGHLY, count_roughly
    try:
        from transformers import AutoTokenizer

        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise SetupError(
            f"--tokenizer {tokenizer} cannot be had: {clipped(' '.join(str(error).split()))}; "
            "name a folder or repository that transformers reads a tokenizer from, or leave it out"
        ) from None

    def count(text: str) -> int:
        return len(loaded(text, add_special_tokens=False, truncation=False)["input_ids"])

    return f"tokenizer {tokenizer}", count
