"""A text encoder whose tokenizer's files are missing reads every prompt alike: it is refused."""

import shutil
from pathlib import Path

import pytest

import dpgbench
from ella.text_encoder import T5TextEncoder, TextEncoderError


def test_a_folder_without_the_tokenizers_words_is_refused(tmp_path):
    source = Path(dpgbench.__file__).parent / "embedded/ella/text_encoder"
    shutil.copytree(source, tmp_path / "encoder")
    T5TextEncoder.from_pretrained(tmp_path / "encoder")
    (tmp_path / "encoder" / "tokenizer.json").unlink()
    with pytest.raises(TextEncoderError, match="tokenizer knows 4 tokens of the encoder's"):
        T5TextEncoder.from_pretrained(tmp_path / "encoder")
