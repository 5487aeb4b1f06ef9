"""A pipeline of real spaCy whose tags and heads are set by a short list of words.

spaCy's own small English model is on no package index; what is tested with this one is the way
from an installed package of that name to noun chunks, nouns and the release in a judge's name.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

NAME = "en_core_web_sm"
_MODULE = '''"""A package as spaCy's own: `load` gives the pipeline in its folder."""

from pathlib import Path

from spacy.util import load_model_from_init_py
from tests.compbench import hand_tagger

hand_tagger.register()


def load(**overrides):
    return load_model_from_init_py(__file__, **overrides)
'''
_BEFORE = {"a": "DET", "an": "DET", "the": "DET", "red": "ADJ", "green": "ADJ", "wooden": "ADJ"}
_BETWEEN = {"and": "CCONJ", "beside": "ADP", "next": "ADV", "to": "ADP", ".": "PUNCT"}


def register() -> None:
    """Make the component known to spaCy."""
    from spacy.language import Language

    if not Language.has_factory("hand_tagger"):
        Language.component("hand_tagger", func=tagged)


def tagged(text: Any) -> Any:
    """A text with parts of speech and heads: what stands before a noun hangs on it."""
    from spacy.tokens import Doc

    words = [token.text for token in text]
    kinds = [_BEFORE.get(word.lower()) or _BETWEEN.get(word.lower()) or "NOUN" for word in words]
    nouns = [place for place, kind in enumerate(kinds) if kind == "NOUN"]
    heads = [
        next((noun for noun in nouns if noun > place), nouns[0]) if kind in ("DET", "ADJ")
        else nouns[0]
        for place, kind in enumerate(kinds)
    ]  # fmt: skip
    names = {"DET": "det", "ADJ": "amod", "CCONJ": "cc", "ADP": "prep", "ADV": "advmod"}
    names["PUNCT"] = "punct"
    labels = [
        "ROOT" if place == nouns[0] else "dobj" if kind == "NOUN" else names[kind]
        for place, kind in enumerate(kinds)
    ]
    spaces = [bool(token.whitespace_) for token in text]
    return Doc(text.vocab, words=words, spaces=spaces, pos=kinds, heads=heads, deps=labels)


def write_package(site: Path, release: str) -> None:
    """Install the pipeline into a folder of packages, as pip would."""
    import spacy

    register()
    pipeline = spacy.blank("en")
    pipeline.add_pipe("hand_tagger")
    pipeline.meta |= {"name": "core_web_sm", "version": release}
    package, folder = site / NAME, f"{NAME}-{release}"
    package.mkdir(parents=True)
    pipeline.to_disk(package / folder)
    shutil.copy(package / folder / "meta.json", package / "meta.json")
    (package / "__init__.py").write_text(_MODULE)
    about = site / f"{folder}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {release}\n")
