import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from ella import (
    PrecisionWarning,
    T5TextEncoder,
    TextEncoder,
    TextEncoderError,
    TransformersTextEncoder,
)
from ella.tiny import WIDTH, tiny_text_encoder
from ella.tiny_tokenizers import tiny_clip_tokenizer

TEXTS = ["a red circle", "", "two dogs left of a very strange tree", "a red square"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A T5 encoder with its tokenizer, laid out as in `QQGYLab/ELLA`."""
    path = tmp_path_factory.mktemp("ELLA") / "models--google--flan-t5-xl--text_encoder"
    encoder = tiny_text_encoder()
    encoder.model.save_pretrained(path)
    encoder.tokenizer.save_pretrained(path)
    return path


def test_fixed_length_is_128_tokens(text_encoder):
    features = text_encoder.encode(TEXTS, "fixed")
    assert [tuple(feature.shape) for feature in features] == [(128, WIDTH)] * len(TEXTS)


def test_fixed_length_cuts_and_flexible_does_not(text_encoder):
    long_text = "a red circle " * 100
    assert text_encoder.count_tokens([long_text]) == [3 * 100 + 100 + 1]
    assert len(text_encoder.encode([long_text], "fixed")[0]) == 128
    assert len(text_encoder.encode([long_text], "flexible")[0]) == 401


def test_flexible_length_is_each_texts_own(text_encoder):
    features = text_encoder.encode(TEXTS, "flexible")
    assert [len(feature) for feature in features] == text_encoder.count_tokens(TEXTS)
    assert len(features[1]) == 1  # the empty text is its end


@pytest.mark.parametrize("length", ["fixed", "flexible"])
def test_a_text_is_not_changed_by_its_batch(text_encoder, length):
    together = text_encoder.encode(TEXTS, length)
    for text, feature in zip(TEXTS, together, strict=True):
        torch.testing.assert_close(text_encoder.encode([text], length)[0], feature)


def test_the_padding_mask_reaches_the_language_model(text_encoder):
    flexible = text_encoder.encode(TEXTS[:1], "flexible")[0]
    fixed = text_encoder.encode(TEXTS[:1], "fixed")[0]
    unmasked = TransformersTextEncoder(
        text_encoder.model, text_encoder.tokenizer, mask_padding=False
    ).encode(TEXTS[:1], "fixed")[0]
    torch.testing.assert_close(fixed[: len(flexible)], flexible)
    assert not torch.allclose(unmasked[: len(flexible)], flexible, atol=1e-3)


def test_a_folder_loads_and_the_cpu_warns(folder):
    with pytest.warns(PrecisionWarning, match="float32; ELLA's released weights"):
        loaded = T5TextEncoder.from_pretrained(folder, fixed_length=16)
    assert isinstance(loaded, T5TextEncoder)
    assert loaded.feature_dim == WIDTH
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    expected = tiny_text_encoder().encode(TEXTS, "flexible")
    for feature, same in zip(loaded.encode(TEXTS, "flexible"), expected, strict=True):
        torch.testing.assert_close(feature, same)
    assert len(loaded.encode(["a"], "fixed")[0]) == 16


@pytest.mark.filterwarnings("error")
def test_float16_does_not_warn_and_gives_float16(folder):
    encoder = T5TextEncoder.from_pretrained(
        str(folder.parent), subfolder=folder.name, dtype=torch.float16
    )
    assert encoder.encode(["a dog"], "flexible")[0].dtype == torch.float16


def test_bfloat16_warns(folder):
    with pytest.warns(PrecisionWarning, match="bfloat16"):
        T5TextEncoder.from_pretrained(folder, dtype=torch.bfloat16)


def test_a_folder_without_a_model_is_explained(tmp_path):
    with pytest.raises(TextEncoderError, match="no T5 encoder with its tokenizer") as caught:
        T5TextEncoder.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_any_language_model_will_do():
    tokenizer = tiny_clip_tokenizer()  # any tokenizer; this one begins and ends each text
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
    )
    encoder: TextEncoder = TransformersTextEncoder(LlamaModel(config), tokenizer, fixed_length=20)
    assert encoder.feature_dim == 16
    assert [f.shape for f in encoder.encode(["a dog", ""], "fixed")] == [(20, 16), (20, 16)]
    assert [len(f) for f in encoder.encode(["a dog", ""], "flexible")] == [4, 2]


class NoTokens:
    """A tokenizer that makes nothing of nothing, as Qwen's."""

    eos_token_id = None
    pad_token_id = None

    def __call__(self, texts, **_):
        return type("Batch", (), {"input_ids": [[] for _ in texts]})


def test_an_empty_text_is_an_end_of_text_token(text_encoder):
    tokenizer = NoTokens()
    encoder = TransformersTextEncoder(text_encoder.model, tokenizer)
    with pytest.raises(TextEncoderError, match="no end-of-text token"):
        encoder.encode([""], "flexible")
    tokenizer.eos_token_id = 1
    assert [len(feature) for feature in encoder.encode(["", ""], "flexible")] == [1, 1]


def test_fixed_length_needs_a_padding_token(text_encoder):
    encoder = TransformersTextEncoder(text_encoder.model, NoTokens())
    with pytest.raises(TextEncoderError, match=r"no padding token.*length='flexible'"):
        encoder.encode(["a"], "fixed")


def test_no_texts_no_features(text_encoder):
    assert text_encoder.encode([], "fixed") == []
    assert text_encoder.count_tokens([]) == []


def test_wrong_arguments_are_named(text_encoder):
    with pytest.raises(ValueError, match="`length` must be 'fixed' or 'flexible', got 'short'"):
        text_encoder.encode(["a"], "short")
    with pytest.raises(ValueError, match="`fixed_length` must be at least 1, got 0"):
        TransformersTextEncoder(text_encoder.model, text_encoder.tokenizer, fixed_length=0)
