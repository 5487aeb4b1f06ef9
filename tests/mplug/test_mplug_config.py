"""Configs: what is read, and errors that name file and field."""

import json

import pytest
import yaml

from dpgbench.mplug import CheckpointError, MplugConfig
from dpgbench.mplug.config import STANDARD_BERT, has_bert_config


def change(path, **fields):
    read = yaml.safe_load if path.suffix == ".yaml" else json.loads
    values = read(path.read_text()) | fields
    kept = {name: value for name, value in values.items() if value is not None}
    path.write_text(json.dumps(kept))


def refusal(folder):
    with pytest.raises(CheckpointError) as caught:
        MplugConfig.from_folder(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_sizes_of_the_small_golden_network(golden):
    config = MplugConfig.from_folder(golden("small_stride3"))
    assert (config.vision_layers, config.vision_width, config.vision_heads) == (2, 1024, 16)
    assert (config.image_px, config.num_image_tokens) == (56, 17)
    assert (config.fusion_layers, config.declared_fusion_layers, config.stride) == (4, 6, 3)
    assert config.first_joint_layer == 3
    assert [config.is_joint(layer) for layer in range(4)] == [False, False, False, True]
    assert config.search.beam_size == 5


def test_the_image_states_stay_as_they_are_where_the_stride_is_never_reached(golden):
    assert MplugConfig.from_folder(golden("small_stride6")).first_joint_layer is None


def test_trunk_sizes_follow_from_the_clip_name(tiny_folder):
    change(
        tiny_folder / "config.yaml",
        clip_vision_layers=None, clip_vision_width=None, vision_width=1024,
    )  # fmt: skip
    config = MplugConfig.from_folder(tiny_folder)
    assert (config.vision_layers, config.vision_width, config.patch_px) == (24, 1024, 14)


@pytest.mark.parametrize(
    ("file", "fields", "expected"),
    [
        ("config.yaml", {"image_res": None}, "`image_res`: expected a whole number from 1, found"),
        ("config.yaml", {"image_res": 57}, "`image_res`: expected a multiple of 14, found 57"),
        ("config.yaml", {"beam_size": "five"}, "`beam_size`: expected a whole number from 1"),
        ("config.yaml", {"beam_size": 9999}, "`beam_size`: expected less than"),
        ("config.yaml", {"max_length": 1}, "`max_length`: expected above min_length"),
        ("config.yaml", {"clip_name": "RN50"}, "`clip_name`: expected one of ViT-L-14"),
        ("config.yaml", {"clip_vision_width": 65}, "`clip_vision_width`: expected a multiple"),
        ("config.yaml", {"vision_width": 128}, "`vision_width`: expected the image trunk's"),
        ("config_bert.json", {"stride_layer": None}, "`stride_layer`: expected a whole number"),
        ("config_bert.json", {"fusion_layers": 3}, "`fusion_layers`: expected at most"),
        ("config_bert.json", {"hidden_size": 33}, "`hidden_size`: expected a multiple"),
        ("config_bert.json", {"hidden_act": "relu"}, "`hidden_act`: expected 'gelu', found"),
        ("config_bert.json", {"vocab_size": 50}, "`vocab_size`: expected above 102"),
        ("config_bert.json", {"layer_norm_eps": 0}, "`layer_norm_eps`: expected a number above 0"),
        ("configuration.json", {"model": {"type": "ofa"}}, "`model.type`: expected 'mplug'"),
    ],
)
def test_an_impossible_field_is_named(tiny_folder, file, fields, expected):
    change(tiny_folder / file, **fields)
    message = refusal(tiny_folder)
    assert str(tiny_folder / file) in message
    assert expected in message


@pytest.mark.parametrize("file", ["config.yaml", "config_bert.json"])
def test_a_missing_or_unreadable_file_is_named(tiny_folder, file):
    (tiny_folder / file).write_text("{[")
    assert f"{tiny_folder / file}: cannot be read" in refusal(tiny_folder)
    (tiny_folder / file).write_text("[1]")
    assert f"{tiny_folder / file}: holds no fields" in refusal(tiny_folder)
    (tiny_folder / file).unlink()
    assert f"{tiny_folder / file}: not there" in refusal(tiny_folder)


def test_standard_fields_are_those_of_the_recorded_large_network(golden):
    recorded = golden("full_stride6_answers.json")["config"]
    assert {name: recorded[name] for name in STANDARD_BERT} == STANDARD_BERT


def test_standard_fields_stand_in_only_where_asked_and_where_the_file_is_missing(tiny_folder):
    own = MplugConfig.from_folder(tiny_folder)
    assert MplugConfig.from_folder(tiny_folder, standard_bert=True) == own
    assert has_bert_config(tiny_folder)
    (tiny_folder / "config_bert.json").unlink()
    assert not has_bert_config(tiny_folder)
    config = MplugConfig.from_folder(tiny_folder, standard_bert=True)
    assert (config.hidden_size, config.decoder_layers, config.stride) == (768, 12, 6)
    assert "not there" in refusal(tiny_folder)


def test_a_folder_without_configuration_is_let_pass(tiny_folder):
    whole = MplugConfig.from_folder(tiny_folder)
    (tiny_folder / "configuration.json").unlink()
    assert MplugConfig.from_folder(tiny_folder) == whole
