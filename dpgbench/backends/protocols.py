"""What a generator and a judge must offer to whoever draws or asks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from dpgbench.backends.judges.answer_checks import checked_reply, checked_stream
from dpgbench.backends.judges.asking import ask_in_batches
from dpgbench.backends.judges.messages import JudgeAnswer, JudgeReply, TileQuestions

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "BEAM",
    "REFERENCE_DTYPE",
    "DrawnItem",
    "DrawsMany",
    "DrawsTogether",
    "Generator",
    "ItemToDraw",
    "Judge",
    "JudgeAnswer",
    "JudgeReply",
    "JudgeRequest",
    "SelfTest",
    "TileQuestions",
    "Truncation",
]

BEAM = "beam"
REFERENCE_DTYPE = "float32"


class Truncation(NamedTuple):
    """Which prompts a text encoder cuts: those with more tokens than `limit`, specials included.

    `cut` has their positions among the prompts that were asked about; `limit` None means no limit.
    """

    limit: int | None
    cut: tuple[int, ...] = ()


class ItemToDraw(NamedTuple):
    """A prompt with a seed for each of its images."""

    item_id: str
    prompt: str
    seeds: tuple[int, ...]


class DrawnItem(NamedTuple):
    """The images of an item, or why it has none, and the seconds that it took.

    Attributes:
        images_in_call: how many images its call drew, others' included; None where nobody counts.
    """

    item: ItemToDraw
    result: list[Image] | Exception
    seconds: float
    images_in_call: int | None = None


@runtime_checkable
class DrawsMany(Protocol):
    """A generator that works on several items at a time: one that waits for a server.

    Attributes:
        takes_seeds: whether images follow from seeds, as far as can be known.
    """

    takes_seeds: bool

    def draw_many(self, items: Iterator[ItemToDraw]) -> Iterator[DrawnItem]:
        """Yield items as they are done, in any order."""

    def account(self) -> Mapping[str, Any]:
        """Return what drawing has cost so far, as plain data for the manifest."""


@runtime_checkable
class DrawsTogether(Protocol):
    """A generator that can draw the images of several prompts in one call of its networks."""

    def draw_together(
        self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]
    ) -> list[list[Image]]:
        """Return for each prompt one RGB image a seed: those of `draw`, but for rounding.

        Args:
            prompts: at least one.
            seeds: for each prompt equally many.
        """


class Generator(Protocol):
    """Draws images for a prompt."""

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one RGB image a seed; the same prompt and seed give the same image."""

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which of `prompts` are too long for the text encoder."""


class SelfTest(NamedTuple):
    """How a judge's network computes on this machine, against recorded values.

    Attributes:
        fault: what is wrong and what to do, in a sentence; None where it is sound.
        figures: what was counted, as plain data for ``dpgbench doctor --json``.
    """

    fault: str | None
    figures: Mapping[str, Any]


class Judge(ABC):
    """Answers questions about images.

    A judge has `describe`, and either `ask` (batches) or `stream` (many tiles at a time, replies in
    any order); the rest has defaults. Whoever asks calls `replies`.
    """

    num_images_at_once: int = 1
    """How many images `ask` likes to be given together."""

    has_answers: bool = False
    """Set by whoever asks: whether the run holds answers of this judge already."""

    reads_plain_rgb: bool = False
    """Whether pictures come as Pillow's `convert("RGB")` gives them: alpha dropped, not turned."""

    @property
    def class_name(self) -> str:
        """What messages about wrong answers call it: ``module:Class``."""
        return f"{type(self).__module__}:{type(self).__qualname__}"

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return what decides the answers, as plain data for the manifest: weights, settings."""

    def origin(self) -> Mapping[str, Any]:
        """Return plain data for the manifest about where files are from.

        Unlike `describe`'s it may change between commands that add answers to one run.
        """
        return {}

    def prepare(self, image: Image) -> Any:
        """Return what `ask` wants of an image, as `TileQuestions.prepared`.

        It is called in worker threads, ahead of `ask`.
        """
        return None

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile, in the order of its questions."""
        raise NotImplementedError(f"{self.class_name} has no ask(tiles); use stream(tiles)")

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield replies as they come; each is on disk before the next is asked for.

        Takes tiles only as fast as it can work on them: each holds a decoded image.
        """
        return ask_in_batches(self, tiles, self.class_name)

    def replies(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        """Yield what `stream` yields, made sure that it is answers.

        Raises:
            JudgeContractError: it is something else.
        """
        for reply in checked_stream(self.class_name, self.stream(tiles)):
            yield checked_reply(self.class_name, reply)

    def account(self) -> Mapping[str, Any] | None:
        """Return what asking has cost so far, as plain data for the manifest; None where nothing.

        Numbers add up over the commands of a run.
        """
        return None

    @classmethod
    def self_test(cls, device: str) -> SelfTest | None:
        """Return how the network computes on `device`; no weights are needed. None: no test."""
        return None


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
        about: the rule whose own question is asked in place of the benchmark's; "" for none.
    """

    name: str
    weights: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = None
    device: str = "auto"
    dtype: str = REFERENCE_DTYPE
    batch_size: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    about: str = ""

    @property
    def label(self) -> str:
        """The judge's name in every result.

        Another decoding, precision, release that noun chunks are by or question is another judge.
        """
        decode, chunks = self.options.get("decode", BEAM), self.options.get("chunks")
        other = [str(chunks)] * bool(chunks) + [decode] * (decode != BEAM)
        other += [self.dtype] * (self.dtype != REFERENCE_DTYPE)
        other += [self.about] * bool(self.about)
        return ":".join([self.name, *other])
