"""How an image's questions are answered: three methods, from the safest to the fastest.

Each is built for one image and then asked in batches: `generate(rows)`.

`PlainGeneration` is transformers' own `generate`: everything anew for each question.
`SharedFeatures` runs the image trunk once; the language model reads image and question.
`SharedPrefix` reads the image once: its keys and values serve every question. A chat puts the image
before the question, and what the network makes of the tokens up to the image's last does not depend
on what follows, where attention is causal. So these keys and values are computed once an image, and
copied for each question of a batch. A row is then ``prefix, padding, question``: padding is masked,
and positions do not count it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Protocol

from dpgbench.backends.judges.hf.answers import MAX_NEW_TOKENS, AnswerTokens, GeneratedTokens
from dpgbench.backends.judges.hf.inputs import Row, left_padded, repeated

if TYPE_CHECKING:
    from torch import Tensor

_PIXELS = ("pixel_values", "pixel_values_images", "image_patches")


class NotShareableError(Exception):
    """This method does not fit the model."""


class Generation(Protocol):
    """One image, ready to be asked about."""

    def generate(self, rows: Sequence[Row]) -> GeneratedTokens:
        """Return the answers' tokens, a row of them for each of `rows`."""


class PlainGeneration:
    """transformers' own `generate`, with a copy of the image for each question."""

    def __init__(
        self, model: Any, answer_tokens: AnswerTokens, image: Mapping[str, Tensor]
    ) -> None:
        self.model, self.answer_tokens, self.image = model, answer_tokens, image

    def generate(self, rows: Sequence[Row]) -> GeneratedTokens:
        """Return the answers' tokens, a row of them for each of `rows`."""
        return generate_greedily(
            self.model,
            self.answer_tokens,
            **left_padded(rows, self.answer_tokens.pad_id),
            **repeated(self.image, len(rows)),
        )


class SharedFeatures:
    """As `PlainGeneration`, but the image trunk runs once: its features are copied, not the image.

    Raises:
        NotShareableError: this model, or this transformers, takes no features.
    """

    def __init__(
        self, model: Any, answer_tokens: AnswerTokens, image: Mapping[str, Tensor]
    ) -> None:
        see = getattr(model.base_model, "get_image_features", None)
        if see is None or "mm_encoder_outputs" not in inspect.signature(model.forward).parameters:
            raise NotShareableError("it takes no image features")
        wanted = inspect.signature(see).parameters
        self.model, self.answer_tokens = model, answer_tokens
        self.seen = see(**{name: image[name] for name in image if name in wanted}, return_dict=True)
        if getattr(self.seen, "deepstack_features", None) is not None:
            raise NotShareableError("its features are of several layers")
        self.rest = {name: value for name, value in image.items() if name not in _PIXELS}

    def generate(self, rows: Sequence[Row]) -> GeneratedTokens:
        """Return the answers' tokens, a row of them for each of `rows`."""
        pooled, times = self.seen.pooler_output, len(rows)
        copied = copy(self.seen)
        copied.pooler_output = (
            list(pooled) * times
            if isinstance(pooled, list | tuple)
            else pooled.repeat(times, *(1,) * (pooled.ndim - 1))
        )
        return generate_greedily(
            self.model,
            self.answer_tokens,
            **left_padded(rows, self.answer_tokens.pad_id),
            **repeated(self.rest, times),
            mm_encoder_outputs={"image": copied},
        )


def generate_greedily(model: Any, answer_tokens: AnswerTokens, **inputs: Any) -> GeneratedTokens:
    """Return what `model.generate` generates greedily, as far as answers need it."""
    import transformers

    done = model.generate(
        **inputs,
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        output_logits=True,
        return_dict_in_generate=True,
        stopping_criteria=transformers.StoppingCriteriaList([_Ended(answer_tokens)]),
    )
    return GeneratedTokens(done.logits[0], done.sequences[:, -len(done.logits) :])


class _Ended:
    """Stops `generate` where every answer stands; it is called once a token."""

    def __init__(self, answer_tokens: AnswerTokens) -> None:
        self.answer_tokens = answer_tokens
        self.num_generated = 0

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        self.num_generated += 1
        return self.answer_tokens.ended(input_ids[:, -self.num_generated :])


