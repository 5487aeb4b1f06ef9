"""The words of the world's captions and questions, and tokenizers that hold each as one token."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ella.tiny_tokenizers import tiny_clip_tokenizer, tiny_t5_tokenizer

if TYPE_CHECKING:
    from transformers import CLIPTokenizer, T5Tokenizer

CLIP_VOCABULARY = 1600
FEWEST_USES = 3
"""A word used less often is spelled."""


def words_of(texts: Iterable[str]) -> list[str]:
    """The words in lower case, sorted."""
    uses: dict[str, int] = {}
    for text in texts:
        for word in re.findall(r"[a-z]+", text.lower()):
            uses[word] = uses.get(word, 0) + 1
    return sorted(word for word, number in uses.items() if number >= FEWEST_USES)


def clip_tokenizer(texts: Iterable[str]) -> CLIPTokenizer:
    """CLIP's tokenizer, its merges learned from the texts until their words are whole."""
    learned: CLIPTokenizer = tiny_clip_tokenizer(["a"]).train_new_from_iterator(
        list(texts), CLIP_VOCABULARY
    )
    return learned


def t5_tokenizer(texts: Iterable[str]) -> T5Tokenizer:
    """T5's tokenizer with the texts' words, capitalised too: a sentence begins with one."""
    words = words_of(texts)
    return tiny_t5_tokenizer([*words, *(word.capitalize() for word in words if len(word) > 1)])
