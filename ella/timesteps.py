"""The timesteps that a pipeline is about to use, told before it starts.

diffusers takes the first step's conditions when a call begins, before it has made its schedule.
So the schedule is made here first, by the pipeline's own methods, and the pipeline makes it again;
`ella.callback` checks that the two agree.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps

from ella.errors import UnsupportedPipelineError

if TYPE_CHECKING:
    import torch

NEEDED_PARAMETERS = ("prompt_embeds", "negative_prompt_embeds", "callback_on_step_end")
DEPRECATED_PARAMETERS = {"callback", "callback_steps"}
OWN_PARAMETERS = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")


def call_arguments(pipeline: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`overrides` over the defaults of the pipeline's `__call__`.

    Raises:
        UnsupportedPipelineError: If the pipeline cannot be given other conditions at each step.
        ValueError: If `overrides` holds what ella itself passes.
        TypeError: If the pipeline takes no argument of such a name.
    """
    name = type(pipeline).__name__
    parameters = inspect.signature(type(pipeline).__call__).parameters
    replaceable = getattr(pipeline, "_callback_tensor_inputs", ())
    missing = [needed for needed in NEEDED_PARAMETERS if needed not in parameters]
    if missing or "prompt_embeds" not in replaceable:
        raise UnsupportedPipelineError(
            f"{name}: its conditions cannot be changed at each step (missing:"
            f" {', '.join(missing) or 'prompt_embeds in callback_on_step_end'}); use a Stable"
            " Diffusion 1.x pipeline of diffusers"
        )
    for own in OWN_PARAMETERS:
        if overrides.get(own) is not None:
            raise ValueError(f"`{own}` is computed by ELLA, got {type(overrides[own]).__name__}")
    # The pipelines take any keyword and ignore what they do not know: a misspelt one goes unseen.
    unknown = sorted(overrides.keys() - parameters.keys() - DEPRECATED_PARAMETERS)
    if unknown:
        raise TypeError(f"{name} takes no argument `{unknown[0]}`, got {overrides[unknown[0]]!r}")
    return {key: p.default for key, p in parameters.items()} | dict(overrides)


def predict_timesteps(
    pipeline: Any, arguments: Mapping[str, Any], device: torch.device
) -> list[float]:
    """What the U-Net will be given at each step of a call with these arguments, in order.

    Covers custom `timesteps` and `sigmas`, schedulers that call the U-Net more often than there
    are steps (Heun, PNDM), and the `strength` of image-to-image and inpainting.

    Raises:
        ValueError: If the scheduler or the strength leaves no step.
    """
    timesteps, num_steps = retrieve_timesteps(
        pipeline.scheduler,
        arguments["num_inference_steps"],
        device,
        arguments.get("timesteps"),
        arguments.get("sigmas"),
    )
    strength = arguments.get("strength")
    if strength is not None and hasattr(pipeline, "get_timesteps"):
        timesteps, num_steps = pipeline.get_timesteps(num_steps, strength, device)
    if len(timesteps) == 0:
        raise ValueError(
            f"`num_inference_steps` {arguments['num_inference_steps']} and `strength` {strength}"
            " leave no step; raise one of them"
        )
    return [float(timestep) for timestep in timesteps.tolist()]
