"""BLIP for visual question answering: an encoder of question and image, a decoder of the answer.

`BlipForQuestionAnswering.generate` lets the decoder attend to a question's padding, so that an
answer would depend on what else is in the batch. Here the padding is masked: each answer is the
one that `generate` gives to the question alone. An image is encoded once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dpgbench.backends.base import JudgeAnswer
from dpgbench.backends.hf_speech import BLIP_VQA, Prompt, Speech
from dpgbench.backends.hf_ways import generated

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

log = logging.getLogger(__name__)
_QUESTIONS_AT_ONCE = 128
_IMAGES_ON_GPU = 16


class BlipAnswerer:
    """Asks a `BlipForQuestionAnswering`."""

    prompt: Prompt = BLIP_VQA

    def __init__(self, model: Any, processor: Any, num_images_at_once: int | None) -> None:
        self.model, self.processor = model, processor
        self.num_images_at_once = num_images_at_once or (
            1 if model.device.type == "cpu" else _IMAGES_ON_GPU
        )
        text = model.config.text_config
        self.speech = Speech(processor.tokenizer, [text.sep_token_id], text.pad_token_id)
        self.longest = text.max_position_embeddings
        self.at_once = _QUESTIONS_AT_ONCE

    def answer(
        self, images: Sequence[Image], questions: Sequence[Sequence[str]]
    ) -> list[list[JudgeAnswer]]:
        """Return the answers to each image's questions; those of many images share batches."""
        import torch

        asked = [
            (number, self.prompt.put(question))
            for number, of_image in enumerate(questions)
            for question in of_image
        ]
        answers: list[list[JudgeAnswer]] = [[] for _ in images]
        if not asked:
            return answers
        with torch.inference_mode():
            seen = self._see(images)
            while asked:
                batch = asked[: self.at_once]
                try:
                    said = self._about(seen, batch)
                except torch.OutOfMemoryError:
                    if self.at_once == 1:
                        raise
                    self.at_once = max(1, len(batch) // 2)
                    log.warning("out of memory: %d questions at once from here on", self.at_once)
                    torch.cuda.empty_cache()
                    continue
                for (number, _), answer in zip(batch, said, strict=True):
                    answers[number].append(answer)
                asked = asked[len(batch) :]
        return answers

    def _see(self, images: Sequence[Image]) -> Tensor:
        """Return image states (images, patches, width)."""
        pixels = self.processor.image_processor(list(images), return_tensors="pt").pixel_values
        pixels = pixels.to(self.model.device, self.model.dtype)
        states: Tensor = self.model.vision_model(pixel_values=pixels).last_hidden_state
        return states

    def _about(self, seen: Tensor, asked: Sequence[tuple[int, str]]) -> list[JudgeAnswer]:
        import torch

        tokens = self.processor.tokenizer(
            [question for _, question in asked],
            padding=True,
            padding_side="right",
            truncation=True,
            max_length=self.longest,
            return_tensors="pt",
        ).to(self.model.device)
        image = seen[[number for number, _ in asked]]
        encoded = self.model.text_encoder(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            encoder_hidden_states=image,
            encoder_attention_mask=torch.ones(image.shape[:2], device=image.device),
        ).last_hidden_state
        start = torch.full((len(asked), 1), self.model.decoder_start_token_id, device=image.device)
        spoken = generated(
            self.model.text_decoder,
            self.speech,
            input_ids=start,
            encoder_hidden_states=encoded,
            encoder_attention_mask=tokens.attention_mask,
            eos_token_id=self.speech.end_ids,
            pad_token_id=self.speech.pad_id,
        )
        lengths = tokens.attention_mask.sum(-1).tolist()
        return [
            answer._replace(truncated=length >= self.longest)
            for answer, length in zip(self.speech.answers(spoken), lengths, strict=True)
        ]
