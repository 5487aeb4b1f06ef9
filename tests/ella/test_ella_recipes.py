"""Every recipe that ships: it is read, trains, and is of the size that the paper states."""

from __future__ import annotations

import tomllib

import pytest
import torch

from ella import Connector, ConnectorConfig, tiny, train
from ella.recipes import recipe_file, recipes
from tests.ella.tiny_training import write_folder
from tests.helpers import json_lines

PAPER = {
    "paper": 66_820_608,
    "table5-t5-xl": 44_159_232,
    "table5-tinyllama": 44_159_232,
    "table6-adaln": 66_820_608,
    "table6-adaln-zero": 73_907_712,
    "table6-mlp": 2_164_224,
    "table6-resampler-1": 8_712_192,
    "table6-resampler-6": 44_159_232,
}
"""Trainable numbers, arXiv 2403.05135, Table 6: tokens 768 wide from features 2048 wide."""
WIDTHS = {
    "table5-llama2-13b": {"width": 768, "input_dim": 5120},
    "sdxl": {"width": 2048, "pooled_width": 1280, "input_dim": 2048},
    "pixart": {"width": 4096, "input_dim": 2048},
    "embedded": {"width": 128, "input_dim": 128},
}
BASES = {"sdxl": tiny.tiny_sdxl_pipeline, "pixart": tiny.tiny_pixart_pipeline}


def test_there_is_one_for_each_row_of_the_papers_tables():
    assert sorted(recipes()) == sorted({*PAPER, *WIDTHS})


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    where = tmp_path_factory.mktemp("folders")
    encoder = tiny.tiny_text_encoder()
    encoder.model.save_pretrained(where / "t5")
    encoder.tokenizer.save_pretrained(where / "t5")
    for name in recipes():
        make = BASES.get(name, tiny.tiny_pipeline)
        folder = where / make.__name__
        if not folder.exists():
            make().save_pretrained(folder)
    write_folder(where / "data")
    return where


@pytest.mark.parametrize("name", sorted({*PAPER, *WIDTHS}))
def test_two_steps_on_tiny_networks(folders, tmp_path, capsys, name):
    base = folders / BASES.get(name, tiny.tiny_pipeline).__name__
    words = [f"--config={name}", f"--base={base}", f"--text-encoder={folders / 't5'}"]
    words += [f"--data={folders / 'data'}", f"--look-data={folders / 'data'}", "--look-bench="]
    words += [f"--out={tmp_path}", "--steps=2", "--batch-size=1", "--global-batch=1"]
    words += ["--device=cpu", "--mixed-precision=no", "--workers=0", "--image-px=64"]
    assert train.main(words) == 0
    file = tmp_path / "connector.safetensors"
    assert capsys.readouterr().out == f"{file}\n"
    settings = tomllib.loads(recipe_file(recipes()[name]).read_text())
    trained = Connector.from_safetensors(file)
    assert trained.config.kind == settings["connector_kind"]
    assert [line["step"] for line in json_lines(tmp_path / "metrics.jsonl")] == [2]


@pytest.mark.parametrize("name", sorted({*PAPER, *WIDTHS}))
def test_numbers_that_are_trained_at_real_size(name):
    path = recipes()[name]
    settings = tomllib.loads(path.read_text())
    sizes = {
        key.removeprefix("connector_"): value
        for key, value in settings.items()
        if key.startswith("connector_")
    }
    widths = WIDTHS.get(name, {"width": 768, "input_dim": 2048})
    with torch.device("meta"):
        connector = Connector.of(ConnectorConfig(**sizes, **widths))
    number = sum(one.numel() for one in connector.parameters())
    if name in PAPER:
        assert number == PAPER[name]
        assert f"Trained: {number:,} numbers" in path.read_text()
    if name == "table5-llama2-13b":
        assert number == 44_159_232 + 768 * (5120 - 2048)
        assert f"Trained: {number:,} numbers" in path.read_text()


def test_the_papers_settings():
    paper = tomllib.loads(recipes()["paper"].read_text())
    assert (paper["steps"], paper["batch_size"], paper["learning_rate"]) == (280_000, 32, 1e-4)
    assert (paper["weight_decay"], paper["global_batch"]) == (0.01, 8 * 32)
    for name in PAPER:
        settings = tomllib.loads(recipes()[name].read_text())
        assert settings["steps"] == (280_000 if name == "paper" else 140_000)


def test_a_recipe_is_named_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    assert recipe_file(Path("paper")) == recipes()["paper"]
    (tmp_path / "paper").write_text("")
    assert recipe_file(Path("paper")) == Path("paper")
    assert recipe_file(Path("other.toml")) == Path("other.toml")
