"""Tokenizers of the real classes, made on the spot from a small vocabulary: any text has tokens."""

from __future__ import annotations

import string
from collections.abc import Sequence

from tokenizers import pre_tokenizers
from transformers import CLIPTokenizer, T5Tokenizer

NUM_CLIP_TOKENS = 77

_WORD_LINES = (
    "a an and are at beside behind in is of on the to under with above below left right",
    "red green blue yellow orange purple black white brown pink gray",
    "circle square triangle star sphere cube dog cat bird tree house car table man woman",
    "small large big one two three four five photo painting image scene background",
)
WORDS = tuple(word for line in _WORD_LINES for word in line.split())
"""What is one token; all else is spelled."""

_WORD_END = "</w>"
_WORD_START = "▁"
_LETTER_SCORE, _WORD_SCORE = -8.0, -4.0


def tiny_clip_tokenizer(words: Sequence[str] = WORDS) -> CLIPTokenizer:
    """CLIP's byte-level BPE over all 256 bytes and some words in lower case, 77 tokens long."""
    merges = _merges(words)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [
        *alphabet,
        *(letter + _WORD_END for letter in alphabet),
        *(left + right for left, right in merges),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        model_max_length=NUM_CLIP_TOKENS,
    )


def tiny_t5_tokenizer(words: Sequence[str] = WORDS) -> T5Tokenizer:
    """T5's unigrams over printable ASCII and some words; other characters are the unknown token."""
    letters = [c for c in string.printable if not c.isspace()]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), (_WORD_START, _WORD_SCORE)]
    pieces += [(letter, _LETTER_SCORE) for letter in letters]
    pieces += [(_WORD_START + word, _WORD_SCORE) for word in words if len(word) > 1]
    return T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=512)


def _merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """For each word its letters joined from the left, the last one with the word's end."""
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        letters = [*word[:-1], word[-1] + _WORD_END]
        for i in range(1, len(letters)):
            merges[("".join(letters[:i]), letters[i])] = None
    return list(merges)
