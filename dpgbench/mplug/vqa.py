"""The judge: pictures and questions in, answers out."""
# ruff: noqa: N803, N806

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Self

import torch
from PIL import Image
from torch import Tensor

from dpgbench.mplug.beam import beam_search, first_tokens
from dpgbench.mplug.checkpoint import load_network
from dpgbench.mplug.config import MplugConfig
from dpgbench.mplug.model import ImageMemory, Mplug
from dpgbench.mplug.processing import MplugProcessor

Decode = Literal["beam", "first-token"]
Picture = Image.Image | Tensor
FirstIds = Sequence[Sequence[Sequence[int]]]
"""For each image and question, numbers of tokens."""

_QUESTIONS_A_PASS = 64
_QUESTIONS_A_PASS_JOINT = 4  # where each question has image states of its own: 0.1 GB for each


class VqaAnswer(NamedTuple):
    """The judge's answer to one question.

    `score` is the answer's length-normalised log-probability. `p_yes`, from 0 to 1, is the
    probability of "yes" against "no" as first token, p(yes) / (p(yes) + p(no)): the same for every
    way of decoding; None if the vocabulary lacks one of them. `truncated`: the judge saw only the
    question's first 23 WordPieces. `p_first`, from 0 to 1: the probability that the first token is
    one of those that were asked about; None where none were.
    """

    text: str
    token_ids: tuple[int, ...]
    score: float
    p_yes: float | None
    truncated: bool
    p_first: float | None = None


class MplugVqa:
    """A network and its processor, ready to answer."""

    def __init__(self, network: Mplug, processor: MplugProcessor) -> None:
        self.network = network
        self.processor = processor

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        *,
        cache_dir: str | Path | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        weights_sha256: str | None = None,
        standard_bert: bool = False,
    ) -> Self:
        """See `load_mplug`."""
        config = MplugConfig.from_folder(folder, standard_bert=standard_bert)
        processor = MplugProcessor.from_folder(folder, config)
        network = load_network(
            folder,
            config,
            cache_dir=cache_dir,
            device=device,
            dtype=dtype,
            weights_sha256=weights_sha256,
        )
        return cls(network, processor)

    @torch.inference_mode()
    def ask(
        self,
        images: Sequence[Picture],
        questions: Sequence[Sequence[str]],
        *,
        batch_size: int = 1,
        decode: Decode = "beam",
        first_ids: FirstIds | None = None,
    ) -> list[list[VqaAnswer]]:
        """Answers to each image's questions, in their order.

        Args:
            images: of any size and mode; or what `prepare` made of them.
            questions: for each image, any number of questions.
            batch_size: images that are encoded together. It changes speed and memory, not answers.
                Each needs about 0.15 GB for what its questions share (real size, float32).
            decode: "beam", the published judge; "first-token" takes the most probable first token.
            first_ids: for each image and question, the tokens whose probability as the answer's
                first is wanted.

        Raises:
            ValueError: an argument makes no sense; it is named.
            ArithmeticError: the network overflowed in a narrow floating-point type.
        """
        _check_arguments(images, questions, batch_size, decode)
        answers: list[list[VqaAnswer]] = [[] for _ in images]
        asked = [i for i in range(len(images)) if questions[i]]
        for start in range(0, len(asked), batch_size):
            batch = asked[start : start + batch_size]
            batch_answers = self._ask_batch(
                [images[i] for i in batch],
                [questions[i] for i in batch],
                decode,
                None if first_ids is None else [first_ids[i] for i in batch],
            )
            for i, of_image in zip(batch, batch_answers, strict=True):
                answers[i] = of_image
        return answers

    def prepare(self, image: Image.Image) -> Tensor:
        """An image as the network reads it, [3, image_px, image_px]; may run in any thread."""
        return self.processor.pixels(image)

    def compile(self) -> None:
        """Let torch.compile speed up the parts; the first answers take minutes longer."""
        for part in (self.network.image_encoder, self.network.text_encoder, self.network.fusion):
            part.compile(dynamic=True)

    @torch.inference_mode()
    def encode_images(self, images: Sequence[Picture]) -> ImageMemory:
        """What all questions about some images share."""
        prepared = [image if isinstance(image, Tensor) else self.prepare(image) for image in images]
        return self.network.encode_images(self._like_weights(torch.stack(prepared)))

    @torch.inference_mode()
    def answer(
        self,
        memory: ImageMemory,
        questions: Sequence[str],
        image_index: Sequence[int],
        *,
        decode: Decode = "beam",
        first_ids: Sequence[Sequence[int]] | None = None,
    ) -> list[VqaAnswer]:
        """Answers to questions about images encoded before.

        Args:
            memory: the images, from `encode_images`.
            questions: one text a question.
            image_index: for each question, which image of `memory` it is about, from 0.
            decode: as for `ask`.
            first_ids: for each question, tokens, as for `ask`.
        """
        if len(questions) != len(image_index):
            raise ValueError(f"image_index: {len(image_index)} for {len(questions)} questions")
        joint = self.network.config.first_joint_layer is not None
        size = _QUESTIONS_A_PASS_JOINT if joint else _QUESTIONS_A_PASS
        answers: list[VqaAnswer] = []
        for start in range(0, len(questions), size):
            part = slice(start, start + size)
            wanted = None if first_ids is None else first_ids[part]
            answers += self._answer_part(memory, questions[part], image_index[part], decode, wanted)
        return answers

    def _ask_batch(
        self,
        images: Sequence[Picture],
        questions: Sequence[Sequence[str]],
        decode: Decode,
        first_ids: FirstIds | None,
    ) -> list[list[VqaAnswer]]:
        """`ask` for images that are encoded together and forgotten together."""
        image_index = [k for k, texts in enumerate(questions) for _ in texts]
        texts = [text for texts in questions for text in texts]
        wanted = None if first_ids is None else [ids for of_one in first_ids for ids in of_one]
        memory = self.encode_images(images)
        answers = iter(self.answer(memory, texts, image_index, decode=decode, first_ids=wanted))
        return [[next(answers) for _ in texts] for texts in questions]

    def _answer_part(
        self,
        memory: ImageMemory,
        questions: Sequence[str],
        image_index: Sequence[int],
        decode: Decode,
        first_ids: Sequence[Sequence[int]] | None,
    ) -> list[VqaAnswer]:
        rules = self.network.config.search
        token_ST, truncated = self.processor.questions(questions)
        device = memory.x_IPD.device
        longest = int((token_ST != self.network.config.pad_id).sum(1).max())
        image_S = torch.tensor(image_index, device=device)
        decoding = self.network.decoding(token_ST[:, :longest].to(device), image_S, memory)
        first_SV = decoding.begin(rules.start_id)
        hypotheses = (
            beam_search(first_SV, decoding, rules)
            if decode == "beam"
            else first_tokens(first_SV, rules)
        )
        return [
            VqaAnswer(self.processor.text(token_ids), token_ids, score, p_yes, cut, p_first)
            for (token_ids, score), p_yes, cut, p_first in zip(
                hypotheses,
                self._p_yes(first_SV),
                truncated,
                _p_first(first_SV, first_ids),
                strict=True,
            )
        ]

    def _p_yes(self, first_SV: Tensor) -> list[float | None]:
        if self.processor.yes_no_ids is None:
            return [None] * len(first_SV)
        yes, no = self.processor.yes_no_ids
        return [*(first_SV[:, yes] - first_SV[:, no]).sigmoid().tolist()]

    def _like_weights(self, pixels: Tensor) -> Tensor:
        weights = next(self.network.parameters())
        return pixels.to(weights.device, weights.dtype)


