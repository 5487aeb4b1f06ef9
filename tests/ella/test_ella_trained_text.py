"""A connector's file keeps how long its texts were in training, and drawing follows it."""

import json
import warnings

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ella import (
    ConnectorFileError,
    Ella,
    TimestepAwareSemanticConnector,
    TrainedText,
    TransformersTextEncoder,
    tiny,
)
from ella.connector_file import METADATA_KEY, read_trained_text

load = TimestepAwareSemanticConnector.from_safetensors


@pytest.fixture
def file(tmp_path):
    return tmp_path / "connector.safetensors"


def written(file, **entries):
    """Write the tiny connector with other metadata."""
    tiny.tiny_connector().save_safetensors(file)
    with safe_open(file, "pt") as opened:
        before = json.loads(opened.metadata()[METADATA_KEY])
    kept = {key: value for key, value in {**before, **entries}.items() if value is not None}
    save_file(load_file(file), file, metadata={METADATA_KEY: json.dumps(kept)} if kept else None)
    return file


@pytest.mark.parametrize("text", [TrainedText("fixed", 64), TrainedText("flexible"), None])
def test_the_length_is_kept_through_writing_and_reading(file, text):
    connector = tiny.tiny_connector()
    connector.trained_text = text
    connector.save_safetensors(file)
    assert read_trained_text(file) == load(file).trained_text == text
    load(file).save_safetensors(file.with_name("again"))
    assert file.read_bytes() == file.with_name("again").read_bytes()


def test_an_unknown_length_leaves_the_file_as_it_was(file):
    tiny.tiny_connector().save_safetensors(file)
    with safe_open(file, "pt") as opened:
        assert "text" not in json.loads(opened.metadata()[METADATA_KEY])


@pytest.mark.parametrize(
    "text",
    [{"length": "long"}, {"length": "fixed"}, {"length": "flexible", "tokens": 3}, "fixed", {}],
)
def test_a_length_that_cannot_be_is_refused(file, text):
    with pytest.raises(ConnectorFileError, match="nothing sensible of the texts"):
        load(written(file, text=text))


@pytest.mark.parametrize("name", ["layers", "width", "num_latents", "input_dim", "time_channel"])
def test_words_that_differ_from_the_tensors_are_refused(file, name):
    with pytest.raises(ConnectorFileError, match=f"says {name} 7, its tensors"):
        load(written(file, **{name: 7}))


def test_heads_that_are_a_guess_warn(file):
    with pytest.warns(UserWarning, match="does not say how many attention heads"):
        load(written(file, heads=None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(file, heads=4)
        load(written(file))


def test_drawing_takes_the_length_of_training(file, pipeline, seeded, text_encoder):
    def draw(trained, **arguments):
        connector = tiny.tiny_connector()
        connector.trained_text = trained
        return (
            Ella(connector, text_encoder)
            .generate(
                pipeline,
                "a red circle",
                generator=seeded(0),
                num_inference_steps=1,
                output_type="latent",
                **arguments,
            )
            .images.tolist()
        )

    fixed, flexible = draw(None, length="fixed"), draw(None, length="flexible")
    assert fixed != flexible
    assert draw(None) == fixed
    assert draw(TrainedText("flexible")) == flexible
    assert draw(TrainedText("fixed", 128)) == fixed
    assert draw(TrainedText("flexible"), length="fixed") == fixed


def test_texts_have_the_number_of_tokens_of_training(text_encoder, pipeline, seeded):
    connector = tiny.tiny_connector()
    connector.trained_text = TrainedText("fixed", 64)
    model, tokenizer = text_encoder.model, text_encoder.tokenizer
    follows = Ella(connector, text_encoder)  # warnings are errors here
    assert (follows.text_encoder.fixed_length, text_encoder.fixed_length) == (64, 128)
    assert follows.text_encoder.model is model
    chosen = Ella(connector, TransformersTextEncoder(model, tokenizer, fixed_length=64))
    with pytest.warns(UserWarning, match="trained with texts of 64 tokens.*pads and cuts to 128"):
        other = Ella(connector, TransformersTextEncoder(model, tokenizer, fixed_length=128))
    drawn = [
        one.generate(
            pipeline,
            "a red circle",
            generator=seeded(0),
            num_inference_steps=1,
            output_type="latent",
        ).images.tolist()
        for one in (follows, chosen, other)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
