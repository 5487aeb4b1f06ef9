"""Ways to ask an image's questions that read each prompt whole; `ImagePrefix` does not.

A way is built for one image and then asked in batches: `speak(rows)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

from dpgbench.backends.judges.hf.answers import MAX_NEW_TOKENS, Speech, Spoken
from dpgbench.backends.judges.hf.inputs import Row, left_padded, repeated

if TYPE_CHECKING:
    from torch import Tensor

_PIXELS = ("pixel_values", "pixel_values_images", "image_patches")


class NotShareableError(Exception):
    """This way does not fit the model."""


class Way(Protocol):
    """One image, ready to be asked about."""

    def speak(self, rows: Sequence[Row]) -> Spoken:
        """Return what the model says to each row."""


class Plain:
    """transformers' own `generate`, with a copy of the image for each question."""

    def __init__(self, model: Any, speech: Speech, image: Mapping[str, Tensor]) -> None:
        self.model, self.speech, self.image = model, speech, image

    def speak(self, rows: Sequence[Row]) -> Spoken:
        """Return what the model says to each row."""
        return generated(
            self.model,
            self.speech,
            **left_padded(rows, self.speech.pad_id),
            **repeated(self.image, len(rows)),
        )


class OnceSeen:
    """As `Plain`, but the image trunk runs once: its features are copied, not the image.

    Raises:
        NotShareableError: this model, or this transformers, takes no features.
    """

    def __init__(self, model: Any, speech: Speech, image: Mapping[str, Tensor]) -> None:
        see = getattr(model.base_model, "get_image_features", None)
        if see is None or "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
            raise NotShareableError("it takes no image features")
        wanted = inspect.signature(see).parameters
        self.model, self.speech = model, speech
        self.seen = see(**{name: image[name] for name in image if name in wanted}, return_dict=True)
        if getattr(self.seen, "deepstack_features", None) is not None:
            raise NotShareableError("its features are of several layers")
        self.rest = {name: value for name, value in image.items() if name not in _PIXELS}

    def speak(self, rows: Sequence[Row]) -> Spoken:
        """Return what the model says to each row."""
        pooled, times = self.seen.pooler_output, len(rows)
        copied = copy(self.seen)
        copied.pooler_output = (
            list(pooled) * times
            if isinstance(pooled, list | tuple)
            else pooled.repeat(times, *(1,) * (pooled.ndim - 1))
        )
        return generated(
            self.model,
            self.speech,
            **left_padded(rows, self.speech.pad_id),
            **repeated(self.rest, times),
            mm_encoder_outputs={"image": copied},
        )


def generated(model: Any, speech: Speech, **inputs: Any) -> Spoken:
    """Return what `model.generate` says greedily, as far as answers need it."""
    import transformers

    done = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        output_logits=True,
        return_dict_in_generate=True,
        stopping_criteria=transformers.StoppingCriteriaList([_Ended(speech)]),
    )
    return Spoken(done.logits[0], done.sequences[:, -len(done.logits) :])


class _Ended:
    """Stops `generate` where every answer stands; it is called once a token."""

    def __init__(self, speech: Speech) -> None:
        self.speech = speech
        self.num_spoken = 0

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self.num_spoken += 1
        return self.speech.ended(input_ids[:, -self.num_spoken :])
