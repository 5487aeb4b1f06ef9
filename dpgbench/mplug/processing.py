"""Between people and tensors: pictures to pixels, questions to token numbers, and back to words."""
# ruff: noqa: N806, N815

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BertTokenizer

from dpgbench.mplug.config import MplugConfig
from dpgbench.mplug.errors import CheckpointError

VOCAB_FILE: Final = "vocab.txt"

_PIXEL_MEAN: Final = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_PIXEL_STD: Final = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
_UNKNOWN: Final = "[UNK]"
_SPECIAL: Final = frozenset({"[PAD]", _UNKNOWN, "[CLS]", "[SEP]", "[MASK]"})
_CLEAN_UP: Final = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


class Questions(NamedTuple):
    """Token numbers [S, question length], padded; and which questions lost their end."""

    token_ST: Tensor
    truncated: tuple[bool, ...]


class MplugProcessor:
    """The judge's preprocessing, exactly as its published pipeline does it."""

    def __init__(self, vocabulary: dict[str, int], config: MplugConfig) -> None:
        self._config = config
        self._number_of = dict(vocabulary)
        self._word_of = {number: word for word, number in vocabulary.items()}
        self._tokenizer = BertTokenizer(vocab=vocabulary, do_lower_case=True)
        yes, no = vocabulary.get("yes"), vocabulary.get("no")
        self.yes_no_ids = None if yes is None or no is None else (yes, no)
        """Numbers of the tokens "yes" and "no"; None if the vocabulary lacks one."""

    def word_ids(self, words: Iterable[str]) -> list[int]:
        """Numbers of the words that the vocabulary holds whole, each once.

        Case and spaces around do not count, for the vocabulary is of lower case.
        """
        plain = dict.fromkeys(word.strip().lower() for word in words)
        return [self._number_of[word] for word in plain if word in self._number_of]

    @classmethod
    def from_folder(cls, folder: str | Path, config: MplugConfig) -> Self:
        """A processor with the folder's vocabulary.

        Raises:
            CheckpointError: vocab.txt is missing or does not fit the network.
        """
        path = Path(folder) / VOCAB_FILE
        try:
            lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(
                f"{path}: {_reason(error)}; the judge needs it, download the folder again"
            ) from None
        vocabulary = {line: number for number, line in enumerate(lines)}
        _check_vocabulary(path, vocabulary, len(lines), config)
        return cls(vocabulary, config)

    def pixels(self, image: Image.Image) -> Tensor:
        """Normalised pixels [3, image_px, image_px], float32; the image's aspect is not kept."""
        resized = _resized(image.convert("RGB"), self._config.image_px)
        rgb_XYC = np.asarray(resized, dtype=np.float32) / np.float32(255)
        normal_XYC = torch.from_numpy((rgb_XYC - _PIXEL_MEAN) / _PIXEL_STD)
        return normal_XYC.permute(2, 0, 1).contiguous()

    def questions(self, texts: Sequence[str]) -> Questions:
        """Token numbers of lower-cased questions; no more than 25 with start and end are seen."""
        search, length = self._config.search, self._config.question_length
        token_ST = torch.full((len(texts), length), self._config.pad_id)
        truncated = []
        for row_T, text in zip(token_ST, texts, strict=True):
            words = self._tokenizer(text.lower(), add_special_tokens=False)["input_ids"]
            seen = [search.start_id, *words[: length - 2], search.end_id]
            row_T[: len(seen)] = torch.tensor(seen)
            truncated.append(len(words) > length - 2)
        return Questions(token_ST, tuple(truncated))

    def text(self, token_ids: Sequence[int]) -> str:
        """The words of an answer, without special tokens.

        WordPieces are joined, then spaces before punctuation and contractions go, as transformers
        did by default when the judge was published (`clean_up_tokenization_spaces`).
        """
        words = [self._word_of.get(number, _UNKNOWN) for number in token_ids]
        text = " ".join(word for word in words if word not in _SPECIAL).replace(" ##", "").strip()
        for spaced in _CLEAN_UP:
            text = text.replace(spaced, spaced.strip())
        return text


def _resized(image: Image.Image, side_px: int) -> Image.Image:
    """`image` as a square, by Pillow's bicubic filter: its width first, then its height.

    In one call Pillow 13 takes tall pictures height first, and up to a fifth of the bytes differ;
    every release before, and so the published judge, takes the width first. Two calls give that
    with any release, bit for bit: the values are rounded to bytes between the passes either way.
    """
    narrow = image.resize((side_px, image.height), Image.Resampling.BICUBIC)
    return narrow.resize((side_px, side_px), Image.Resampling.BICUBIC)


def _check_vocabulary(
    path: Path, vocabulary: dict[str, int], num_lines: int, config: MplugConfig
) -> None:
    search = config.search
    needed = {"[PAD]": config.pad_id, "[CLS]": search.start_id, "[SEP]": search.end_id}
    for word, number in needed.items():
        if vocabulary.get(word) != number:
            actual = f"line {vocabulary[word] + 1}" if word in vocabulary else "no line"
            raise CheckpointError(f"{path}: expected {word} in line {number + 1}, found {actual}")
    if num_lines > config.vocab_size:
        raise CheckpointError(
            f"{path}: {num_lines} lines, but the network's vocab_size is {config.vocab_size}"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "not there"
    return error.strerror or "unreadable" if isinstance(error, OSError) else "not UTF-8 text"
