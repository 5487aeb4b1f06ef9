"""What a generator and a judge must offer, and how one is named, described and found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from PIL.Image import Image

BEAM = "beam"
REFERENCE_DTYPE = "float32"


class Truncation(NamedTuple):
    """Which prompts a text encoder cuts: those with more tokens than `limit`, specials included.

    `cut` has their positions among the prompts that were asked about; `limit` None means no limit.
    """

    limit: int | None
    cut: tuple[int, ...] = ()


class Generator(Protocol):
    """Draws images for a prompt."""

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one RGB image a seed; the same prompt and seed give the same image."""

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which of `prompts` are too long for the text encoder."""


class TileQuestions(NamedTuple):
    """One image and everything that is asked about it; `qids` go with `questions`.

    `prepared` is what the judge's own `prepare` made of the image, None where it has none.
    """

    item_id: str
    tile: int
    image: Image
    qids: tuple[int, ...]
    questions: tuple[str, ...]
    prepared: Any = None


class JudgeAnswer(NamedTuple):
    """A judge's answer to one question.

    `text` is raw: only exactly ``yes`` counts. `p_yes` is a probability, None where the judge
    gives none. `truncated` tells that the judge did not see the question's end, `invalid` that it
    was asked for yes or no and said neither.
    """

    text: str
    p_yes: float | None = None
    truncated: bool = False
    invalid: bool = False


class JudgeReply(NamedTuple):
    """What a `StreamingJudge` has about one tile so far: answers by question number, or an error.

    A tile may be replied to in several parts; questions in none of them stay open.
    """

    item_id: str
    tile: int
    answers: Mapping[int, JudgeAnswer]
    error: str | None = None


class Judge(Protocol):
    """Answers questions about images.

    A judge may also have ``prepare(image)``: it is called in worker threads, ahead of `ask`, and
    its result comes back as `TileQuestions.prepared`. And ``origin()``: plain data for the manifest
    beside `describe`'s, about where its files are from; another origin does not stop a resume.
    """

    num_images_at_once: int
    """How many images the judge likes to be given together."""

    def describe(self) -> dict[str, Any]:
        """Return what decides the answers, as plain data for the manifest: weights, settings."""

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile, in the order of its questions."""


@runtime_checkable
class StreamingJudge(Protocol):
    """A judge that works on many tiles at a time and replies in whatever order it likes.

    One that has an attribute ``has_answers`` is told there whether the run holds answers of it.
    """

    def describe(self) -> dict[str, Any]:
        """Return what decides the answers, as plain data for the manifest."""

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield replies as they come; each is on disk before the next is asked for.

        Takes tiles only as fast as it can work on them: each holds a decoded image.
        """


@dataclass(frozen=True)
class Role:
    """One set of weights that a model needs.

    Attributes:
        name: as in ``--weights NAME=PATH``.
        source: where it comes from when no path is given, for people.
        what: what the path must be.
        embedded: the part of `dpgbench.embedded` that it is when no path is given; None: fetched.
    """

    name: str
    source: str
    what: str
    embedded: str | None = None


@dataclass(frozen=True)
class ModelEntry:
    """A generator that can be named.

    Attributes:
        target: ``module:Class`` of the `Generator`; built with (spec, weights, device).
        defaults: fields of `GenerationSpec` that the model runs with unless told otherwise.
        benchmark: what `--bench` is when it is not given.
        world: the one benchmark whose kind of pictures it knows; None where it is not bound so.
    """

    name: str
    summary: str
    target: str
    defaults: Mapping[str, Any]
    roles: tuple[Role, ...] = ()
    benchmark: str = "dpg"
    world: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgeEntry:
    """A judge that can be named.

    Attributes:
        target: ``module:Class`` of the `Judge` or `StreamingJudge`; built with a `JudgeRequest`.
        options: settings that it takes, with their defaults; None is the judge's own choice.
        on_device: whether it runs on this machine's device, and so needs torch.
        world: the one benchmark whose kind of pictures it knows; None where it is not bound so.
    """

    name: str
    summary: str
    target: str
    roles: tuple[Role, ...] = ()
    world: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    on_device: bool = True


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


@dataclass(frozen=True)
class JudgeRequest:
    """What a judge is built from.

    Attributes:
        weights: path by role, as given with ``--weights``.
        revision: of weights that are fetched; None is the entry's own.
        device: ``cpu``, ``cuda``, ...; ``auto`` until `load_judge` finds what is there.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        batch_size: images at once; None leaves it to the judge.
        options: settings of one family of judges alone, such as `decode` or `base_url`.
    """

    name: str
    weights: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None
    device: str = "auto"
    dtype: str = REFERENCE_DTYPE
    batch_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The judge's name in every result: another decoding or precision is another judge."""
        decode = self.options.get("decode", BEAM)
        other = [decode] * (decode != BEAM) + [self.dtype] * (self.dtype != REFERENCE_DTYPE)
        return ":".join([self.name, *other])
