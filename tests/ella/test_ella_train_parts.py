"""What the loop is made of: draws, order, objective, settings."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from ella import TrainConfig, tiny
from ella.training.batches import StepPlan
from ella.training.objectives import Objective
from ella.training.randomness import draw_sample
from ella.training.sources import PlainSource
from ella.training.tokens import TokensOfTexts
from tests.ella.tiny_training import QUICK, TEXTS, TinyPairs, run_tiny


def test_draws_are_what_they_should_be():
    samples = [
        draw_sample(5, n, latent_shape=(4, 2, 2), num_timesteps=1000, dropout=0.1)
        for n in range(4000)
    ]
    timesteps = np.array([sample.timestep for sample in samples])
    assert timesteps.min() < 5
    assert timesteps.max() > 994
    assert abs(timesteps.mean() - 499.5) < 15
    assert abs(timesteps.std() - 1000 / 12**0.5) < 10
    assert 0.08 < np.mean([sample.dropped for sample in samples]) < 0.12
    for noise in (
        torch.stack([d.noise for d in samples]),
        torch.stack([d.latent_noise for d in samples]),
    ):
        assert abs(float(noise.mean())) < 0.02
        assert abs(float(noise.std()) - 1) < 0.02
    again = draw_sample(5, 17, latent_shape=(4, 2, 2), num_timesteps=1000, dropout=0.1)
    assert torch.equal(again.noise, samples[17].noise)


def test_every_pair_once_an_epoch_whoever_looks():
    source = PlainSource(TinyPairs(7))

    def seen(at_once, process=0, num_processes=1, first_step=0):
        plan = StepPlan(
            source.order(0, 1, listed=False), source, global_batch=4, at_once=at_once,
            first_step=first_step, last_step=6, process=process, num_processes=num_processes,
        )  # fmt: skip
        return [[sample[:2] for batch in step for sample in batch] for step in plan.steps()]

    alone = seen(4)
    numbers = [pair for step in alone for _, pair in step]
    assert len(numbers) == 24
    assert set(Counter(numbers[:7]).values()) == set(Counter(numbers[7:14]).values()) == {1}
    assert numbers[:7] != numbers[7:14]
    assert seen(4, first_step=4) == alone[4:]
    for num_processes in (2, 3, 4):
        parts = [seen(1, process, num_processes) for process in range(num_processes)]
        assert [
            [one for part in step for one in part] for step in zip(*parts, strict=True)
        ] == alone
    assert seen(3) == alone


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_objective(prediction):
    scheduler = DDIMScheduler.from_config(tiny.tiny_scheduler().config, prediction_type=prediction)
    generator = torch.Generator().manual_seed(1)
    latents, noise = torch.randn(2, 3, 4, 2, 2, generator=generator)
    timesteps = torch.tensor([0, 500, 999])
    alpha = scheduler.alphas_cumprod[timesteps].view(3, 1, 1, 1)
    target = noise
    if prediction == "v_prediction":
        target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    plain, weighted = Objective(scheduler, 0.0), Objective(scheduler, 5.0)
    expected = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    torch.testing.assert_close(plain.noisy(latents, noise, timesteps), expected)
    assert float(plain.error(target, latents, noise, timesteps).max()) < 1e-9
    error = plain.error(target + 2, latents, noise, timesteps)
    torch.testing.assert_close(error, torch.full((3,), 4.0))
    snr = (alpha / (1 - alpha)).flatten()
    weights = snr.clamp(max=5) / (snr if prediction == "epsilon" else snr + 1)
    torch.testing.assert_close(weighted.error(target + 2, latents, noise, timesteps), 4 * weights)


def test_captions_of_any_lengths(connector, text_encoder, tmp_path):
    features = text_encoder.encode([*TEXTS, "", TEXTS[0]], "flexible")
    assert len({len(feature) for feature in features}) > 2
    timesteps = torch.tensor([1, 200, 400, 600, 800, 999])
    with torch.no_grad():
        tokens, pooled = TokensOfTexts(connector)(features, timesteps)
        alone = [connector(f[None], t) for f, t in zip(features, timesteps, strict=True)]
    torch.testing.assert_close(tokens, torch.cat(alone))
    assert pooled is None
    run_tiny(tmp_path, replace(QUICK, steps=1, length="flexible", caption_dropout=0.5))


@pytest.mark.parametrize("lengths", [(4, 4, 4), (4, 9, 4), (4, 9, 2)])
@pytest.mark.parametrize("pooled_width", [0, 12])
@torch.no_grad()
def test_texts_keep_their_order_and_timesteps_whatever_their_lengths(lengths, pooled_width):
    connector = tiny.tiny_connector(pooled_width=pooled_width)
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(length, tiny.WIDTH, generator=generator) for length in lengths]
    timesteps = torch.tensor([1, 500, 999])
    tokens, pooled = TokensOfTexts(connector)(features, timesteps)
    for row, (feature, timestep) in enumerate(zip(features, timesteps, strict=True)):
        torch.testing.assert_close(tokens[row], connector(feature[None], timestep)[0])
        if pooled_width:
            alone = connector.pool_projected(connector.project_text(feature[None]))[0]
            torch.testing.assert_close(pooled[row], alone)
    assert tokens.shape[0] == 3
    assert (pooled is None) is (pooled_width == 0)


def test_nothing_is_compiled_unless_asked_for():
    connector = tiny.tiny_connector()
    plain = TokensOfTexts(connector)
    assert (plain._project, plain._step) == (connector.project_text, connector.forward_projected)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"steps": 0}, "`steps` must be finite and at least 1, got 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be finite"),
        ({"caption_dropout": 1.5}, "`caption_dropout` must be at most 1"),
        ({"seed": True}, "`seed` must be of type int, got True"),
        ({"mixed_precision": "int8"}, "`mixed_precision` must be one of no, fp16, bf16"),
    ],
)
def test_settings_out_of_range(change, says):
    with pytest.raises(ValueError, match=says):
        TrainConfig(**change)


def test_warm_up_and_the_papers_values():
    config = TrainConfig()
    assert (config.learning_rate, config.weight_decay, config.steps) == (1e-4, 0.01, 280_000)
    assert config.learning_rate_at(0) == config.learning_rate_at(279_999) == 1e-4
    warm = TrainConfig(warmup_steps=4, learning_rate=1.0)
    assert [warm.learning_rate_at(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
