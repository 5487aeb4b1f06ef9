"""What can be named on the command line: generators and judges, their weights by role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class EmbeddedWeights:
    """A part of `dpgbench.embedded`, which ships with the toolkit."""

    part: str
    choice: ClassVar[str] = "embedded"

    def __str__(self) -> str:
        """Return it in words."""
        return "ships with the toolkit"


@dataclass(frozen=True)
class HuggingFace:
    """Files of a repository on the Hugging Face hub.

    Attributes:
        repository: ``ORG/REPO``.
        path: the file or folder in it that is meant; "" is the whole.
        required: files without which it is not there.
        files: names or patterns of what is fetched.
        skipped: patterns of what is not, though `files` has it.
        is_pipeline: diffusers chooses what is fetched.
        or_folder: `repository` may be the name of a folder on this machine, which then is meant.
        size: in words, for the line before a large transfer; "" says nothing.
        revision: that is fetched unless the user names one; None is the newest.
        variant: of a pipeline's files that is fetched; None are those without one.
    """

    repository: str
    path: str = ""
    required: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    is_pipeline: bool = False
    or_folder: bool = False
    size: str = ""
    revision: str | None = None
    variant: str | None = None
    choice: ClassVar[str] = "hf"

    def __str__(self) -> str:
        """Return it in words."""
        return f"Hugging Face {self.repository}" + (f", {self.path}" if self.path else "")


@dataclass(frozen=True)
class ModelScope:
    """A model on ModelScope.

    Attributes:
        model: ``owner/name``.
        folder: where it is kept below the toolkit's cache, a folder for each revision.
        required: its files.
    """

    model: str
    folder: str
    required: tuple[str, ...] = ()
    choice: ClassVar[str] = "modelscope"

    def __str__(self) -> str:
        """Return it in words."""
        return f"ModelScope {self.model}"


@dataclass(frozen=True)
class WebFiles:
    """Files that nobody's hub has: the user fetches them once, by a command that is shown.

    Attributes:
        folder: where they are kept below the toolkit's cache.
        addresses: of each file, by its name there.
    """

    folder: str
    addresses: tuple[tuple[str, str], ...]
    choice: ClassVar[str] = "web"

    @property
    def required(self) -> tuple[str, ...]:
        """The files' names."""
        return tuple(name for name, _ in self.addresses)

    def __str__(self) -> str:
        """Return it in words."""
        return " and ".join(address for _, address in self.addresses)


WeightsSource = EmbeddedWeights | HuggingFace | ModelScope | WebFiles


@dataclass(frozen=True)
class Role:
    """One set of weights that a model needs.

    Attributes:
        name: as in ``--weights NAME=PATH``.
        source: where it comes from when no path is given.
        what: what a path must be.
        other_source: where else it comes from, when ``--weights-source`` says so.
    """

    name: str
    source: WeightsSource
    what: str
    other_source: WeightsSource | None = None

    @property
    def sources(self) -> tuple[WeightsSource, ...]:
        """All sources, the one that is taken unasked first."""
        return (self.source, self.other_source) if self.other_source else (self.source,)

    @property
    def source_text(self) -> str:
        """The sources in words."""
        text = str(self.source)
        if self.other_source:
            text += f", or with --weights-source {self.other_source.choice} {self.other_source}"
        return text


@dataclass(frozen=True)
class ModelEntry:
    """A generator that can be named.

    Attributes:
        target: ``module:Class`` of the `Generator`; built with (spec, weights, device).
        defaults: fields of `GenerationSpec` that the model runs with unless others are given.
        benchmark: what `--bench` is when it is not given.
        world: the one benchmark whose kind of pictures it knows; None where it is not bound so.
        options: settings of this model alone, with their defaults.
        rare_options: further ones, which stand in a run's identity only where they are not as by
            default; those whose default is None are whole numbers.
        variant_of: the entry that it is with other settings; "" for none.
        packages: beyond the toolkit's own, that it needs.
        on_device: whether it runs on this machine's device; else a server draws.
        variant_options: of its options, those that its name chooses: as if the user had.
    """

    name: str
    summary: str
    target: str
    defaults: Mapping[str, Any]
    roles: tuple[Role, ...] = ()
    benchmark: str = "dpg"
    world: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    rare_options: Mapping[str, Any] = field(default_factory=dict)
    variant_of: str = ""
    variant_options: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    on_device: bool = True

    @property
    def all_options(self) -> Mapping[str, Any]:
        """Every setting of this model alone that can be named, with its default."""
        return {**self.options, **self.rare_options}


@dataclass(frozen=True)
class JudgeEntry:
    """A judge that can be named, or a family of them.

    Attributes:
        target: ``module:Class`` of the `Judge`; built with a `JudgeRequest`.
        options: settings that it takes, with their defaults; None is the judge's own choice.
        on_device: whether it runs on this machine's device, and so needs torch.
        world: the one benchmark whose kind of pictures it knows; None where it is not bound so.
        is_own: the target is a user's class, which may have any shape.
        lists_judges: what follows the family's name are judges, separated by commas.
        asks: the benchmark's ``questions``, or what it makes of a prompt itself: its
            ``noun-chunks`` where the benchmark has no questions, or always the ``prompt``.
        rules: that its answers are scored under unless others are asked for; none are the usual
            ones.
        categories: of T2I-CompBench that it is for; none where it is for any benchmark.
        notes: sentences that must stand beside each of its numbers.
        gives_probabilities: whether its answers can have probabilities of a model's own.
    """

    name: str
    summary: str
    target: str
    roles: tuple[Role, ...] = ()
    world: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    on_device: bool = True
    is_own: bool = False
    lists_judges: bool = False
    asks: Literal["questions", "noun-chunks", "prompt"] = "questions"
    rules: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    gives_probabilities: bool = True


def argument_of(name: str) -> str:
    """Return what follows a family in a name: ``ORG/REPO`` of ``hf:ORG/REPO``; "" for no family."""
    return name.partition(":")[2]


def foreign_notes(what: str, name: str, world: str | None, benchmark: str) -> tuple[str, ...]:
    """Return what reports must say of a model or judge that works outside its world.

    Args:
        what: ``model`` or ``judge``.
        name: its name in results.
        world: of its entry.
        benchmark: whose prompts it draws, or whose questions it answers.
    """
    if world in (None, benchmark):
        return ()
    return (f"{what} {name} knows the world of {world} alone: here scores mean nothing",)
