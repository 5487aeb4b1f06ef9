"""How published models are run by those who made them, with a source for each setting.

A pipeline class has one set of defaults for all repositories that it can load: FLUX.1-schnell under
the defaults of its class is not FLUX.1-schnell. What stands in published_models.toml replaces the
class's defaults; what does not stand there is the class's or the repository's, and that is said.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.store.published import PublishedScore, read_published

TABLE = Path(__file__).with_name("published_models.toml")
GUIDANCE = "guidance_scale"
"""The argument of guidance where nothing else is said."""

_SETTINGS = {
    "steps": "steps",
    "guidance": "guidance_scale",
    "negative_prompt": "negative_prompt",
}


class Sourced(NamedTuple):
    """A value and where it comes from."""

    value: Any
    source: str


class Encoder(NamedTuple):
    """What reads the prompt: how many tokens of it (None where unknown), and who says so."""

    name: str
    tokens: int | None
    source: str


@dataclass(frozen=True)
class PublishedModel:
    """What is known of one model. Facts that are not in the mappings are unknown.

    Attributes:
        name: as in ``--model``.
        summary: of a model that is run as its pipeline class is; "" for those of `table`.
        facts: by the names of published_models.toml.
        encoders: what reads the prompt; empty where unknown.
        guidance_argument: of the pipeline's call.
        arguments: further ones of the pipeline's call.
        scheduler_arguments: what replaces the repository's.
        extra: parts that come from other repositories, by role.
        published_as: its names in the table of published scores.
        notes: what else there is to know, in sentences.
    """

    name: str
    summary: str
    facts: Mapping[str, Sourced]
    encoders: Sequence[Encoder] = ()
    guidance_argument: str = GUIDANCE
    arguments: Mapping[str, Sourced] = field(default_factory=dict)
    scheduler_arguments: Mapping[str, Sourced] = field(default_factory=dict)
    extra: Mapping[str, Sourced] = field(default_factory=dict)
    published_as: Sequence[str] = ()
    notes: Sequence[str] = ()

    def value(self, name: str) -> Any:
        """Return the value of a fact; None where it is unknown."""
        fact = self.facts.get(name)
        return None if fact is None else fact.value

    @property
    def repository(self) -> str:
        """``ORG/REPO`` on the hub."""
        return str(self.facts["repository"].value)

    @property
    def settings(self) -> dict[str, object]:
        """Fields of `GenerationSpec` that are known."""
        stated = {
            field_name: self.facts[name].value
            for name, field_name in _SETTINGS.items()
            if name in self.facts
        }
        px = self.value("px")
        size = {} if px is None else {"width_px": px, "height_px": px}
        return {**size, **stated}

    @property
    def call_arguments(self) -> dict[str, object]:
        """Further arguments of the pipeline's call."""
        return {name: fact.value for name, fact in self.arguments.items()}

    def scores(self) -> list[PublishedScore]:
        """Return what was published of it, in the table's order."""
        return [score for score in read_published() if score.model in self.published_as]


@functools.cache
def published_models() -> dict[str, PublishedModel]:
    """Return all models of the table by name."""
    with TABLE.open("rb") as file:
        return {name: _model(name, entry) for name, entry in tomllib.load(file).items()}


def published_model(name: str) -> PublishedModel | None:
    """Return what is known of a model; None where the table does not know it.

    Args:
        name: of the table, a repository, or a folder of the hub's own cache
            (``models--ORG--REPO``).
    """
    models = published_models()
    if name in models:
        return models[name]
    repository = name
    for part in Path(name).parts:
        words = part.split("--")
        if len(words) == 3 and words[0] == "models":
            repository = "/".join(words[1:])
    return _by_repository().get(repository.lower())


@functools.cache
def _by_repository() -> dict[str, PublishedModel]:
    """Return models by repository in lower case: of those that are run as their class is."""
    return {
        model.repository.lower(): model for model in published_models().values() if model.summary
    }


def _model(name: str, entry: Mapping[str, Any]) -> PublishedModel:
    facts = {
        key: Sourced(value["value"], value["source"])
        for key, value in entry.items()
        if isinstance(value, dict) and "source" in value
    }
    return PublishedModel(
        name,
        entry.get("summary", ""),
        facts,
        encoders=tuple(
            Encoder(one["name"], one.get("tokens"), one["source"])
            for one in entry.get("encoders", ())
        ),
        guidance_argument=entry.get("guidance", {}).get("argument", GUIDANCE),
        arguments=_facts(entry, "arguments"),
        scheduler_arguments=_facts(entry, "scheduler_arguments"),
        extra=_facts(entry, "extra"),
        published_as=tuple(entry.get("published", ())),
        notes=tuple(entry.get("notes", ())),
    )


def _facts(entry: Mapping[str, Any], name: str) -> dict[str, Sourced]:
    return {key: Sourced(one["value"], one["source"]) for key, one in entry.get(name, {}).items()}
