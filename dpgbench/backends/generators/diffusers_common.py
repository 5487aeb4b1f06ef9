"""What all diffusers back ends share: schedulers, seeds, cut prompts, loading."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.entries import ModelEntry
from dpgbench.backends.loading import loading, quiet
from dpgbench.backends.protocols import Truncation
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import SetupError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def build_scheduler(spec: GenerationSpec) -> Any:
    """Return the diffusers scheduler that the specification names, with its arguments.

    Raises:
        UsageError: diffusers has no such scheduler.
    """
    return _scheduler(spec.scheduler or "", spec.scheduler_config)


def full_scheduler_config(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return every argument of a scheduler: those of `config`, and the library's for the rest.

    So the specification holds what the library would otherwise take silently. Infinities are
    words (``-inf``), because JSON has none.

    Raises:
        UsageError: diffusers has no such scheduler.
    """
    whole = dict(_scheduler(name, config).config)
    public = {key: value for key, value in whole.items() if not key.startswith("_")}
    return {key: _plain(value) for key, value in sorted(public.items())}


def check_size(spec: GenerationSpec, multiple: int) -> None:
    """Raise where a size cannot be drawn.

    Raises:
        UsageError: width or height is no multiple of what the network needs.
    """
    for name, size in (("width", spec.width_px), ("height", spec.height_px)):
        if size % multiple:
            raise UsageError(f"--{name} {size}: {spec.model} draws multiples of {multiple} px")


def _scheduler(name: str, config: Mapping[str, Any]) -> Any:
    import diffusers

    scheduler = getattr(diffusers, name, None)
    if scheduler is None or not hasattr(scheduler, "from_config"):
        raise UsageError(f"scheduler '{name}' is not one of diffusers' schedulers")
    return scheduler(
        **{
            key: _INFINITIES.get(value, value) if isinstance(value, str) else value
            for key, value in config.items()
        }
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return list(value) if isinstance(value, tuple) else value


def generators(seeds: Sequence[int]) -> list[Any]:
    """Return a CPU generator for each seed: noise does not depend on batch or device."""
    import torch

    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def by_prompt(images: Sequence[Image], seeds: Sequence[Sequence[int]]) -> list[list[Image]]:
    """Return the images of a call for each of its prompts, which they follow in order.

    Where they are too few or too many, the last prompt's are.
    """
    parts, first = [], 0
    for own in seeds[:-1]:
        parts.append(list(images[first : first + len(own)]))
        first += len(own)
    return [*parts, list(images[first:])]


def find_cut(tokenizer: Any, limit: int, prompts: Sequence[str]) -> Truncation:
    """Return which prompts have more than `limit` tokens, special ones included."""
    lengths = [len(ids) for ids in tokenizer(list(prompts), verbose=False).input_ids]
    return Truncation(limit, tuple(i for i, length in enumerate(lengths) if length > limit))


def parameters_of(parts: Mapping[str, Any]) -> dict[str, int]:
    """Return how many parameters each part that is a network has."""
    import torch

    return {
        name: sum(parameter.numel() for parameter in part.parameters())
        for name, part in sorted(parts.items())
        if isinstance(part, torch.nn.Module)
    }


@contextlib.contextmanager
def loading_model(entry: ModelEntry) -> Iterator[None]:
    """Turn what a library raises about weights into one line.

    Raises:
        SetupError: names the model, the reason and the roles that can be given.
    """
    roles = ", ".join(f"--weights {role.name}=PATH ({role.what})" for role in entry.roles)
    remedy = f"check {roles}" if roles else "this is a bug: please report it"
    ships = entry.world is not None
    with loading(f"model {entry.name}", remedy), quiet("diffusers", "transformers", bars=not ships):
        try:
            yield
        except NameError as error:
            if not _in_diffusers(error):
                raise
            raise SetupError(
                f"model {entry.name} needs a package that is not installed: diffusers has no "
                f"{error.name} without it (OmniGen: pip install torchvision)"
            ) from error


def _in_diffusers(error: BaseException) -> bool:
    """Return whether an error is of diffusers' own code: it leaves out what lacks a package."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "diffusers" in Path(frames[-1].filename).parts
