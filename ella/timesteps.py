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

from ella.supported import check_pipeline_class

if TYPE_CHECKING:
    import torch

DEPRECATED_PARAMETERS = {"callback", "callback_steps"}
OWN_PARAMETERS = ("prompt", "prompt_embeds", "negative_prompt", "negative_prompt_embeds")


def call_arguments(pipeline: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`overrides` over the defaults of the pipeline's `__call__`.

    Raises:
        UnsupportedPipelineError: If the pipeline cannot be given other conditions at each step.
        ValueError: If `overrides` holds what ella itself passes.
        TypeError: If the pipeline takes no argument of such a name.
    """
    check_pipeline_class(pipeline)
    name = type(pipeline).__name__
    parameters = inspect.signature(type(pipeline).__call__).parameters
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
    are steps (Heun, PNDM), the `strength` of image-to-image and inpainting, and SDXL's
    `denoising_start` and `denoising_end`.

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
        start = _share(arguments.get("denoising_start"))
        more = {} if start is None else {"denoising_start": start}
        timesteps, num_steps = pipeline.get_timesteps(num_steps, strength, device, **more)
    end = _share(arguments.get("denoising_end"))
    if end is not None:
        # As SDXL's pipelines count it: steps above the cut, from the schedule's beginning on.
        num_train = pipeline.scheduler.config.num_train_timesteps
        cut = round(num_train - end * num_train)
        timesteps = timesteps[: int((timesteps >= cut).sum())]
    if len(timesteps) == 0:
        raise ValueError(
            f"`num_inference_steps` {arguments['num_inference_steps']} and `strength` {strength}"
            " leave no step; raise one of them (or `denoising_end`)"
        )
    return [float(timestep) for timestep in timesteps.tolist()]


def _share(value: Any) -> float | None:
    """A share of the schedule as SDXL's pipelines take it: a float between 0 and 1, or nothing."""
    return value if isinstance(value, float) and 0 < value < 1 else None
