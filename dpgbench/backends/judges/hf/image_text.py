"""Image-text-to-text models, asked by the fastest of three methods that is shown to be right.

``keys``: the network reads the image once, and each question goes on from there (`SharedPrefix`).
``features``: the image trunk runs once; the language model reads image and question
(`SharedFeatures`). ``plain``: transformers' own `generate`, everything anew for each question
(`PlainGeneration`).

Whether a method answers as ``plain`` does is not assumed but tried, when the judge is loaded, with
two questions about an image of its own. So a family that nobody has run yet is asked slowly, not
wrongly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Literal

from dpgbench.backends.judges.hf.answers import (
    OVERFLOW_REMEDY,
    AnswerTokens,
    GeneratedTokens,
    PromptTemplate,
    kinds_of,
)
from dpgbench.backends.judges.hf.generation import (
    Generation,
    PlainGeneration,
    SharedFeatures,
    SharedPrefix,
)
from dpgbench.backends.judges.hf.inputs import InputBuilder, ModelInputs
from dpgbench.backends.judges.hf.load import loading_files
from dpgbench.backends.protocols import JudgeAnswer, TileQuestions
from dpgbench.errors import SetupError, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

MethodName = Literal["keys", "features", "plain"]

_METHODS: tuple[MethodName, ...] = ("keys", "features", "plain")
_QUESTIONS_AT_ONCE = 32
_TRIED = ("Is there a cat?", "Are the two large dogs on the left of the red house brown?")
_COMPARED = 10  # of the likeliest first tokens
_TOLERANCE = {"float32": 0.02, "float16": 0.1, "bfloat16": 0.5}  # of a log probability


class ImageTextAnswerer:
    """Asks an image-text-to-text model."""

    num_images_at_once = 1

    def __init__(self, judge: str, model: Any, processor: Any) -> None:
        self.model = model
        self.inputs = InputBuilder(judge, processor, model)
        self.answer_tokens = _answer_tokens(model, processor.tokenizer)
        self.at_once = 1 if model.config.is_encoder_decoder else _QUESTIONS_AT_ONCE
        with loading_files(f"judge {judge}"):
            self.method = self._find_method(judge)

    @property
    def prompt(self) -> PromptTemplate:
        """How questions are put."""
        return self.inputs.prompt

    def prepare(self, image: Image) -> Any:
        """Return an image as the network reads it; called in worker threads."""
        return self.inputs.images.prepare(image)

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile, in the order of its questions."""
        return [self._about(tile) if tile.questions else [] for tile in tiles]

    def _about(self, tile: TileQuestions) -> list[JudgeAnswer]:
        import torch

        with torch.inference_mode():
            model_inputs = self.inputs.rows(tile.image, self.inputs.texts(tile), tile.prepared)
            batches = list(self._generate(model_inputs, self.method))
        kinds = iter(kinds_of(tile))
        return [
            answer
            for batch in batches
            for answer in self.answer_tokens.answers(
                batch, list(islice(kinds, len(batch.first_logits)))
            )
        ]

    def _generate(self, model_inputs: ModelInputs, name: MethodName) -> Iterator[GeneratedTokens]:
        """Yield answers' tokens, batch by batch; a batch too large for the memory is halved."""
        import torch

        if not model_inputs.one_image:  # the question is part of what the image trunk is given
            for row, image in zip(model_inputs.rows, model_inputs.images, strict=True):
                yield PlainGeneration(self.model, self.answer_tokens, image).generate([row])
            return
        generation, rows = self._generation(model_inputs, name), model_inputs.rows
        while rows:
            try:
                generated = generation.generate(rows[: self.at_once])
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
                self.at_once = max(1, min(self.at_once, len(rows)) // 2)
                log.warning("out of memory: %d questions at once from here on", self.at_once)
                torch.cuda.empty_cache()
                continue
            rows = rows[self.at_once :]
            yield generated

    def _generation(self, model_inputs: ModelInputs, name: MethodName) -> Generation:
        image = model_inputs.images[0]
        if name == "keys":
            ids = self.inputs.image_ids
            return SharedPrefix(self.model, self.answer_tokens, image, model_inputs.rows, ids)
        method = SharedFeatures if name == "features" else PlainGeneration
        return method(self.model, self.answer_tokens, image)

    def _find_method(self, judge: str) -> MethodName:
        """Return the first method that answers as ``plain`` does, asked singly, about an image."""
        import torch

        with torch.inference_mode():
            tried = [self.prompt.put(question) for question in _TRIED]
            model_inputs = self.inputs.rows(_picture(), tried)
            _require_image(judge, model_inputs, self.inputs.image_ids)
            wanted = [
                generated
                for row, image in zip(model_inputs.rows, cycle(model_inputs.images), strict=False)
                for generated in self._generate(ModelInputs([row], [image]), "plain")
            ]
            if any(generated.overflowed for generated in wanted):
                raise SetupError(f"judge {judge}: its numbers overflow; {OVERFLOW_REMEDY}")
            for name in _METHODS:
                try:
                    batches = list(self._generate(model_inputs, name))
                except Exception as error:  # noqa: BLE001 - whatever an untried family raises
                    log.debug("judge %s: not by %s: %s", judge, name, reason_of(error))
                    continue
                if self._alike(batches, wanted):
                    log.debug("judge %s: asked by %s", judge, name)
                    return name
                log.debug("judge %s: other answers by %s", judge, name)
        log.info("judge %s: its answers depend on the batch; it is asked singly", judge)
        self.at_once = 1
        return "plain"

    def _alike(self, batches: Sequence[GeneratedTokens], wanted: Sequence[GeneratedTokens]) -> bool:
        """Return whether the likeliest first tokens are about as likely, and the words the same.

        Words are compared in float32 only: in less, a close call may fall either way.
        """
        import torch

        ours = torch.cat([generated.first_logits for generated in batches]).float().log_softmax(-1)
        theirs = torch.cat([generated.first_logits for generated in wanted]).float().log_softmax(-1)
        likely = theirs.topk(_COMPARED).indices
        furthest = float((ours - theirs).gather(-1, likely).abs().max())
        dtype = str(self.model.dtype).removeprefix("torch.")
        words, wanted_words = (
            [text for generated in by for text in self.answer_tokens.texts(generated.token_ids)]
            for by in (batches, wanted)
        )
        return furthest < _TOLERANCE[dtype] and (dtype != "float32" or words == wanted_words)


def _answer_tokens(model: Any, tokenizer: Any) -> AnswerTokens:
    """Return the tokenizer's side, and leave the model no settings but where an answer ends.

    A repository's own sampling and penalties are for conversation; they would change answers.
    """
    import transformers

    own = model.generation_config
    ends = _numbers(own.eos_token_id) or _numbers(tokenizer.eos_token_id)
    pad_id = next(iter([*_numbers(tokenizer.pad_token_id), *_numbers(own.pad_token_id), *ends, 0]))
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=own.bos_token_id,
        decoder_start_token_id=own.decoder_start_token_id,
        eos_token_id=ends or None,
        pad_token_id=pad_id,
    )
    return AnswerTokens(tokenizer, ends, pad_id)


def _numbers(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)


def _picture() -> Image:
    """Return an image on which methods are tried: every part of it looks different."""
    from PIL import Image

    across = Image.linear_gradient("L")
    bands = (Image.radial_gradient("L"), across, across.rotate(90))
    return Image.merge("RGB", bands).resize((320, 240))


def _require_image(judge: str, model_inputs: ModelInputs, image_ids: set[int]) -> None:
    """Raise where a prompt would reach the model without the image.

    Raises:
        SetupError: no token of the prompt stands for the image.
    """
    row = model_inputs.rows[0]["input_ids"][0].tolist()
    if not model_inputs.images[0] or (image_ids and not image_ids & set(row)):
        raise SetupError(
            f"judge {judge}: its chat template leaves the image out; take the repository's "
            "template for images (chat_template.jinja)"
        )
