"""The conditions of the next step, handed to a pipeline by its own `callback_on_step_end`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ella.errors import UnsupportedPipelineError
from ella.step_conditions import GuidedConditions

StepCallback = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]


class NextStepConditions:
    """A `callback_on_step_end` that replaces `prompt_embeds` by those of the coming timestep.

    Args:
        conditions: The conditions of the whole schedule.
        repeats: How often the pipeline repeats each prompt: its images, or a video's frames.
        then: A callback of the user's. It runs after this one, sees the coming step's
            `prompt_embeds`, and what it returns wins.
    """

    def __init__(
        self,
        conditions: GuidedConditions,
        repeats: int = 1,
        then: StepCallback | None = None,
    ) -> None:
        self._conditions = conditions
        self._repeats = repeats
        self._then = then

    def __call__(
        self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]
    ) -> dict[str, Any]:
        """What the pipeline is to go on with.

        Raises:
            UnsupportedPipelineError: If the pipeline is not at the timestep that its conditions
                were made for, or stacks its conditions in another way than diffusers' own.
        """
        if step == 0:
            self._check_schedule(pipeline, timestep)
        if step + 1 < len(self._conditions.steps.timesteps):
            tensors["prompt_embeds"] = self._next(pipeline, step + 1, tensors["prompt_embeds"])
        if self._then is None:
            return {"prompt_embeds": tensors["prompt_embeds"]}
        changed = self._then(pipeline, step, timestep, tensors)
        return {"prompt_embeds": tensors["prompt_embeds"], **changed}

    def _next(self, pipeline: Any, step: int, current: Tensor) -> Tensor:
        positive, negative = self._conditions.at(step)
        stacked = positive
        if negative is not None and pipeline.do_classifier_free_guidance:
            stacked = torch.cat([negative, positive])
        coming = stacked.repeat_interleave(self._repeats, dim=0)
        if coming.shape != current.shape:
            raise UnsupportedPipelineError(
                f"{type(pipeline).__name__}: conditions of the shape {tuple(current.shape)} where"
                f" {tuple(coming.shape)} was expected; ELLA does not know how it stacks them"
            )
        return coming.to(current)

    def _check_schedule(self, pipeline: Any, timestep: Any) -> None:
        """At the first step only: the others follow from the same schedule, and looking waits."""
        expected = self._conditions.steps.timesteps
        if float(timestep) != expected[0] or pipeline.num_timesteps != len(expected):
            raise UnsupportedPipelineError(
                f"{type(pipeline).__name__}: it began at timestep {float(timestep):g} of"
                f" {pipeline.num_timesteps}, but its conditions were made for {expected[0]:g} of"
                f" {len(expected)}; ELLA cannot predict this pipeline's schedule"
            )
