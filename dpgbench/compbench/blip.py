"""BLIP as T2I-CompBench asks it: the probability of yes against no, for a picture and its chunks.

The network is transformers' `BlipForQuestionAnswering`, of which one step of the decoder is taken;
`blip_reading` runs its layers. A picture is encoded once for all of its questions.
"""
# ruff: noqa: N803, N806

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BertTokenizer, BlipForQuestionAnswering

from dpgbench.compbench.blip_checkpoint import VOCAB_FILE, VOCAB_SIZE, load_network
from dpgbench.compbench.blip_reading import BlipReader, PaddedQuestions, fuse_image_attention
from dpgbench.compbench.errors import WeightsError
from dpgbench.compbench.questions import clean_question, has_too_many_words

PIXEL_MEAN: Final = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
PIXEL_STD: Final = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
"""CLIP's, for red, green and blue of 0 to 1."""

_DEC: Final = 30522
_ENC: Final = 30523
_YES: Final = 2748
_NO: Final = 2053
_MOST_TOKENS: Final = 35
_WORDS: Final = VOCAB_SIZE - 2
_SPECIAL: Final = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "yes": _YES, "no": _NO}
_QUESTIONS_AT_ONCE: Final = 128


class BlipAnswer(NamedTuple):
    """What the network makes of one question.

    Attributes:
        p_yes: probability of yes, where there is yes and no alone.
        truncated: the question was longer than 35 tokens or 50 words.
        logits: of yes and of no.
    """

    p_yes: float
    truncated: bool
    logits: tuple[float, float]


class _Asked(NamedTuple):
    """A question: of which picture, which of its questions, its tokens, and whether it was cut."""

    picture: int
    number: int
    token_ids: list[int]
    truncated: bool


class BlipVqa:
    """Answers chunks about pictures.

    Args:
        network: with its weights; its image encoder is made to attend by torch's fused kernel.
        tokenizer: BERT's, of 30,522 words.
        questions_at_once: questions that go through the network together, of whatever pictures.
    """

    def __init__(
        self,
        network: BlipForQuestionAnswering,
        tokenizer: BertTokenizer,
        *,
        questions_at_once: int = _QUESTIONS_AT_ONCE,
    ) -> None:
        fuse_image_attention(network)
        self.network, self.tokenizer = network, tokenizer
        self.reader = BlipReader(network)
        self.questions_at_once = questions_at_once
        self.image_px: int = network.config.vision_config.image_size

    @classmethod
    def from_folder(
        cls, folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "BlipVqa":
        """The network and the vocabulary of a folder.

        Raises:
            WeightsError: a file is missing, damaged or of another network.
        """
        tokenizer = read_tokenizer(folder / VOCAB_FILE)
        return cls(load_network(folder, device=device, dtype=dtype), tokenizer)

    def prepare(self, picture: Image.Image) -> Tensor:
        """Normalised pixels [3, image_px, image_px], float32; the aspect is not kept.

        Alpha is dropped, not laid over white, as the original's `convert("RGB")` does.
        """
        resized = resize(picture.convert("RGB"), self.image_px, self.image_px)
        return normalised(resized)

    def ask(
        self, pictures: Sequence[Tensor], questions: Sequence[Sequence[str]]
    ) -> list[list[BlipAnswer]]:
        """The answers about each picture, in the order of its questions.

        Args:
            pictures: as `prepare` gives them.
            questions: chunks with their question mark, as they are in the prompt.
        """
        answers: list[list[BlipAnswer | None]] = [[None] * len(of_one) for of_one in questions]
        with torch.inference_mode():
            asked = self._tokens(questions)
            if not asked:
                return [[] for _ in questions]
            keys = self.reader.picture_keys(self._encode(pictures))
            for start in range(0, len(asked), self.questions_at_once):
                batch = asked[start : start + self.questions_at_once]
                logits_NW = self.reader.first_logits(keys, self._padded(batch), _DEC, (_YES, _NO))
                for question, answer in zip(batch, _answers(logits_NW), strict=True):
                    answers[question.picture][question.number] = answer._replace(
                        truncated=question.truncated
                    )
        return [[answer for answer in of_one if answer] for of_one in answers]

    def _tokens(self, questions: Sequence[Sequence[str]]) -> list[_Asked]:
        asked = []
        for picture, of_one in enumerate(questions):
            for number, question in enumerate(of_one):
                token_ids, truncated = self.token_ids(question)
                asked.append(_Asked(picture, number, token_ids, truncated))
        return asked

    def token_ids(self, question: str) -> tuple[list[int], bool]:
        """Token numbers of a question, the first of them [ENC], and whether it was cut."""
        text = clean_question(question)
        words = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        kept = words[: _MOST_TOKENS - 2]
        token_ids = [_ENC, *kept, _SPECIAL["[SEP]"]]
        return token_ids, len(kept) < len(words) or has_too_many_words(question)

    def _padded(self, batch: Sequence[_Asked]) -> PaddedQuestions:
        return PaddedQuestions(
            [question.token_ids for question in batch],
            [question.picture for question in batch],
            self.network.device,
        )

    def _encode(self, pictures: Sequence[Tensor]) -> Tensor:
        """Image states [pictures, patches + 1, width]."""
        pixels = torch.stack(list(pictures)).to(self.network.device, self.network.dtype)
        states: Tensor = self.network.vision_model(pixel_values=pixels).last_hidden_state
        return states


def resize(picture: Image.Image, width: int, height: int) -> Image.Image:
    """A picture of another size, by Pillow's bicubic filter: its width first, then its height.

    In one call Pillow 13 takes tall pictures height first, and up to a fifth of the bytes differ;
    every release before, and so the original, takes the width first. Two calls give that with any
    release, bit for bit: the values are rounded to bytes between the passes either way.
    """
    narrow = picture.resize((width, picture.height), Image.Resampling.BICUBIC)
    return narrow.resize((width, height), Image.Resampling.BICUBIC)


def normalised(picture: Image.Image) -> Tensor:
    """Pixels [3, height, width] of an RGB picture, float32, by CLIP's mean and deviation."""
    pixels = torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)
    scaled = pixels.to(torch.float32).div(255)
    mean, std = (torch.from_numpy(values)[:, None, None] for values in (PIXEL_MEAN, PIXEL_STD))
    return scaled.sub(mean).div(std).contiguous()


def read_tokenizer(path: Path) -> BertTokenizer:
    """BERT's tokenizer with the vocabulary of a file.

    Raises:
        WeightsError: it is not there, or not that of bert-base-uncased.
    """
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError):
        raise WeightsError(
            f"{path} is not there or cannot be read; it is the vocab.txt of bert-base-uncased"
        ) from None
    vocabulary = {line: number for number, line in enumerate(lines)}
    odd = [word for word, number in _SPECIAL.items() if vocabulary.get(word) != number]
    if odd or len(lines) not in (_WORDS, VOCAB_SIZE):
        what = f"{odd[0]} is not in its line" if odd else f"{len(lines):,} lines"
        raise WeightsError(f"{path}: {what}; take the vocab.txt of bert-base-uncased")
    return BertTokenizer(vocab=vocabulary, do_lower_case=True)


def _answers(logits_NW: Tensor) -> list[BlipAnswer]:
    """Probabilities of yes against no, from the logits of both in float32.

    The original divides two probabilities of the whole vocabulary's softmax: the same number.
    """
    shares = (logits_NW[:, 0] - logits_NW[:, 1]).sigmoid().tolist()
    return [
        BlipAnswer(share, truncated=False, logits=(yes, no))
        for share, (yes, no) in zip(shares, logits_NW.tolist(), strict=True)
    ]
