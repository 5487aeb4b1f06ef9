"""BLIP for visual question answering: an encoder of question and image, a decoder of the answer.

`BlipForQuestionAnswering.generate` lets the decoder attend to a question's padding, and its
cross-attention takes no mask: an answer would depend on what else is in the batch. So questions of
equal length go together, without padding: each answer is the one that `generate` gives to the
question alone. An image is encoded once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.judges.hf.answers import (
    BLIP_VQA,
    AnswerKind,
    AnswerTokens,
    PromptTemplate,
    kinds_of,
)
from dpgbench.backends.judges.hf.generation import generate_greedily
from dpgbench.backends.protocols import JudgeAnswer, TileQuestions

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_QUESTIONS_AT_ONCE = 128
_IMAGES_ON_GPU = 16
_UNSAID = JudgeAnswer("", invalid=True)


class _Asked(NamedTuple):
    """A question: of which tile, which of its questions, its tokens, and what it wants."""

    tile: int
    number: int
    token_ids: list[int]
    truncated: bool
    kind: AnswerKind


class BlipAnswerer:
    """Asks a `BlipForQuestionAnswering`."""

    prompt: PromptTemplate = BLIP_VQA

    def __init__(self, model: Any, processor: Any, num_images_at_once: int | None) -> None:
        self.model, self.processor = model, processor
        self.num_images_at_once = num_images_at_once or (
            1 if model.device.type == "cpu" else _IMAGES_ON_GPU
        )
        text = model.config.text_config
        self.tokenizer = processor.tokenizer
        self.answer_tokens = AnswerTokens(self.tokenizer, [text.sep_token_id], text.pad_token_id)
        self.longest = text.max_position_embeddings

    def prepare(self, image: Image) -> Tensor:
        """Return an image as the network reads it (1, 3, side, side); called in worker threads."""
        pixels: Tensor = self.processor.image_processor(image, return_tensors="pt").pixel_values
        return pixels

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile; those of many tiles share batches."""
        import torch

        answers: list[list[JudgeAnswer]] = [[_UNSAID] * len(tile.questions) for tile in tiles]
        with torch.inference_mode():
            seen = self._see(tiles)
            for batch in self._batches(tiles):
                for asked, answer in zip(batch, self._about(seen, batch), strict=True):
                    answers[asked.tile][asked.number] = answer
        return answers

    def _batches(self, tiles: Sequence[TileQuestions]) -> Iterator[list[_Asked]]:
        """Yield questions of equal length together, whatever image they are about."""
        by_length: dict[int, list[_Asked]] = defaultdict(list)
        for place, tile in enumerate(tiles):
            for number, (question, kind) in enumerate(
                zip(tile.questions, kinds_of(tile), strict=True)
            ):
                text = self.prompt.put(question)
                whole = self.tokenizer(text, verbose=False).input_ids
                read = self.tokenizer(text, truncation=True, max_length=self.longest).input_ids
                asked = _Asked(place, number, read, len(read) < len(whole), kind)
                by_length[len(read)].append(asked)
        for alike in by_length.values():
            for start in range(0, len(alike), _QUESTIONS_AT_ONCE):
                yield alike[start : start + _QUESTIONS_AT_ONCE]

    def _see(self, tiles: Sequence[TileQuestions]) -> Tensor:
        """Return image states (tiles, patches, width)."""
        import torch

        pixels = [
            self.prepare(tile.image) if tile.prepared is None else tile.prepared for tile in tiles
        ]
        placed = torch.cat(pixels).to(self.model.device, self.model.dtype)
        states: Tensor = self.model.vision_model(pixel_values=placed).last_hidden_state
        return states

    def _about(self, seen: Tensor, batch: Sequence[_Asked]) -> list[JudgeAnswer]:
        import torch

        device = self.model.device
        encoded = self.model.text_encoder(
            input_ids=torch.tensor([asked.token_ids for asked in batch], device=device),
            encoder_hidden_states=seen[[asked.tile for asked in batch]],
        ).last_hidden_state
        generated = generate_greedily(
            self.model.text_decoder,
            self.answer_tokens,
            input_ids=torch.full((len(batch), 1), self.model.decoder_start_token_id, device=device),
            encoder_hidden_states=encoded,
            eos_token_id=self.answer_tokens.end_ids,
            pad_token_id=self.answer_tokens.pad_id,
        )
        answers = self.answer_tokens.answers(generated, [asked.kind for asked in batch])
        return [
            answer._replace(truncated=asked.truncated)
            for answer, asked in zip(answers, batch, strict=True)
        ]
