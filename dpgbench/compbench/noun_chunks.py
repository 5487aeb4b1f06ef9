"""Noun chunks of prompts: shipped spans of T2I-CompBench's own, spaCy for all others.

Which words are a chunk depends on the release of the small English model, so that its name stands
in every result. `noun_chunks.csv` has numbers only: for the first 16 digits of a prompt's SHA-256
the spans by two releases (run with spaCy 3.8.18), dropped chunks left out. The reference ran 3.5.0.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from dpgbench.compbench.errors import WeightsError
from dpgbench.compbench.questions import chunks_of_spans

MODEL: Final = "en_core_web_sm"
SHIPPED_RELEASES: Final = ("3.6.0", "3.8.0")
"""Of the model; the first is nearest to the reference's 3.5.0, and taken unasked."""
_DIGITS: Final = 16
_PATH: Final = Path(__file__).with_name("noun_chunks.csv")

Spans = tuple[tuple[int, int], ...]


class Chunks(NamedTuple):
    """Chunks by prompt, as they stand in it, and the release that they are by."""

    release: str
    by_prompt: Mapping[str, tuple[str, ...]]


def are_shipped(prompts: Iterable[str]) -> bool:
    """Whether the spans of all prompts are shipped."""
    return all(_key(prompt) in _shipped(release_name(SHIPPED_RELEASES[0])) for prompt in prompts)


def release_name(release: str) -> str:
    """The name that a release has in results: ``en_core_web_sm-3.6.0``."""
    return f"{MODEL}-{release}"


def shipped_chunks(prompts: Iterable[str], release: str = SHIPPED_RELEASES[0]) -> Chunks:
    """The chunks of T2I-CompBench's own prompts.

    Raises:
        KeyError: a prompt is none of them.
    """
    name = release_name(release)
    spans = _shipped(name)
    return Chunks(
        name, {prompt: chunks_of_spans(prompt, spans[_key(prompt)]) for prompt in prompts}
    )


def spacy_chunks(prompts: Sequence[str]) -> Chunks:
    """The chunks by the release of the model that is installed.

    Raises:
        WeightsError: spaCy or its model is not installed; the message has the commands.
    """
    pipeline = load_spacy()
    release = release_name(str(pipeline.meta.get("version", "unknown")))
    documents = zip(prompts, pipeline.pipe(prompts), strict=True)
    return Chunks(
        release,
        {prompt: tuple(chunk.text for chunk in text.noun_chunks) for prompt, text in documents},
    )


def spacy_nouns(prompt: str) -> tuple[str, str] | None:
    """The first and the last noun of a prompt by spaCy; None where it has none.

    Raises:
        WeightsError: as `spacy_chunks`.
    """
    nouns = [token.text for token in load_spacy()(prompt) if token.pos_ == "NOUN"]
    return (nouns[0], nouns[-1]) if nouns else None


@cache
def load_spacy() -> Any:
    """The small English model of spaCy.

    Raises:
        WeightsError: it is not installed.
    """
    try:
        import spacy  # noqa: PLC0415 - an extra, and a second
    except ImportError:
        raise WeightsError(
            "prompts that are not T2I-CompBench's own need spaCy, which is not installed: "
            f"pip install 'dpgbench[compbench]', then python -m spacy download {MODEL}"
        ) from None
    try:
        return spacy.load(MODEL)
    except OSError:
        raise WeightsError(
            f"spaCy's model {MODEL} is not installed: python -m spacy download {MODEL} (3.5.0 is "
            "the reference's; it is no package of PyPI)"
        ) from None


@cache
def _shipped(name: str) -> Mapping[str, Spans]:
    with _PATH.open(encoding="ascii", newline="") as file:
        return {row["prompt_sha256"]: _spans(row[name]) for row in csv.DictReader(file)}


def _spans(text: str) -> Spans:
    pairs = (span.split("-") for span in text.split())
    return tuple((int(start), int(end)) for start, end in pairs)


def _key(prompt: str) -> str:
    return hashlib.sha256(prompt.encode()).hexdigest()[:_DIGITS]
