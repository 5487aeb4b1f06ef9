"""The trainer on tiny networks: what learns, what stays, and that it learns what it should."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from ella import TimestepAwareSemanticConnector, TrainingError, tiny, train_connector
from ella.files import module_hash
from ella.training.batches import Samples
from ella.training.run import build_trainer
from tests.ella.tiny_training import (
    QUICK,
    TinyPairs,
    check_learnt_alike,
    equal,
    far,
    metrics,
    run_tiny,
)


def test_only_the_connector_learns(tmp_path, pipeline):
    encoder, connector = tiny.tiny_text_encoder(), tiny.tiny_connector()
    frozen = [pipeline.unet, pipeline.vae, encoder.model, pipeline.text_encoder]
    before = [module_hash(network) for network in (*frozen, connector)]
    file = train_connector(
        pipeline, encoder, TinyPairs(), tmp_path, QUICK, connector=connector, progress=False
    )
    after = [module_hash(network) for network in (*frozen, connector)]
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1]
    assert all(p.grad is None for network in frozen for p in network.parameters())
    changed = load_file(file)
    start = tiny.tiny_connector().state_dict()
    assert [name for name in start if torch.equal(start[name], changed[name])] == []
    assert equal(TimestepAwareSemanticConnector.from_safetensors(file).state_dict(), changed)


def test_the_callers_random_state_stays(tmp_path):
    torch.manual_seed(3)
    np.random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    run_tiny(tmp_path, replace(QUICK, steps=1), connector=None)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()


def test_four_pictures_are_learnt(tmp_path):
    config = replace(QUICK, steps=50, batch_size=4, latent_cache="memory", text_cache="memory")
    trainer = build_trainer(
        tiny.tiny_pipeline(),
        tiny.tiny_text_encoder(),
        TinyPairs(),
        tmp_path,
        config,
        connector=tiny.tiny_connector(),
        progress=False,
    )
    trainer.prepare(tmp_path)

    @torch.no_grad()
    def loss():  # on noise that training never drew
        probe = replace(config, seed=99, caption_dropout=0.0)
        samples = Samples(TinyPairs(), probe, trainer.latents.shape, 1000, 64)
        return np.mean(
            [float(trainer.sample_losses(samples[n, n % 4], trainer.model)) for n in range(64)]
        )

    before = loss()
    trainer.run()
    assert before > 1.3
    assert loss() < before - 0.2
    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 51))
    for line in lines:
        assert line["samples_per_second"] == pytest.approx(4 / line["seconds"], rel=0.05, abs=0.01)


def test_accumulation_is_a_bigger_batch(tmp_path):
    config = replace(QUICK, batch_size=4)
    run_tiny(tmp_path / "big", config)
    run_tiny(tmp_path / "small", replace(config, batch_size=2, accumulation=2))
    check_learnt_alike(*tmp_path.glob("*/connector.safetensors"))
    for big, small in zip(metrics(tmp_path / "big"), metrics(tmp_path / "small"), strict=True):
        for name in ("loss", "gradient_norm"):
            assert big[name] == pytest.approx(small[name], rel=1e-3)


def test_the_mean_is_the_mean(tmp_path):
    config = replace(QUICK, ema_decay=0.3)
    expected = dict(tiny.tiny_connector().state_dict())
    for step in range(3):
        weights = run_tiny(tmp_path, replace(config, steps=step + 1))
        decay = min(0.3, (1 + step) / (10 + step))
        for name, mean in expected.items():
            expected[name] = decay * mean + (1 - decay) * weights[name]
    file = tmp_path / "connector-ema.safetensors"
    assert far(load_file(file), expected) < 1e-6
    assert far(load_file(file), weights) > 1e-4
    TimestepAwareSemanticConnector.from_safetensors(file)
    run_tiny(tmp_path / "none", replace(QUICK, steps=1, ema_decay=0.0))
    assert not (tmp_path / "none/connector-ema.safetensors").exists()


@pytest.mark.parametrize(
    "change", [{"gradient_checkpointing": True}, {"workers": 1}, {"save_every": 1, "log_every": 3}]
)
def test_what_must_not_matter(tmp_path, change):
    plain = run_tiny(tmp_path / "plain", replace(QUICK, steps=2))
    assert equal(plain, run_tiny(tmp_path / "other", replace(QUICK, steps=2, **change)))


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # of dynamo
def test_compiled_networks_learn_alike(tmp_path):
    run_tiny(tmp_path / "plain", QUICK)
    run_tiny(tmp_path / "other", replace(QUICK, compile=True))
    check_learnt_alike(*tmp_path.glob("*/connector.safetensors"))


@pytest.mark.parametrize("change", [{"seed": 1}, {"caption_dropout": 1.0}, {"min_snr_gamma": 5.0}])
def test_what_must_matter(tmp_path, change):
    plain = run_tiny(tmp_path / "plain", replace(QUICK, steps=2))
    assert not equal(plain, run_tiny(tmp_path / "other", replace(QUICK, steps=2, **change)))


def test_half_precision_trains_float32_weights(tmp_path):
    AcceleratorState._reset_state(True)
    weights = run_tiny(tmp_path / "half", replace(QUICK, mixed_precision="bf16"))
    AcceleratorState._reset_state(True)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert 0 < far(weights, run_tiny(tmp_path / "full")) < 1e-2


def test_a_loss_that_is_no_number_stops_before_it_does_harm(tmp_path):
    run_tiny(tmp_path, replace(QUICK, steps=1))
    base = tiny.tiny_pipeline()
    step = tmp_path / "checkpoints/step-00000001.safetensors"
    before = step.read_bytes()
    trainer = build_trainer(
        base, tiny.tiny_text_encoder(), TinyPairs(), tmp_path, QUICK,
        connector=tiny.tiny_connector(), progress=False,
    )  # fmt: skip
    trainer.prepare(tmp_path / "cache")
    with torch.no_grad():
        base.unet.conv_in.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss of step 2 is nan"):
        trainer.run()
    assert step.read_bytes() == before
    assert [path.name for path in step.parent.iterdir()] == [step.name]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("addition_embed_type", "text_time", "addition_embed_type: 'text_time'"),
        ("in_channels", 9, "takes 9 channels, but the VAE gives 4"),
        ("cross_attention_dim", 48, "from width 32 to 32, but the text encoder gives 32 and the"),
        ("sample_size", (8, 8), "`image_px` must be given"),
    ],
)
def test_models_that_do_not_fit(tmp_path, pipeline, text_encoder, name, value, says):
    pipeline.unet.register_to_config(**{name: value})
    connector = tiny.tiny_connector()
    with pytest.raises(ValueError, match=says):
        train_connector(pipeline, text_encoder, TinyPairs(), tmp_path / "out", connector=connector)
    assert not Path(tmp_path / "out").exists()
