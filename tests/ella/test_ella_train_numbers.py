"""Numbers of training that no error would tell: rates, clipping, decay, draws, what is logged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ella import tiny
from ella.data.order import PermutedOrder
from ella.step_conditions import StepConditions
from ella.training import tally as tally_module
from ella.training import trainer as trainer_module
from ella.training.randomness import draw_sample
from ella.training.run import build_trainer
from tests.ella.tiny_training import QUICK, TinyPairs, far, metrics, run_tiny

PLAIN = replace(QUICK, steps=1, weight_decay=0.0, learning_rate=1e-3)


def start():
    return tiny.tiny_connector().state_dict()


def new_trainer(out, config):
    return build_trainer(
        tiny.tiny_pipeline(),
        tiny.tiny_text_encoder(),
        TinyPairs(),
        out,
        config,
        connector=tiny.tiny_connector(),
        progress=False,
    )


@pytest.mark.parametrize(("warmup", "rate"), [(0, 1e-3), (4, 0.25e-3)])
def test_the_first_step_is_as_long_as_its_learning_rate(tmp_path, warmup, rate):
    # AdamW's first step is the learning rate wherever there is a gradient
    weights = run_tiny(tmp_path, replace(PLAIN, warmup_steps=warmup))
    assert far(weights, start()) == pytest.approx(rate, rel=0.01)
    assert metrics(tmp_path)[0]["learning_rate"] == pytest.approx(rate)


def test_each_step_has_the_learning_rate_that_is_logged(tmp_path):
    config = replace(QUICK, steps=6, warmup_steps=4)
    trainer = new_trainer(tmp_path, config)
    trainer.prepare(tmp_path / "cache")
    used = []
    real = trainer.optimizer.step
    trainer.optimizer.step = lambda: (
        used.append([group["lr"] for group in trainer.optimizer.param_groups]),
        real(),
    )
    trainer.run()
    rates = [0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3]
    assert used == [[pytest.approx(rate)] for rate in rates]
    assert [line["learning_rate"] for line in metrics(tmp_path)] == pytest.approx(rates)


def test_gradients_are_shortened_to_the_set_length(tmp_path):
    short = run_tiny(tmp_path / "short", replace(PLAIN, max_grad_norm=1e-10))
    free = run_tiny(tmp_path / "free", replace(PLAIN, max_grad_norm=0.0))
    assert far(short, start()) < 0.05 * PLAIN.learning_rate  # below Adam's epsilon
    assert far(free, start()) == pytest.approx(PLAIN.learning_rate, rel=0.01)


def test_weights_decay_as_set(tmp_path):
    none = run_tiny(tmp_path / "none", PLAIN)
    decayed = run_tiny(tmp_path / "decayed", replace(PLAIN, weight_decay=0.5))
    for name, first in start().items():
        expected = none[name] - PLAIN.learning_rate * 0.5 * first
        torch.testing.assert_close(decayed[name], expected, rtol=0, atol=1e-7)


def test_the_latents_noise_is_not_the_noise_that_is_learnt():
    samples = [
        draw_sample(5, n, latent_shape=(4, 2, 2), num_timesteps=1000, dropout=0.1)
        for n in range(500)
    ]
    pairs = [torch.stack([d.noise, d.latent_noise]).flatten(1).numpy() for d in samples]
    noise, latent_noise = np.concatenate(pairs, axis=1)
    assert abs(np.corrcoef(noise, latent_noise)[0, 1]) < 0.1
    # golden: a resumed run draws what it drew before
    assert (samples[3].timestep, samples[3].dropped) == GOLDEN_DRAW[:2]
    assert float(samples[3].noise[0, 0, 0]) == pytest.approx(GOLDEN_DRAW[2], abs=1e-6)
    assert float(samples[3].latent_noise[0, 0, 0]) == pytest.approx(GOLDEN_DRAW[3], abs=1e-6)


GOLDEN_DRAW = (366, False, 0.4630322754383087, -1.6385947465896606)


class Scaler:
    """Stands in for the loss scaler of half precision on a GPU."""

    def __init__(self, state):
        self.state = state
        self.loaded = None

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.loaded = state


def test_the_loss_scalers_state_is_kept_and_restored(tmp_path):
    config = replace(QUICK, steps=1)
    first = new_trainer(tmp_path, config)
    first.prepare(tmp_path / "cache")
    first.run()
    first.accelerator.scaler = Scaler({"scale": 512.0, "_growth_tracker": 3})
    try:
        first._save()
        again = new_trainer(tmp_path, config)
        again.accelerator.scaler = Scaler({})
        again.prepare(tmp_path / "cache")
    finally:
        first.accelerator.scaler = None
    assert again.accelerator.scaler.loaded == {"scale": 512.0, "_growth_tracker": 3}


def test_seconds_and_samples_a_second_are_those_of_the_steps_since(tmp_path, monkeypatch):
    clock = [100.0]

    class Time:
        perf_counter = staticmethod(lambda: clock[0])

    real = trainer_module.Trainer._train_step

    def two_seconds(self, batches):
        clock[0] += 2.0
        return real(self, batches)

    monkeypatch.setattr(trainer_module, "time", Time)
    monkeypatch.setattr(tally_module, "time", Time)
    monkeypatch.setattr(trainer_module.Trainer, "_train_step", two_seconds)
    config = replace(QUICK, batch_size=3, accumulation=2, log_every=2)
    for steps in (3, 6):  # the second goes on from the first
        run_tiny(tmp_path, replace(config, steps=steps))
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == [2, 3, 4, 6]
    assert {line["seconds"] for line in lines} == {2.0}
    assert {line["samples_per_second"] for line in lines} == {3.0}


@torch.no_grad()
@pytest.mark.parametrize("num_texts", [1, 2, 17, 40])
def test_tokens_of_any_number_of_texts_are_those_of_each_alone(connector, num_texts):
    generator = torch.Generator().manual_seed(num_texts)
    width = connector.config.input_dim
    features = [torch.randn(3 + n % 3, width, generator=generator) for n in range(num_texts)]
    timesteps = [999.0, 800.0, 600.0, 600.0, 400.0, 200.0, 0.0] * 6
    steps = StepConditions(connector, features, timesteps)
    for step in (0, 1, 3, 40, 41, 2, 5):
        alone = [connector(f[None], torch.tensor([timesteps[step]])) for f in features]
        torch.testing.assert_close(steps.at(step), torch.cat(alone), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_many_texts_and_many_distinct_steps(connector):
    generator = torch.Generator().manual_seed(0)
    for num_texts in (1, 5, 16, 17, 33):
        features = [
            torch.randn(4, connector.config.input_dim, generator=generator)
            for _ in range(num_texts)
        ]
        timesteps = [float(t) for t in range(980, 0, -23)]
        steps = StepConditions(connector, features, timesteps)
        for step in (0, len(timesteps) - 1, 7, 33, 1):
            alone = connector(torch.stack(features), torch.tensor([timesteps[step]] * num_texts))
            torch.testing.assert_close(steps.at(step), alone, rtol=1e-4, atol=1e-5)


def test_the_draws_of_runs_already_made():
    """Golden: a run that was begun must be resumed with the samples and noise it would have had."""
    draw = draw_sample(3, 5, latent_shape=(1, 1, 2), num_timesteps=1000, dropout=0.5)
    assert (draw.timestep, draw.dropped) == (992, False)
    assert draw.noise.flatten().tolist() == pytest.approx([2.4871318340, 0.7956064939])
    assert draw.latent_noise.flatten().tolist() == pytest.approx([0.3911629915, -1.6133315563])
    order = PermutedOrder(3, 6)
    assert [order.pair_of(n) for n in range(12)] == [2, 3, 4, 0, 5, 1, 5, 3, 0, 2, 4, 1]
