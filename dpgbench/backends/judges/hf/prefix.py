"""One image's share of a prompt, read once: its keys and values serve every question.

A chat puts the image before the question. What the network makes of the tokens up to the image's
last does not depend on what follows, where attention is causal. So these keys and values are
computed once an image, and copied for each question of a batch.

A row is then ``prefix, padding, question``: padding is masked, and positions do not count it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpgbench.backends.judges.hf.answers import MAX_NEW_TOKENS, Speech, Spoken
from dpgbench.backends.judges.hf.generation import NotShareableError
from dpgbench.backends.judges.hf.inputs import Row, left_padded

if TYPE_CHECKING:
    from torch import Tensor


class ImagePrefix:
    """Keys and values of the tokens up to the image's last, computed for one image."""

    def __init__(
        self,
        model: Any,
        speech: Speech,
        image: Mapping[str, Tensor],
        rows: Sequence[Row],
        image_ids: set[int],
    ) -> None:
        import torch

        self.model, self.speech = model, speech
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

    def speak(self, rows: Sequence[Row]) -> Spoken:
        """Return what the model says to each row, which begins as the image's prompts do."""
        import torch

        speech = self.speech
        questions = left_padded([_after(row, self.length) for row in rows], speech.pad_id)
        mask = questions["attention_mask"]
        seen = torch.cat([mask.new_ones(len(rows), self.length), mask], dim=1)
        positions = self.length + (mask.cumsum(-1) - 1).clamp(min=0)
        cache = self._copied(len(rows))
        logits = self._step(questions["input_ids"], seen, positions, cache)
        first, spoken = logits, logits.argmax(-1, keepdim=True)
        while spoken.shape[1] < MAX_NEW_TOKENS:
            ended = speech.ended(spoken)
            if ended.all():
                break
            seen = torch.cat([seen, seen.new_ones(len(rows), 1)], dim=1)
            positions = positions[:, -1:] + 1
            logits = self._step(spoken[:, -1:], seen, positions, cache)
            token = logits.argmax(-1).masked_fill(ended, speech.pad_id)
            spoken = torch.cat([spoken, token[:, None]], dim=1)
        return Spoken(first, spoken)

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
