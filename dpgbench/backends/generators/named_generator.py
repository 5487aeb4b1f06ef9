"""What a generator class offers before it is built, so that a run can be planned without it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from dpgbench.backends.entries import ModelEntry
from dpgbench.backends.protocols import Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.spec import GenerationSpec

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ModelDefaults:
    """How a model is run by its own files; the user's settings replace it.

    Attributes:
        settings: fields of `GenerationSpec`, without `options`.
        options: `GenerationSpec.options`.
        accelerator_dtype: precision on an accelerator; None leaves it to the device.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    accelerator_dtype: str | None = None


class NamedGenerator(ABC):
    """A `Generator` class that the target of a `ModelEntry` names.

    Attributes:
        memory_remedy: what a user can do where a single image does not fit into memory.
        has_compile: its networks can be compiled.
    """

    memory_remedy: ClassVar[str] = (
        "take a smaller --width and --height, half the precision (--dtype float16 or bfloat16), or "
        "a device with more memory"
    )
    has_compile: ClassVar[bool] = False

    @abstractmethod
    def __init__(
        self, entry: ModelEntry, spec: GenerationSpec, weights: Mapping[str, Weights], device: str
    ) -> None:
        """Load the networks onto the device.

        Raises:
            SetupError: weights are not what they must be.
        """

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> ModelDefaults:
        """Return how the model is run by its own files, beyond `ModelEntry.defaults`."""
        return ModelDefaults()

    @staticmethod  # noqa: B027 - a class may have nothing to check
    def check(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
        """Raise where a setting cannot be right, or weights cannot.

        Raises:
            UsageError: names the setting.
            SetupError: names the weights.
        """

    @staticmethod
    def notes(
        entry: ModelEntry, weights: Mapping[str, Weights], chosen: frozenset[str], device: str
    ) -> list[str]:
        """Return what was assumed, for the manifest, a sentence each.

        Args:
            entry: the model.
            weights: its files.
            chosen: names of the settings that the user chose.
            device: where it runs.
        """
        return []

    @staticmethod
    def takes_several_prompts(entry: ModelEntry, weights: Mapping[str, Weights]) -> bool:
        """Return whether it is a `DrawsTogether` with these weights."""
        return False

    @property
    def remark(self) -> str:
        """What must be said of the images that were drawn so far; "" for nothing."""
        return ""

    def compile(self) -> None:
        """Have the networks compiled when they are first called, where `has_compile` says so."""
        raise NotImplementedError

    def num_parameters(self) -> Mapping[str, int]:
        """Return how many parameters each of its networks has; nothing where that is unknown."""
        return {}

    @abstractmethod
    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one RGB image a seed; the same prompt and seed give the same image."""

    @abstractmethod
    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which of `prompts` are too long for the text encoder."""
