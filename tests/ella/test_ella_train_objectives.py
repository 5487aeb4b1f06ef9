"""Each objective against one written by hand, and schedulers that are no objective's."""

from __future__ import annotations

import math
from dataclasses import replace

import diffusers
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler

from ella import tiny, train
from ella.training.objectives import SCHEDULES, Objective, schedule_kind
from ella.training.randomness import NoiseRule, draw_sample
from ella.training.run import build_trainer
from tests.ella.tiny_training import QUICK, TinyPairs, equal, run_tiny, write_folder

STEPS = torch.tensor([0, 1, 200, 500, 998, 999])


def samples():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, len(STEPS), 4, 2, 2, generator=generator)


def ddim(**changes):
    return DDIMScheduler.from_config(tiny.tiny_scheduler().config, **changes)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_matching_is_the_loss_written_by_hand(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    objective = Objective(scheduler)
    latents, noise, answer = samples()
    sigma = torch.arange(1, 1001) / 1000
    sigma = (shift * sigma / (1 + (shift - 1) * sigma))[STEPS].view(-1, 1, 1, 1)
    shown = objective.noisy(latents, noise, STEPS)
    torch.testing.assert_close(shown, (1 - sigma) * latents + sigma * noise, rtol=0, atol=1e-6)
    torch.testing.assert_close(objective.timesteps(STEPS), 1000 * sigma.flatten())
    by_hand = (answer - (noise - latents)).square().flatten(1).mean(1)
    error = objective.error(answer, latents, noise, STEPS)
    torch.testing.assert_close(error, by_hand, rtol=1e-6, atol=1e-6)
    # as diffusers itself makes noisy latents of its own timesteps
    own = scheduler.scale_noise(latents, scheduler.timesteps.flip(0)[STEPS], noise)
    torch.testing.assert_close(shown, own, rtol=0, atol=1e-5)


def test_a_whole_step_of_flow_matching_is_the_loss_written_by_hand(tmp_path):
    base = tiny.tiny_pipeline()
    base.scheduler = FlowMatchEulerDiscreteScheduler(shift=2.0)
    config = replace(QUICK, caption_dropout=0.0)
    trainer = build_trainer(
        base, tiny.tiny_text_encoder(), TinyPairs(), tmp_path, config,
        connector=tiny.tiny_connector(), progress=False,
    )  # fmt: skip
    trainer.prepare(tmp_path / "cache")
    (batch,) = next(trainer._steps())
    with torch.no_grad():
        loss = trainer.sample_losses(batch, trainer.model).mean()
        drawn = base.vae.encode(batch.pixels / 127.5 - 1).latent_dist
        latents = (drawn.mean + drawn.std * batch.latent_noise) * base.vae.config.scaling_factor
        sigma = (batch.timesteps + 1) / 1000
        sigma = 2 * sigma / (1 + sigma)
        tokens = torch.stack(tiny.tiny_text_encoder().encode(batch.texts, "fixed"))
        tokens = trainer.connector(tokens, 1000 * sigma)
        s = sigma.view(-1, 1, 1, 1)
        noisy = (1 - s) * latents + s * batch.noise
        answer = base.unet(noisy, 1000 * sigma, encoder_hidden_states=tokens).sample
        by_hand = (answer - (batch.noise - latents)).square().mean()
    assert float(loss) == pytest.approx(float(by_hand), abs=1e-6)


def test_sigmas_of_flow_in_a_scheduler_of_diffusion_are_flow():
    scheduler = UniPCMultistepScheduler(
        use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"
    )
    own, other = Objective(scheduler), Objective(FlowMatchEulerDiscreteScheduler(shift=3.0))
    assert own.prediction == "flow"
    assert own.identity() == other.identity()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("how", ["scheduler", "setting"])
def test_min_snr_with_zero_terminal_snr_is_finite_and_the_last_step_counts(prediction, how):
    scheduler = ddim(prediction_type=prediction, rescale_betas_zero_snr=how == "scheduler")
    objective = Objective(scheduler, 5.0, zero_terminal_snr=how == "setting")
    every = torch.arange(1000)
    weights = objective.weights(every)
    assert bool(weights.isfinite().all())
    assert float(weights.min()) > 0
    assert float(weights[-1]) == 1
    assert float((weights[1:] - weights[:-1]).min()) >= -1e-6  # no step stands out
    latents, noise, answer = samples()
    torch.testing.assert_close(objective.noisy(latents, noise, STEPS)[-1], noise[-1])
    assert bool(objective.error(answer, latents, noise, STEPS).isfinite().all())


def test_a_velocity_of_a_schedule_that_ends_in_noise_is_weighed_as_the_formula_says():
    scheduler = ddim(prediction_type="v_prediction", rescale_betas_zero_snr=True)
    alphas = scheduler.alphas_cumprod[STEPS]
    snr = alphas / (1 - alphas)
    expected = (snr + 1).clamp(max=5) / (snr + 1)
    torch.testing.assert_close(Objective(scheduler, 5.0).weights(STEPS), expected)


def test_min_snr_of_flow_weighs_the_picture_as_that_of_noise():
    objective = Objective(FlowMatchEulerDiscreteScheduler(), 5.0)
    weights = objective.weights(STEPS)
    sigma = (STEPS + 1) / 1000
    snr = ((1 - sigma) / sigma).square()
    torch.testing.assert_close(weights, snr.clamp(max=5) * sigma.square())
    assert bool(weights.isfinite().all())


def test_a_schedule_that_is_set_to_end_in_noise_does():
    """Also where the scheduler never said whether it should, so that a default stands for it."""
    objective = Objective(tiny.tiny_scheduler(), zero_terminal_snr=True)
    latents, noise, _ = samples()
    torch.testing.assert_close(objective.noisy(latents, noise, STEPS)[-1], noise[-1])
    plain = Objective(tiny.tiny_scheduler())
    assert float((plain.noisy(latents, noise, STEPS)[-1] - noise[-1]).abs().max()) > 0.01
    assert plain.num_timesteps == objective.num_timesteps == 1000
    assert plain.weights(STEPS).tolist() == [1] * len(STEPS)


def test_flow_without_a_shift_of_its_own_goes_straight():
    plain = Objective(FlowMatchEulerDiscreteScheduler(shift=1.0)).identity()
    by_latents = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    unshifted = UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=None)
    for num_steps in (1000, 10):
        scheduler = FlowMatchEulerDiscreteScheduler(num_train_timesteps=num_steps)
        assert Objective(scheduler).num_timesteps == num_steps
    assert Objective(by_latents).identity() == Objective(unshifted).identity() == plain


