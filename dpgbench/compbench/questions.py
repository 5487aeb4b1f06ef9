"""BLIP-VQA's questions: which noun chunks of a prompt are asked, and the words that BLIP reads.

Source: T2I-CompBench at commit 1b70949, `BLIPvqa_eval`; measured in its outputs.
"""

from collections.abc import Iterable, Sequence
from typing import Final

SLOTS: Final = 8
"""Chunks of a prompt that are asked at most; an empty slot counts 1."""
DROPPED: Final = frozenset({"top", "the side", "the left", "the right"})
"""Chunks that are never asked, exactly as they stand: ``Top`` and ``the top`` are."""

_DELETED: Final = str.maketrans("", "", '.!"()*#:;~')
_MOST_WORDS: Final = 50


def kept_chunks(chunks: Iterable[str]) -> tuple[str, ...]:
    """The chunks that are asked about, in order: without the dropped ones, eight at most."""
    return tuple([chunk for chunk in chunks if chunk not in DROPPED][:SLOTS])


def chunks_of_spans(prompt: str, spans: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """The texts between pairs of character numbers of a prompt.

    Raises:
        ValueError: a span is none of the prompt.
    """
    for start, end in spans:
        if not 0 <= start < end <= len(prompt):
            raise ValueError(f"span {start}-{end} is not in the prompt {prompt!r}")
    return tuple(prompt[start:end] for start, end in spans)


def question_of(chunk: str) -> str:
    """The question about a chunk."""
    return f"{chunk}?"


def clean_question(question: str) -> str:
    """A question as BLIP reads it: lower case, some marks deleted, 50 words at most.

    Words are what single spaces part, so that several spaces hold empty words, which count. A
    question mark stays; spaces at the end go.
    """
    return " ".join(_words(question)[:_MOST_WORDS])


def has_too_many_words(question: str) -> bool:
    """Whether `clean_question` cuts the question."""
    return len(_words(question)) > _MOST_WORDS


def _words(question: str) -> list[str]:
    return question.lower().translate(_DELETED).rstrip(" ").split(" ")
