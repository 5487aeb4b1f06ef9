"""Checkpoints: all that the next step needs, in one safetensors file that is whole or not there.

Weights, their running mean, AdamW's moments, the loss scaler's state and the step's number.
No generator's state: randomness follows from sample numbers (`ella.training.randomness`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ella.errors import ResumeError, one_line
from ella.files import write_tensors
from ella.training.config import CHANGEABLE, TrainConfig

_NAME = re.compile(r"step-(\d{8,})\.safetensors")
WEIGHTS, MEAN, MOMENTS = "weights", "mean", "moments"


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes:
        step: Steps done.
        settings: What the run was started with.
        scaler: State of the loss scaler; empty without one.
        tensors: By kind and name: `weights/...`, `mean/...`, `moments/<moment>/...`.
    """

    step: int
    settings: dict[str, Any]
    scaler: dict[str, Any]
    tensors: dict[str, Tensor]

    def of(self, kind: str) -> dict[str, Tensor]:
        """The tensors of a kind, by name."""
        start = f"{kind}/"
        return {n.removeprefix(start): t for n, t in self.tensors.items() if n.startswith(start)}


class RunningMean:
    """The exponential moving average of a network's weights, in float32.

    Args:
        network: Its weights are the first mean.
        decay: Reached slowly, as (1 + step) / (10 + step): a young mean forgets its start soon.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {n: t.detach().float().clone() for n, t in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        new = [tensor.detach().float() for tensor in network.state_dict().values()]
        torch._foreach_lerp_(list(self.tensors.values()), new, 1 - decay)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Become another mean of the same names."""
        for name, mean in self.tensors.items():
            mean.copy_(tensors[name])


def moments_of(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """AdamW's state as `<moment>/<parameter>`; `names` in the order of its parameters."""
    state = optimizer.state_dict()["state"]
    return {
        f"{moment}/{names[i]}": tensor
        for i, moments in state.items()
        for moment, tensor in moments.items()
    }


def load_moments(
    optimizer: torch.optim.Optimizer, names: list[str], moments: Mapping[str, Tensor]
) -> None:
    """Put what `moments_of` gave back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        moment, name = key.split("/", 1)
        state.setdefault(names.index(name), {})[moment] = tensor
    optimizer.load_state_dict(
        {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}
    )


class Checkpoints:
    """The checkpoints of a run, `step-<steps done>.safetensors` in a folder."""

    def __init__(self, folder: Path, keep_last: int) -> None:
        self.folder = folder
        self.keep_last = keep_last

    def steps(self) -> dict[int, Path]:
        """The files by steps done, oldest first."""
        named = [
            (match, path) for path in self.folder.glob("*") if (match := _NAME.fullmatch(path.name))
        ]
        return dict(sorted((int(match[1]), path) for match, path in named))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, then delete those before the last few.

        Raises:
            OSError: If it cannot be written; the others are untouched.
        """
        path = self.folder / f"step-{checkpoint.step:08d}.safetensors"
        about = {"step": checkpoint.step, "settings": checkpoint.settings}
        write_tensors(path, checkpoint.tensors, about | {"scaler": checkpoint.scaler})
        for _, old in list(self.steps().items())[: -self.keep_last]:
            old.unlink(missing_ok=True)

    def last_settings(self) -> dict[str, Any] | None:
        """What the newest was made with, as `translated` gives it; None without any.

        Raises:
            ResumeError: If it cannot be read.
        """
        steps = self.steps()
        return translated(_read(steps[max(steps)], whole=False).settings) if steps else None

    def load_last(
        self, settings: Mapping[str, Any], allowed: Collection[str] = ()
    ) -> Checkpoint | None:
        """The newest, or None without any.

        Args:
            settings: Of the run that goes on.
            allowed: Settings that may differ.

        Raises:
            ResumeError: If it is of other settings, which are named, or cannot be read.
        """
        steps = self.steps()
        if not steps:
            return None
        path = steps[max(steps)]
        checkpoint = _read(path)
        old = translated(checkpoint.settings)
        differences = settings_differ(old, settings, allowed)
        if differences:
            names = {one.partition(":")[0] for one in differences}
            free = sorted(name for name in names if name in _may_be_allowed())
            how = f", or allow the change (--allow {','.join(free)})" if names == {*free} else ""
            raise ResumeError(
                f"{path}: made with other settings ({'; '.join(differences)}); go back to those,"
                f" or train into another folder{how}"
            )
        return checkpoint


def _may_be_allowed() -> set[str]:
    return {*CHANGEABLE, *(one.name for one in fields(TrainConfig))}


def translated(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a checkpoint in today's words.

    Before there was a global batch, its parts were settings.
    """
    old = dict(settings)
    parts = [old.pop(name, None) for name in ("batch_size", "accumulation", "processes")]
    if "global_batch" not in old and all(type(part) is int for part in parts):
        old["global_batch"] = math.prod(part for part in parts if part is not None)
    return old


def settings_differ(
    old: Mapping[str, Any], new: Mapping[str, Any], allowed: Collection[str] = ()
) -> list[str]:
    """`name: old -> new` for each setting that is not the same and must be.

    A setting that one of them does not name has its default.
    """
    defaults = {one.name: one.default for one in fields(TrainConfig)}
    both = {
        name: (old.get(name, defaults.get(name)), new.get(name, defaults.get(name)))
        for name in sorted({*old, *new} - set(allowed))
    }
    return [f"{name}: {one} -> {other}" for name, (one, other) in both.items() if one != other]


def _read(path: Path, *, whole: bool = True) -> Checkpoint:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["ella"])
            # Copied: a tensor within the mapped file is unaligned, and the file may be deleted.
            names = list(file.keys()) if whole else []
            tensors = {name: file.get_tensor(name).clone() for name in names}
        step, settings, scaler = about["step"], about["settings"], about["scaler"]
        if type(step) is not int or not isinstance(settings, dict) or not isinstance(scaler, dict):
            raise TypeError("its step, settings or scaler are of another type")
        return Checkpoint(step, settings, scaler, tensors)
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, RecursionError) as error:
        raise ResumeError(
            f"{path}: damaged ({one_line(error)}); delete it to resume from the one before"
        ) from error
