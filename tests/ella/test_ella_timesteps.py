"""Which steps a call will take, asked before it begins; SDXL's own rules decide."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline

from ella import tiny
from ella.errors import UnsupportedPipelineError
from ella.timesteps import call_arguments, predict_timesteps

ALL = [float(timestep) for timestep in range(901, 0, -100)]


class FromPicture:
    """SDXL's own choice of steps, without the networks that it does not look at."""

    get_timesteps = StableDiffusionXLImg2ImgPipeline.get_timesteps

    def __init__(self):
        self.scheduler = tiny.tiny_scheduler()


def steps_of(pipeline, **arguments):
    arguments = {"num_inference_steps": 10} | arguments
    return predict_timesteps(pipeline, arguments, torch.device("cpu"))


@pytest.mark.parametrize(
    ("end", "steps"),
    [
        *[(None, 10), (0.0, 10), (1.0, 10), (1.5, 10), (1, 10)],
        *[(0.5, 5), (0.499, 5), (0.498, 4), (0.6, 6), (0.25, 2)],
    ],
)
def test_a_drawing_ends_at_its_share_of_the_schedule(end, steps):
    """The step at the cut itself is taken: 501 of 1,000 for a share of 0.499."""
    pipeline = SimpleNamespace(scheduler=tiny.tiny_scheduler())
    assert steps_of(pipeline, denoising_end=end) == ALL[:steps]


@pytest.mark.parametrize("start", [None, 0.0, 1.0, 1.5, 1])
def test_no_share_of_the_schedule_leaves_the_start_to_the_strength(start):
    assert steps_of(FromPicture(), strength=0.6, denoising_start=start) == ALL[4:]


def test_a_share_of_the_schedule_takes_the_place_of_the_strength():
    assert steps_of(FromPicture(), strength=0.6, denoising_start=0.2) == ALL[2:]
    both = steps_of(FromPicture(), strength=0.6, denoising_start=0.2, denoising_end=0.5)
    assert both == ALL[2:5]


def test_a_strength_counts_where_the_pipeline_asks_for_one():
    assert steps_of(FromPicture()) == ALL
    assert steps_of(SimpleNamespace(scheduler=tiny.tiny_scheduler()), strength=0.6) == ALL


def test_one_step_is_enough_and_none_is_not():
    assert steps_of(FromPicture(), strength=0.1) == ALL[9:]
    with pytest.raises(ValueError, match=r"10 and `strength` 0\.05 leave no step"):
        steps_of(FromPicture(), strength=0.05)


def test_what_a_call_is_given_goes_over_what_it_has_by_default():
    pipeline = tiny.tiny_pipeline()
    arguments = call_arguments(pipeline, {"num_inference_steps": 3, "prompt": None})
    assert arguments["num_inference_steps"] == 3
    assert arguments["guidance_scale"] == 7.5
    assert call_arguments(pipeline, {})["num_inference_steps"] == 50
    assert type(pipeline) is StableDiffusionPipeline
    assert call_arguments(pipeline, {"callback_steps": 2})["callback_steps"] == 2
    with pytest.raises(ValueError, match="`prompt` is computed by ELLA, got str"):
        call_arguments(pipeline, {"prompt": "a dog"})
    with pytest.raises(TypeError, match="takes no argument `guidance`, got 3"):
        call_arguments(pipeline, {"guidance": 3})


@pytest.mark.parametrize("setting", ["free_noise_enabled", "free_init_enabled"])
def test_what_was_switched_on_since_is_refused_at_a_call(setting):
    class Changed(StableDiffusionPipeline):
        def __init__(self):  # no networks: the class and this setting alone are looked at
            pass

    setattr(Changed, setting, True)
    with pytest.raises(UnsupportedPipelineError, match=setting.removesuffix("_enabled")):
        call_arguments(Changed(), {})