def test_an_answer_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="must be 'epsilon' or 'v_prediction', got 'sample'"):
        Objective(ddim(prediction_type="sample"))


def test_the_tables_go_where_the_training_is():
    objective = Objective(tiny.tiny_scheduler())
    assert objective.to(torch.device("meta")) is objective
    for table in (objective._signal_t, objective._noise_t, objective._timestep_t):
        assert table.device.type == "meta"


def test_the_table_names_classes_of_diffusers():
    assert [name for name in SCHEDULES if not hasattr(diffusers, name)] == []


def test_each_class_has_its_kind_of_noise():
    of_betas = [
        *("DDIM", "DDIMParallel", "DDPM", "DDPMParallel", "DEISMultistep", "DPMSolverMultistep"),
        *("DPMSolverSDE", "DPMSolverSinglestep", "EulerAncestralDiscrete", "EulerDiscrete"),
        *("HeunDiscrete", "KDPM2AncestralDiscrete", "KDPM2Discrete", "LMSDiscrete", "PNDM"),
        "UniPCMultistep",
    ]
    for name in of_betas:
        assert schedule_kind(f"{name}Scheduler", {}) == "diffusion"
    for name in ("FlowMatchEulerDiscrete", "FlowMatchHeunDiscrete"):
        assert schedule_kind(f"{name}Scheduler", {}) == "flow"
    assert schedule_kind("UniPCMultistepScheduler", {"use_flow_sigmas": True}) == "flow"
    assert len(SCHEDULES) == len(of_betas) + 2


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "LCMScheduler", "SCMScheduler"])
def test_other_schedulers_are_refused_by_class(name):
    with pytest.raises(ValueError, match=f"`scheduler` is a {name}, whose noise"):
        Objective(getattr(diffusers, name)())


