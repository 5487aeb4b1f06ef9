"""A generator class of the user's own, named as ``package.module:Class``.

The class needs one method, ``draw(prompt, seeds)``, that returns an RGB Pillow image a seed. It is
built without arguments, or with ``device`` if it takes that. Optional attributes of the class:
``width_px``, ``height_px`` (512 each), ``settings`` (plain data for the manifest; a change of it is
another run) and ``token_limit`` with ``count_tokens(prompt)``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from dpgbench.backends.entries import ModelEntry
from dpgbench.backends.generators.image_checks import refused_casts
from dpgbench.backends.generators.named_generator import ModelDefaults, NamedGenerator
from dpgbench.backends.import_class import import_target
from dpgbench.backends.protocols import Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import DataError, DpgBenchError, UsageError, reason_of
from dpgbench.store.images import to_rgb

if TYPE_CHECKING:
    from PIL.Image import Image


_SIDE_PX = 512


class OwnClass(NamedGenerator):
    """Wraps the user's class as a generator."""

    memory_remedy = (
        "have the class draw fewer or smaller images at a time (width_px, height_px) or in half "
        "the precision, or take a device with more memory"
    )

    def __init__(
        self, entry: ModelEntry, spec: GenerationSpec, weights: Mapping[str, Weights], device: str
    ) -> None:
        cls = _import(entry.name)
        self.name = entry.name
        self.model: Any = _built(entry.name, cls, device)

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> ModelDefaults:
        """Return what the class says of its images and settings."""
        cls = _import(entry.name)
        sides = {side: _pixels(entry.name, cls, side) for side in ("width_px", "height_px")}
        return ModelDefaults(sides, _settings(entry.name, cls))

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return the class's images, one a seed."""
        with refused_casts():
            images = self._listed(self.model.draw(prompt, list(seeds)))
        return [self._rgb(image, tile) for tile, image in enumerate(images)]

    def _listed(self, images: Any) -> list[Any]:
        if isinstance(images, (list, tuple)) or hasattr(images, "__next__"):
            return list(images)
        raise DataError(
            f"{self.name}.draw must return a list of one Pillow image a seed, not "
            f"{type(images).__name__}"
        )

    def _rgb(self, image: Any, tile: int) -> Image:
        from PIL.Image import Image as PillowImage

        if not isinstance(image, PillowImage):
            raise DataError(
                f"{self.name}.draw must return Pillow images; image {tile} (from 0) is "
                f"{_called(image)}"
            )
        return to_rgb(image)

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts are longer than the class's `token_limit`, if it has one."""
        limit = getattr(self.model, "token_limit", None)
        if limit is None:
            return Truncation(None)
        if not callable(getattr(self.model, "count_tokens", None)):
            raise UsageError(
                f"model '{self.name}' has a token_limit but no method count_tokens(prompt); add "
                "it, or leave the limit out"
            )
        counts = [self._count(prompt) for prompt in prompts]
        if type(limit) is not int:
            raise UsageError(
                f"model '{self.name}': token_limit must be a whole number, not {limit!r}"
            )
        return Truncation(limit, tuple(i for i, count in enumerate(counts) if count > limit))

    def _count(self, prompt: str) -> int:
        try:
            count = self.model.count_tokens(prompt)
        except Exception as error:  # whatever the user's own class does
            raise UsageError(
                f"model '{self.name}': count_tokens failed: {reason_of(error, with_type=True)}"
            ) from error
        if isinstance(count, bool) or not isinstance(count, Integral):
            raise UsageError(
                f"model '{self.name}': count_tokens must return a whole number, not {count!r}"
            )
        return int(count)


def _built(name: str, cls: Any, device: str) -> Any:
    try:
        takes_device = "device" in inspect.signature(cls).parameters
        return cls(device=device) if takes_device else cls()
    except DpgBenchError:
        raise
    except Exception as error:  # whatever the user's own class does
        raise UsageError(
            f"model '{name}' cannot be built: {reason_of(error, with_type=True)}; "
            "it is built without arguments, or with device alone"
        ) from error


def _called(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _pixels(name: str, cls: Any, side: str) -> int:
    value = getattr(cls, side, _SIDE_PX)
    if type(value) is not int or value < 1:
        raise UsageError(f"model '{name}': {side} must be a whole number of pixels, not {value!r}")
    return value


def _settings(name: str, cls: Any) -> dict[str, Any]:
    settings = getattr(cls, "settings", {})
    try:
        if not isinstance(settings, Mapping):
            raise TypeError(f"it is of type {type(settings).__name__}")
        plain: dict[str, Any] = json.loads(json.dumps(dict(settings), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"model '{name}': settings must be a dict of plain data (JSON), for the manifest: "
            f"{error}"
        ) from error
    return plain


def _import(name: str) -> Any:
    cls = import_target(name, "model")
    if not callable(getattr(cls, "draw", None)):
        raise UsageError(f"model '{name}' has no method draw(prompt, seeds); see docs/models.md")
    return cls