class SharedPrefix:
    """Keys and values of the tokens up to the image's last, computed for one image."""

    def __init__(
        self,
        model: Any,
        answer_tokens: AnswerTokens,
        image: Mapping[str, Tensor],
        rows: Sequence[Row],
        image_ids: set[int],
    ) -> None:
        import torch

        self.model, self.answer_tokens = model, answer_tokens
        self.length = _length(rows, image_ids)
        if "token_type_ids" in rows[0]:  # a prefix that sees the question: PaliGemma, Gemma 3
            raise NotShareableError("its image tokens attend to what follows")
        beginning = {name: value[:, : self.length] for name, value in rows[0].items()}
        parameters = inspect.signature(model.forward).parameters
        self.options = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        done = model(**beginning, **image, use_cache=True, **self.options)
        self.layers = _plain_layers(done.past_key_values)
        deltas = (getattr(module, "rope_deltas", None) for module in model.modules())
        delta = next((delta for delta in deltas if delta is not None), None)
        self.delta = None if delta is None else torch.as_tensor(delta).flatten()[0]

    def generate(self, rows: Sequence[Row]) -> GeneratedTokens:
        """Return the answers' tokens; each of `rows` begins as the image's prompts do."""
        import torch

        answer_tokens = self.answer_tokens
        questions = left_padded([_after(row, self.length) for row in rows], answer_tokens.pad_id)
        mask = questions["attention_mask"]
        seen = torch.cat([mask.new_ones(len(rows), self.length), mask], dim=1)
        positions = self.length + (mask.cumsum(-1) - 1).clamp(min=0)
        cache = self._copied(len(rows))
        logits = self._step(questions["input_ids"], seen, positions, cache)
        first, generated = logits, logits.argmax(-1, keepdim=True)
        while generated.shape[1] < MAX_NEW_TOKENS:
            ended = answer_tokens.ended(generated)
            if ended.all():
                break
            seen = torch.cat([seen, seen.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1
            logits = self._step(generated[:, -1:], seen, positions, cache)
            token = logits.argmax(-1).masked_fill(ended, answer_tokens.pad_id)
            generated = torch.cat([generated, token[:, None]], dim=1)
        return GeneratedTokens(first, generated)

    def _step(self, input_ids: Tensor, seen: Tensor, positions: Tensor, cache: Any) -> Tensor:
        if self.delta is not None:  # three axes, which a text advances together
            positions = (positions + self.delta)[None].expand(3, -1, -1)
        done = self.model(
            input_ids=input_ids,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **self.options,
        )
        logits: Tensor = done.logits[:, -1]
        return logits

    def _copied(self, times: int) -> Any:
        import transformers

        cache = transformers.DynamicCache()
        for number, (keys, values) in enumerate(self.layers):
            shape = (times, -1, -1, -1)
            cache.update(keys.expand(shape), values.expand(shape), number)
        return cache


def _length(rows: Sequence[Row], image_ids: set[int]) -> int:
    """Return how many tokens there are up to the image's last; the same in every row."""
    import torch

    wanted = torch.tensor(sorted(image_ids), device=rows[0]["input_ids"].device)
    where = torch.isin(rows[0]["input_ids"][0], wanted).nonzero()
    if not len(where):
        raise NotShareableError("no token stands for the image")
    length = int(where[-1]) + 1
    beginning = rows[0]["input_ids"][:, :length]
    for row in rows:
        ids = row["input_ids"]
        same = ids.shape[1] > length and torch.equal(ids[:, :length], beginning)
        if not same or torch.isin(ids[:, length:], wanted).any():
            raise NotShareableError("the image does not come first")
    return length


def _after(row: Row, length: int) -> dict[str, Tensor]:
    return {name: row[name][:, length:] for name in ("input_ids", "attention_mask")}


def _plain_layers(cache: Any) -> list[tuple[Tensor, Tensor]]:
    """Return each layer's keys and values where all layers keep all tokens, and nothing else."""
    from transformers.cache_utils import DynamicCache, DynamicLayer

    if not isinstance(cache, DynamicCache):
        raise NotShareableError(f"it remembers in a {type(cache).__name__}")
    odd = {type(layer).__name__ for layer in cache.layers if type(layer) is not DynamicLayer}
    if odd:
        raise NotShareableError(f"it has {', '.join(sorted(odd))}")
    if not cache.layers or any(layer.keys is None for layer in cache.layers):
        raise NotShareableError("not every layer remembers")
    return [(layer.keys, layer.values) for layer in cache.layers]
