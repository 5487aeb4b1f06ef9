"""Image-text-to-text models, asked in the fastest of three ways that is known to be right.

``keys``: the network reads the image once, and each question goes on from there (`ImagePrefix`).
``features``: the image trunk runs once; the language model reads image and question (`OnceSeen`).
``plain``: transformers' own `generate`, everything anew for each question (`Plain`).

Whether a way says what ``plain`` says is not assumed but tried, when the judge is loaded, with two
questions about a picture of its own. So a family that nobody has run yet is asked slowly, not
wrongly.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal

from dpgbench.backends.judges.hf.answers import OVERFLOW_REMEDY, Prompt, Speech, Spoken
from dpgbench.backends.judges.hf.generation import OnceSeen, Plain, Way
from dpgbench.backends.judges.hf.inputs import Prompted, Prompter
from dpgbench.backends.judges.hf.load import loading_judge
from dpgbench.backends.judges.hf.prefix import ImagePrefix
from dpgbench.backends.protocols import JudgeAnswer, TileQuestions
from dpgbench.errors import SetupError, reason_of

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger(__name__)

WayName = Literal["keys", "features", "plain"]

_WAYS: tuple[WayName, ...] = ("keys", "features", "plain")
_QUESTIONS_AT_ONCE = 32
_TRIED = ("Is there a cat?", "Are the two large dogs on the left of the red house brown?")
_COMPARED = 10  # of the likeliest first tokens
_TOLERANCE = {"float32": 0.02, "float16": 0.1, "bfloat16": 0.5}  # of a log probability


class ImageTextAnswerer:
    """Asks an image-text-to-text model."""

    num_images_at_once = 1

    def __init__(self, judge: str, model: Any, processor: Any) -> None:
        self.model = model
        self.prompter = Prompter(judge, processor, model)
        self.speech = _speech(model, processor.tokenizer)
        self.at_once = 1 if model.config.is_encoder_decoder else _QUESTIONS_AT_ONCE
        with loading_judge(judge):
            self.way = self._find_way(judge)

    @property
    def prompt(self) -> Prompt:
        """How questions are put."""
        return self.prompter.prompt

    def prepare(self, image: Image) -> Any:
        """Return an image as the network reads it; called in worker threads."""
        return self.prompter.images.prepare(image)

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile, in the order of its questions."""
        return [self._about(tile) if tile.questions else [] for tile in tiles]

    def _about(self, tile: TileQuestions) -> list[JudgeAnswer]:
        import torch

        with torch.inference_mode():
            prompted = self.prompter.rows(tile.image, tile.questions, tile.prepared)
            said = list(self._speak(prompted, self.way))
            return [answer for spoken in said for answer in self.speech.answers(spoken)]

    def _speak(self, prompted: Prompted, name: WayName) -> Iterator[Spoken]:
        """Yield what the model says, batch by batch; a batch that does not fit is halved."""
        import torch

        if not prompted.one_image:  # the question is part of what the image trunk is given
            for row, image in zip(prompted.rows, prompted.images, strict=True):
                yield Plain(self.model, self.speech, image).speak([row])
            return
        way, rows = self._way(prompted, name), prompted.rows
        while rows:
            try:
                spoken = way.speak(rows[: self.at_once])
            except torch.OutOfMemoryError:
                if self.at_once == 1:
                    raise
                self.at_once = max(1, min(self.at_once, len(rows)) // 2)
                log.warning("out of memory: %d questions at once from here on", self.at_once)
                torch.cuda.empty_cache()
                continue
            rows = rows[self.at_once :]
            yield spoken

    def _way(self, prompted: Prompted, name: WayName) -> Way:
        image = prompted.images[0]
        if name == "keys":
            ids = self.prompter.image_ids
            return ImagePrefix(self.model, self.speech, image, prompted.rows, ids)
        return (OnceSeen if name == "features" else Plain)(self.model, self.speech, image)

    def _find_way(self, judge: str) -> WayName:
        """Return the first way that says about a picture what `Plain` says, asked singly."""
        import torch

        with torch.inference_mode():
            prompted = self.prompter.rows(_picture(), _TRIED)
            _require_image(judge, prompted, self.prompter.image_ids)
            wanted = [
                spoken
                for row, image in zip(prompted.rows, cycle(prompted.images), strict=False)
                for spoken in self._speak(Prompted([row], [image]), "plain")
            ]
            if any(spoken.overflowed for spoken in wanted):
                raise SetupError(f"judge {judge}: its numbers overflow; {OVERFLOW_REMEDY}")
            for name in _WAYS:
                try:
                    said = list(self._speak(prompted, name))
                except Exception as error:  # noqa: BLE001 - a model nobody has run: whatever it is, not this way
                    log.debug("judge %s: not by %s: %s", judge, name, reason_of(error))
                    continue
                if self._alike(said, wanted):
                    log.debug("judge %s: asked by %s", judge, name)
                    return name
                log.debug("judge %s: by %s it says something else", judge, name)
        log.info("judge %s: its answers depend on the batch; it is asked singly", judge)
        self.at_once = 1
        return "plain"

    def _alike(self, said: Sequence[Spoken], wanted: Sequence[Spoken]) -> bool:
        """Return whether the likeliest first tokens are about as likely, and the words the same.

        Words are compared in float32 only: in less, a close call may fall either way.
        """
        import torch

        ours = torch.cat([spoken.first_logits for spoken in said]).float().log_softmax(-1)
        theirs = torch.cat([spoken.first_logits for spoken in wanted]).float().log_softmax(-1)
        likely = theirs.topk(_COMPARED).indices
        furthest = float((ours - theirs).gather(-1, likely).abs().max())
        dtype = str(self.model.dtype).removeprefix("torch.")
        words, wanted_words = (
            [text for spoken in by for text in self.speech.texts(spoken.token_ids)]
            for by in (said, wanted)
        )
        return furthest < _TOLERANCE[dtype] and (dtype != "float32" or words == wanted_words)


def _speech(model: Any, tokenizer: Any) -> Speech:
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
    return Speech(tokenizer, ends, pad_id)


def _numbers(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)


def _picture() -> Image:
    """Return a picture on which ways are tried: every part of it looks different."""
    from PIL import Image

    across = Image.linear_gradient("L")
    bands = (Image.radial_gradient("L"), across, across.rotate(90))
    return Image.merge("RGB", bands).resize((320, 240))


def _require_image(judge: str, prompted: Prompted, image_ids: set[int]) -> None:
    """Raise where a prompt would reach the model without the image.

    Raises:
        SetupError: no token of the prompt stands for the image.
    """
    row = prompted.rows[0]["input_ids"][0].tolist()
    if not prompted.images[0] or (image_ids and not image_ids & set(row)):
        raise SetupError(
            f"judge {judge}: its chat template leaves the image out; take the repository's "
            "template for images (chat_template.jinja)"
        )
