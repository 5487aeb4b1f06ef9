"""What all diffusers back ends share: schedulers, seeds, cut prompts, load errors."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dpgbench.backends.memory import is_out_of_memory
from dpgbench.backends.protocols import ModelEntry, Truncation
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import DpgBenchError, SetupError, UsageError, reason_of

_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


def build_scheduler(spec: GenerationSpec) -> Any:
    """Return the diffusers scheduler that the specification names, with its arguments.

    Raises:
        UsageError: diffusers has no such scheduler.
    """
    return _scheduler(spec.scheduler or "", spec.scheduler_config)


def full_scheduler_config(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
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


def find_cut(tokenizer: Any, limit: int, prompts: Sequence[str]) -> Truncation:
    """Return which prompts have more than `limit` tokens, special ones included."""
    lengths = [len(ids) for ids in tokenizer(list(prompts), verbose=False).input_ids]
    return Truncation(limit, tuple(i for i, length in enumerate(lengths) if length > limit))


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Run tiny networks on one core: threads cost them more than they bring."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def loading(entry: ModelEntry) -> Iterator[None]:
    """Turn what a library raises about weights into one line.

    Raises:
        SetupError: names the model, the reason and the roles that can be given.
    """
    try:
        with _without_bars() if entry.world else contextlib.nullcontext():
            yield
    except DpgBenchError:
        raise
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
        AttributeError,
        ImportError,
        MemoryError,
    ) as error:
        if is_out_of_memory(error):
            raise SetupError(
                f"model {entry.name} does not fit into memory ({reason_of(error)}); take "
                "half the precision (--dtype float16 or bfloat16), or a device with more memory"
            ) from error
        raise SetupError(
            f"model {entry.name} cannot be loaded: {reason_of(error)}; {_remedy(entry)}"
        ) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("safetensors", "safetensors_rust"):
            raise
        raise SetupError(
            f"model {entry.name} cannot be loaded: a safetensors file is cut off or damaged "
            f"({error}); {_remedy(entry)}"
        ) from error


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """Weights that ship are there in a fraction of a second: the libraries' bars only flicker."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [of for of in (of_diffusers, of_transformers) if of.is_progress_bar_enabled()]
    for of in shown:
        of.disable_progress_bar()
    try:
        yield
    finally:
        for of in shown:
            of.enable_progress_bar()


def _remedy(entry: ModelEntry) -> str:
    roles = ", ".join(f"--weights {role.name}=PATH ({role.what})" for role in entry.roles)
    return f"check {roles}" if roles else "this is a bug: please report it"
