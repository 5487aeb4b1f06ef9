"""Looks: what they note, when, and that their runs are ordinary ones with a curve in the report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from dpgbench.embedded import embedded_path
from ella import TrainingError, card, tiny, train
from ella.training.looks import Looks, held_out_loss
from ella.training.run import build_trainer
from tests.ella.tiny_training import QUICK, TinyPairs, metrics, run_tiny, write_folder


def look_at(out, step):
    return json.loads((out / f"looks/step-{step:08d}/look.json").read_text())


def steps_of(out):
    return sorted(int(path.parent.name[5:]) for path in out.glob("looks/step-*/look.json"))


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"look_every": 2}, [2, 4, 5]),
        ({"look_at": "1, 3"}, [1, 3, 5]),
        ({"look_every": 4, "look_at": "1"}, [1, 4, 5]),
        ({}, []),
    ],
)
def test_looks_are_when_they_should_be(tmp_path, settings, steps):
    run_tiny(tmp_path, replace(QUICK, steps=5, **settings), looks=Looks(TinyPairs(3)))
    assert steps_of(tmp_path) == steps


def test_a_look_changes_no_weight_and_is_the_same_again(tmp_path):
    config = replace(QUICK, steps=3)
    plain = run_tiny(tmp_path / "plain", config)
    looked = run_tiny(
        tmp_path / "looked", replace(config, look_every=1), looks=Looks(TinyPairs(12))
    )
    assert all(torch.equal(plain[name], looked[name]) for name in plain)
    again = run_tiny(
        tmp_path / "again", replace(config, look_at="2", batch_size=2), looks=Looks(TinyPairs(12))
    )
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert look_at(tmp_path / "again", 2) == look_at(tmp_path / "looked", 2)
    losses = [look_at(tmp_path / "looked", step)["held_out_loss"] for step in (1, 2, 3)]
    assert losses[2] < losses[0]


def test_the_loss_is_that_of_fixed_pairs_noise_and_tenths_of_the_schedule(tmp_path):
    trainer = build_trainer(
        tiny.tiny_pipeline(), tiny.tiny_text_encoder(), TinyPairs(), tmp_path,
        replace(QUICK, look_pairs=25), connector=tiny.tiny_connector(), progress=False,
    )  # fmt: skip
    trainer.prepare(tmp_path)
    shown = []
    real = trainer.objective.error

    def error(predicted, latents, noise, steps):
        shown.extend(steps.tolist())
        return real(predicted, latents, noise, steps)

    trainer.objective.error = error
    weights = dict(trainer.connector.state_dict())
    noted = held_out_loss(trainer, TinyPairs(40), weights)
    assert noted["held_out_pairs"] == 25
    assert [step // 100 for step in shown] == [n % 10 for n in range(25)]
    by_bin = noted["held_out_loss_by_timestep"]
    assert noted["held_out_loss"] == pytest.approx(sum(by_bin) / 10)
    other = replace(trainer.config, seed=7, caption_dropout=1.0, timestep_sampling="cubic")
    trainer.config = other
    assert held_out_loss(trainer, TinyPairs(40), weights) == noted
    few = held_out_loss(trainer, TinyPairs(3), weights)["held_out_loss_by_timestep"]
    assert [loss is None for loss in few] == [False] * 3 + [True] * 7


def test_a_look_that_was_cut_off_is_made_up_for(tmp_path):
    def broken(connector, folder):
        raise OSError("the disk is gone")

    config = replace(QUICK, steps=2, save_every=1, look_every=1)
    with pytest.raises(OSError, match="the disk is gone"):
        run_tiny(tmp_path, config, looks=Looks(TinyPairs(2), broken))
    assert steps_of(tmp_path) == []
    drawn = []
    looks = Looks(TinyPairs(2), lambda connector, folder: drawn.append(connector.is_file()) or {})
    run_tiny(tmp_path, config, looks=looks)
    assert steps_of(tmp_path) == [1, 2]
    assert drawn == [True, True]
    assert list((tmp_path / "looks").glob("*.safetensors")) == []


def test_metrics_are_means_since_the_line_before(tmp_path):
    run_tiny(tmp_path / "each", replace(QUICK, steps=4, log_every=1))
    run_tiny(tmp_path / "some", replace(QUICK, steps=4, log_every=2))
    each, some = metrics(tmp_path / "each"), metrics(tmp_path / "some")
    assert [line["step"] for line in some] == [2, 4]
    for place, line in enumerate(some):
        for name in ("loss", "gradient_norm"):
            two = [one[name] for one in each[2 * place : 2 * place + 2]]
            assert line[name] == pytest.approx(sum(two) / 2, rel=1e-5)
        assert 0 <= line["data_wait"] <= 1
        assert line["memory_gib"] > 0.05


def test_a_tracker_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(TrainingError, match="`pip install trackio`"):
        run_tiny(tmp_path, replace(QUICK, trackers="trackio"))
    with pytest.raises(ValueError, match="`trackers` must be of tensorboard, wandb, trackio"):
        replace(QUICK, trackers="mlflow")
    with pytest.raises(ValueError, match="`look_at` must be steps with commas"):
        replace(QUICK, look_at="a")


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    """A training of the embedded world, one step, with a look that draws and scores."""
    where = tmp_path_factory.mktemp("looked")
    write_folder(where / "data")
    words = ["--config=embedded", f"--base={embedded_path('sd15')}"]
    words += [f"--text-encoder={embedded_path('ella/text_encoder')}"]
    words += [f"--data={where / 'data'}", f"--look-data={where / 'data'}", f"--out={where / 'run'}"]
    words += ["--steps=1", "--batch-size=2", "--look-limit=2", "--connector-layers=1"]
    words += ["--learning-rate=0.0007"]
    words += ["--look-options=--num-images 1 --steps 1"]
    assert train.main(words) == 0
    return where / "run"


def test_a_look_is_an_ordinary_run_with_a_score(run, looked):
    noted = look_at(looked, 1)
    assert (noted["step"], noted["samples"], noted["weights"]) == (1, 2, "mean")
    assert 0 <= noted["scores"]["tiny-mplug"]["ella-reference"] <= 100
    look = looked / "looks/step-00000001"
    assert len(list((look / "images").glob("*.png"))) == 2
    assert (look / "manifest.json").is_file()
    ended = run("score", look, "--judge", "tiny-mplug")
    assert ended.code == 0, ended.err


def test_the_card_says_what_it_is_and_how_it_was_made(looked, tmp_path, capsys):
    run = tmp_path / "mine"
    shutil.copytree(looked, run)
    words = [str(run), "--base=some/base", "--text-encoder=some/t5", "--data=Four pictures."]
    assert card.main([*words, "--license=apache-2.0"]) == 0
    assert capsys.readouterr().out == f"{run / 'README.md'}\n"
    text = (run / "README.md").read_text()
    assert text.startswith("---\nlicense: apache-2.0\n")
    for line in (
        "base_model: some/base",
        "# mine",
        "Four pictures.",
        "| layers | 1 |",
        "| learning_rate | 0.0007 |",
        "## While it learnt",
        'DiffusionPipeline.from_pretrained("some/base")',
    ):
        assert line in text
    noted = look_at(looked, 1)
    assert f"| {noted['held_out_loss']:.4f} |" in text
    assert f"| {noted['scores']['tiny-mplug']['ella-reference']:.1f} |" in text
    assert card.main([str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_the_report_draws_the_learning_curve(run, looked, tmp_path):
    first = looked / "looks/step-00000001"
    out = tmp_path / "training/looks"
    for step, loss in ((1, 0.9), (5, 0.5)):
        look = out / f"step-{step:08d}"
        shutil.copytree(first, look)
        noted = json.loads((look / "look.json").read_text())
        (look / "look.json").write_text(json.dumps(noted | {"step": step, "held_out_loss": loss}))
    shutil.copytree(first, tmp_path / "shipped")
    (tmp_path / "shipped/look.json").unlink()
    runs = [*sorted(out.iterdir()), tmp_path / "shipped"]
    ended = run("report", *runs, "--out", tmp_path / "page", "--figures", tmp_path / "figures")
    assert ended.code == 0, ended.err
    figures = [path.name for path in (tmp_path / "figures").glob("learning-training-*.svg")]
    assert figures
    drawn = (tmp_path / "figures" / figures[0]).read_text()
    for words in ("Held-out loss", "Training steps", "training: shapes", "shipped"):
        assert words in drawn
    markdown = (tmp_path / "page/leaderboard.md").read_text()
    assert "Learning curve of training" in markdown
    assert "| 5 | 2 |" in markdown
    page = (tmp_path / "page/leaderboard.html").read_text()
    assert 'id="learning"' in page
    for words in ("held-out loss", "training steps", "0.9000", "0.5000", "shipped"):
        assert words in page
    (runs[0] / "look.json").write_text('{"step": "a"}')
    ended = run("report", *runs, "--out", tmp_path / "page")
    assert ended.code == 3
    assert "look.json: is not what a training writes" in ended.err


def test_figures_are_in_tensorboard_too(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = replace(QUICK, steps=2, look_every=2, trackers="tensorboard")
    run_tiny(tmp_path, config, looks=Looks(TinyPairs(3)))
    (events,) = tmp_path.glob("ella/events.out.tfevents.*")
    read = EventAccumulator(str(events))
    read.Reload()
    losses = [(one.step, one.value) for one in read.Scalars("loss")]
    assert losses == [(line["step"], pytest.approx(line["loss"])) for line in metrics(tmp_path)]
    (look,) = read.Scalars("look/held_out_loss")
    assert look.value == pytest.approx(look_at(tmp_path, 2)["held_out_loss"])
