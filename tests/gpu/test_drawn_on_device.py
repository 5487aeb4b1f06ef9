"""The shipped model and BLIP-VQA's golden values on an accelerator, float32: `pytest -m gpu`."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from dpgbench.backends.generators.plan import GeneratorRequest, make_plan
from dpgbench.backends.generators.stable_diffusion import EllaStableDiffusion
from dpgbench.compbench.blip import BlipVqa
from dpgbench.compbench.questions import kept_chunks, question_of
from ella.training.objectives import Objective
from tests.compbench.small_networks import golden_blip, golden_picture, write_blip

pytestmark = pytest.mark.gpu
PROMPTS = [
    f"a {colour} {shape} left of a {other} square"
    for colour, other in (("red", "blue"), ("green", "red"), ("yellow", "green"), ("blue", "red"))
    for shape in ("circle", "square", "triangle", "star")
]


def shipped(device: str) -> EllaStableDiffusion:
    settings = {"steps": 3, "dtype": "float32"}
    generator = make_plan(GeneratorRequest("tiny-ella-sd15", settings=settings, device=device))
    loaded = generator.load()
    assert isinstance(loaded, EllaStableDiffusion)
    return loaded


def drawn(generator: EllaStableDiffusion, at_once: int) -> np.ndarray[Any, Any]:
    images: list[Any] = []
    for first in range(0, len(PROMPTS), at_once):
        part = PROMPTS[first : first + at_once]
        seeds = [(first + number,) for number in range(len(part))]
        images += [one for own in generator.draw_together(part, seeds) for one in own]
    return np.stack([np.asarray(image, dtype=int) for image in images])


def test_batches_of_1_4_and_16_prompts_draw_the_same(device: str) -> None:
    generator = shipped(device)
    alone = drawn(generator, 1)
    assert alone.std() > 20
    assert {int(np.abs(drawn(generator, at_once) - alone).max()) for at_once in (4, 16)} <= {0, 1}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_compiled_networks_draw_the_same(device: str) -> None:
    generator = shipped(device)
    usual = drawn(generator, 4)
    generator.compile()
    apart = np.abs(drawn(generator, 4) - usual)
    print(f"\ncompiled: largest difference of a pixel {apart.max()} of 255")
    assert apart.max() <= 2
    assert apart.mean() < 0.02


def test_blip_gives_the_reference_answers(device: str, tmp_path: Any) -> None:
    golden = golden_blip()
    vqa = BlipVqa.from_folder(write_blip(tmp_path / "judge"), device=device)
    recipes = golden["images"]
    answers = vqa.ask(
        [vqa.prepare(golden_picture(recipe)) for recipe in recipes],
        [[question_of(chunk) for chunk in kept_chunks(recipe["chunks"])] for recipe in recipes],
    )
    for recipe, of_one in zip(recipes, answers, strict=True):
        for answer, one in zip(of_one, recipe["questions"], strict=True):
            assert answer.logits == pytest.approx((one["logit_yes"], one["logit_no"]), abs=2e-4)
            assert answer.p_yes == pytest.approx(one["p"], abs=2e-5)


@pytest.mark.parametrize(
    ("scheduler", "gamma", "zero"),
    [
        (diffusers.DDPMScheduler(), 0.0, False),
        (diffusers.DDPMScheduler(), 5.0, True),
        (diffusers.DDPMScheduler(prediction_type="v_prediction"), 5.0, True),
        (diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0), 5.0, False),
    ],
    ids=["noise", "noise-zero-snr", "velocity-zero-snr", "flow"],
)
def test_objectives_are_those_of_the_cpu(
    device: str, scheduler: Any, gamma: float, *, zero: bool
) -> None:
    generator = torch.Generator().manual_seed(1)
    latents, noise, answer = torch.randn(3, 4, 4, 8, 8, generator=generator)
    steps = torch.tensor([0, 300, 700, 999])

    def losses(where: str) -> torch.Tensor:
        objective = Objective(scheduler, gamma, zero_terminal_snr=zero).to(torch.device(where))
        tensors = [tensor.to(where) for tensor in (answer, latents, noise, steps)]
        shown = objective.noisy(*tensors[1:])
        return torch.stack([objective.error(*tensors), shown.square().mean((1, 2, 3))]).cpu()

    ours = losses(device)
    assert ours.isfinite().all()
    torch.testing.assert_close(ours, losses("cpu"), rtol=1e-4, atol=1e-6)