@pytest.mark.parametrize("name", ["EDMEulerScheduler", "LCMScheduler"])
def test_a_folder_of_another_scheduler_is_one_line(tmp_path, name, capsys):
    base = tmp_path / "base"
    tiny.tiny_pipeline().save_pretrained(base)
    getattr(diffusers, name)().save_pretrained(base / "scheduler")
    write_folder(tmp_path / "data")
    words = [f"--base={base}", f"--text-encoder={tmp_path}", f"--data={tmp_path / 'data'}"]
    capsys.readouterr()
    assert train.main([*words, f"--out={tmp_path / 'out'}"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"scheduler_config.json: is of the class {name}" in error
    assert not (tmp_path / "out").exists()


def test_zero_terminal_snr_is_of_betas():
    with pytest.raises(ValueError, match="`zero_terminal_snr` rescales betas"):
        Objective(FlowMatchEulerDiscreteScheduler(), zero_terminal_snr=True)


@pytest.mark.parametrize(
    ("rule", "mean", "noisy"),
    [
        (NoiseRule(), 0.5, 0.1),
        (NoiseRule("logit-normal"), 0.5, 0.014),
        (NoiseRule("logit-normal", timestep_mean=1.0), 0.697, 0.116),
        (NoiseRule("cubic"), 0.75, 0.464),
    ],
)
def test_timesteps_are_drawn_as_set(rule, mean, noisy):
    where = {"latent_shape": (1, 1, 1), "num_timesteps": 1000, "dropout": 0.0}
    steps = torch.tensor(
        [draw_sample(0, n, **where, rule=rule).timestep for n in range(4000)]
    ).float()
    assert (steps.min() >= 0) & (steps.max() <= 999)
    assert float(steps.mean()) / 1000 == pytest.approx(mean, abs=0.02)
    assert float((steps >= 900).float().mean()) == pytest.approx(noisy, abs=0.02)


@pytest.mark.parametrize(
    ("rule", "timesteps"),
    [
        (NoiseRule(), [992, 757, 997]),
        (NoiseRule("logit-normal"), [113, 411, 460]),
        (NoiseRule("logit-normal", timestep_mean=0.5, timestep_std=2.0), [26, 446, 546]),
        (NoiseRule("cubic"), [625, 999, 942]),
    ],
)
def test_the_timesteps_of_runs_already_made(rule, timesteps):
    """Golden: a run that was begun must be resumed with the timesteps it would have had."""
    where = {"latent_shape": (1, 1, 2), "num_timesteps": 1000, "dropout": 0.5}
    assert [draw_sample(3, n, **where, rule=rule).timestep for n in (5, 6, 7)] == timesteps


def test_the_offset_noise_of_runs_already_made():
    where = {"latent_shape": (2, 1, 1), "num_timesteps": 1000, "dropout": 0.5}
    plain, moved = (
        draw_sample(3, 5, **where, rule=NoiseRule(offset_noise=x)).noise.flatten() for x in (0, 0.1)
    )
    assert (moved - plain).tolist() == pytest.approx([-0.010428, 0.009757], abs=1e-6)


@pytest.mark.parametrize(("mean", "timestep"), [(100.0, 999), (-100.0, 0)])
def test_the_last_step_is_drawn_and_none_beyond(mean, timestep):
    where = {"latent_shape": (1,), "num_timesteps": 1000, "dropout": 0.0}
    rule = NoiseRule("logit-normal", timestep_mean=mean)
    assert {draw_sample(0, n, **where, rule=rule).timestep for n in range(5)} == {timestep}


def test_the_settings_of_a_training_are_those_of_its_noise():
    config = replace(
        QUICK, timestep_sampling="cubic", timestep_mean=0.1, timestep_std=0.2, offset_noise=0.3
    )
    assert NoiseRule.of(config) == NoiseRule("cubic", 0.1, 0.2, 0.3)
    assert NoiseRule.of(QUICK) == NoiseRule()


def test_offset_noise_moves_whole_channels():
    where = {"latent_shape": (4, 8, 8), "num_timesteps": 1000, "dropout": 0.0}
    plain = [draw_sample(0, n, **where) for n in range(300)]
    moved = [draw_sample(0, n, **where, rule=NoiseRule(offset_noise=0.1)) for n in range(300)]
    offsets = torch.stack([m.noise - p.noise for m, p in zip(moved, plain, strict=True)])
    spread = offsets.amax((2, 3)) - offsets.amin((2, 3))
    assert float(spread.max()) < 1e-6
    assert float(offsets[..., 0, 0].std()) == pytest.approx(0.1, rel=0.1)
    for m, p in zip(moved, plain, strict=True):
        assert m.timestep == p.timestep
        assert torch.equal(m.latent_noise, p.latent_noise)


@pytest.mark.parametrize(
    "change",
    [{"offset_noise": 0.1}, {"zero_terminal_snr": True}, {"timestep_sampling": "cubic"}],
)
def test_objective_settings_matter_and_are_kept(tmp_path, change):
    plain = run_tiny(tmp_path / "plain", replace(QUICK, steps=2))
    assert not equal(plain, run_tiny(tmp_path / "other", replace(QUICK, steps=2, **change)))
    with pytest.raises(ValueError, match="made with other settings"):
        run_tiny(tmp_path / "other", replace(QUICK, steps=3))


def test_checkpoints_from_before_the_settings_resume():
    assert {"offset_noise", "timestep_std"}.isdisjoint(QUICK.binding())
    assert replace(QUICK, timestep_std=0.5).binding()["timestep_std"] == 0.5
    assert math.isclose(QUICK.timestep_std, 1.0)
