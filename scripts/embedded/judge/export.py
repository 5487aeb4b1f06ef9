"""From trained weights to the judge's folder: calibrated, in float16, by the published names."""
# ruff: noqa: N803

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file
from torch import Tensor

from dpgbench.mplug.checkpoint import CONVERTED_FILE
from dpgbench.mplug.config import MplugConfig
from dpgbench.mplug.model import Mplug
from dpgbench.mplug.names import published_name
from scripts.embedded.judge.sizes import write_texts

NEVER_SAID_BIAS: Final = -30.0
"""Bias of all tokens that are no part of an answer."""


def export(network: Mplug, folder: Path, temperature: float, yes_no: tuple[int, int]) -> None:
    """Write the judge's folder in place of what is there; its log-odds are divided."""
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(unfinished, ignore_errors=True)
    write_texts(unfinished)
    tensors = published_tensors(network, temperature, yes_no)
    weights = unfinished / CONVERTED_FILE
    save_file(tensors, weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    before = folder.with_name(f"{folder.name}.{os.getpid()}.before")
    if folder.exists():
        folder.rename(before)
    unfinished.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def published_tensors(
    network: Mplug, temperature: float, yes_no: tuple[int, int]
) -> dict[str, Tensor]:
    """Float16 tensors by published name, with the temperature in them.

    The head's last LayerNorm is divided, which divides all logits but for their bias; the bias of
    the answer's tokens is divided too, that of the end token kept high.
    """
    config: MplugConfig = network.config
    state = {name: tensor.detach().float() for name, tensor in network.state_dict().items()}
    for name in ("decoder.head_norm.weight", "decoder.head_norm.bias"):
        state[name] = state[name] / temperature
    bias = state["decoder.bias"] / temperature
    spoken = [*yes_no, config.search.end_id]
    yes_no_bias = bias[spoken]
    bias = torch.full_like(bias, NEVER_SAID_BIAS)
    bias[spoken] = yes_no_bias
    state["decoder.bias"] = bias
    return {
        published_name(name, config): tensor.to(torch.float16).contiguous()
        for name, tensor in state.items()
    }


def best_temperature(log_odds_S: Tensor, is_yes_S: Tensor) -> float:
    """The divisor of the log-odds of "yes" with the lowest cross-entropy, from 0.5 to 3."""
    choices = torch.linspace(0.5, 3.0, 101)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(
        log_odds_S[None] / choices[:, None],
        is_yes_S.float().expand(len(choices), -1),
        reduction="none",
    ).mean(1)
    return float(choices[losses.argmin()])
