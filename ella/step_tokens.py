"""Pipelines that offer no callback after a step (PixArt's): their network is handed its tokens.

A copy of the pipeline, for one call, has `TokensOfStep` in the place of its transformer; the
network itself, and the pipeline, stay as they are.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ella.errors import UnsupportedPipelineError
from ella.step_conditions import GuidedConditions

NETWORK = "transformer"


class TokensOfStep:
    """Looks like a transformer, and calls it with the tokens of the timestep that it is called for.

    Args:
        network: A transformer of diffusers.
        conditions: The conditions of the whole schedule.
        repeats: How often the pipeline repeats each prompt.
    """

    def __init__(self, network: Any, conditions: GuidedConditions, repeats: int) -> None:
        self._network = network
        self._conditions = conditions
        self._repeats = repeats
        timesteps = conditions.steps.timesteps
        self._step_of = {timestep: i for i, timestep in reversed(list(enumerate(timesteps)))}

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance() is asked by pipelines
        return type(self._network)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """What the network gives with the tokens of `timestep`.

        Raises:
            UnsupportedPipelineError: If the schedule that the tokens were made for has no such
                timestep, or the pipeline stacks its conditions in another way.
        """
        timestep = float(named["timestep"].flatten()[0])
        if timestep not in self._step_of:
            raise UnsupportedPipelineError(
                f"a network was called at timestep {timestep:g}, which is not of the schedule that"
                " its conditions were made for; ELLA cannot predict this pipeline's schedule"
            )
        tokens = self._tokens(self._step_of[timestep])
        current = named["encoder_hidden_states"]
        if tokens.shape != current.shape:
            raise UnsupportedPipelineError(
                f"conditions of the shape {tuple(current.shape)} where {tuple(tokens.shape)} was"
                " expected; ELLA does not know how this pipeline stacks them"
            )
        named["encoder_hidden_states"] = tokens.to(current)
        return self._network(*arguments, **named)

    def _tokens(self, step: int) -> Tensor:
        positive, negative = self._conditions.at(step)
        stacked = positive if negative is None else torch.cat([negative, positive])
        return stacked.repeat_interleave(self._repeats, dim=0)


def draw_by_network(
    pipeline: Any, conditions: GuidedConditions, repeats: int, passed: dict[str, Any]
) -> Any:
    """What the pipeline returns, its transformer given the tokens of each step.

    Args:
        pipeline: Of PixArt.
        conditions: The conditions of the whole schedule.
        repeats: How often the pipeline repeats each prompt.
        passed: Arguments of its call, with those of the first step.
    """
    own = copy.copy(pipeline)
    vars(own)[NETWORK] = TokensOfStep(getattr(pipeline, NETWORK), conditions, repeats)
    # The original re-installs its offloading itself, on its own networks.
    vars(own)["maybe_free_model_hooks"] = lambda: None
    drawn = own(**passed, **_masks(conditions))
    pipeline.maybe_free_model_hooks()
    return drawn


def _masks(conditions: GuidedConditions) -> dict[str, Any]:
    """Which tokens are read: all that a text has, not the zeros after a shorter one's."""
    positive, negative = conditions.at(0)
    masks: dict[str, Any] = {
        "negative_prompt": None,
        "prompt_attention_mask": _mask(positive, conditions.positive_counts),
    }
    if negative is not None:
        masks["negative_prompt_attention_mask"] = _mask(negative, conditions.negative_counts)
    return masks


def _mask(tokens: Tensor, counts: list[int]) -> Tensor:
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return (places[None] < torch.tensor(counts, device=tokens.device)[:, None]).to(tokens)