def _p_first(first_SV: Tensor, first_ids: Sequence[Sequence[int]] | None) -> list[float | None]:
    """The probability of each row's tokens together; None where it has none."""
    if first_ids is None:
        return [None] * len(first_SV)
    p_SV = first_SV.float().softmax(-1)
    return [
        float(row[list(ids)].sum().clamp(max=1)) if ids else None
        for row, ids in zip(p_SV, first_ids, strict=True)
    ]


def load_mplug(
    folder: str | Path,
    *,
    cache_dir: str | Path | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    weights_sha256: str | None = None,
    standard_bert: bool = False,
) -> MplugVqa:
    """The judge in a folder of ModelScope's layout.

    Args:
        folder: holds configuration.json, config.yaml, config_bert.json, vocab.txt and
            pytorch_model.bin (or model.safetensors).
        cache_dir: where the weights are kept converted; None: they are read as they are each time.
        device: where to run.
        dtype: float32 is the published judge; float16 and bfloat16 may change close answers.
        weights_sha256: of pytorch_model.bin where it is known; spares reading 3 GB to name its
            converted copy.
        standard_bert: take mPLUG-large's own config_bert.json where the folder has none. Names and
            shapes of all tensors are checked as strictly; what they do not show (heads, `eps`,
            the activation, mostly the stride) is taken on trust.

    Raises:
        CheckpointError: a file is missing, damaged, or not this network's; it is named.
    """
    return MplugVqa.from_folder(
        folder,
        cache_dir=cache_dir,
        device=device,
        dtype=dtype,
        weights_sha256=weights_sha256,
        standard_bert=standard_bert,
    )


def _check_arguments(
    images: Sequence[Picture], questions: Sequence[Sequence[str]], batch_size: int, decode: str
) -> None:
    if len(images) != len(questions):
        raise ValueError(f"questions: {len(questions)} lists for {len(images)} images")
    if any(isinstance(texts, str) for texts in questions):
        raise ValueError("questions: expected a list of texts for each image, found a text")
    if batch_size < 1:
        raise ValueError(f"batch_size: expected at least 1, found {batch_size}")
    if decode not in ("beam", "first-token"):
        raise ValueError(f"decode: expected 'beam' or 'first-token', found {decode!r}")
