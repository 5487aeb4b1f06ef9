"""Text that a network may write only where a JSON schema allows it, token by token, by llguidance.

transformers has the hook (`LogitsProcessor`) and no grammar to put there; llguidance is one.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dpgbench.errors import reason_of

if TYPE_CHECKING:
    from torch import Tensor


class NoGrammarError(Exception):
    """The tokenizer or the schema cannot be used so; the message says why."""


def is_installed() -> bool:
    """Return whether llguidance is on this machine."""
    return importlib.util.find_spec("llguidance") is not None


class Grammars:
    """A tokenizer's side of grammars.

    Args:
        tokenizer: a fast one of transformers.
        vocabulary: how many logits the network has; more than tokens where it is padded.
        end_ids: tokens that end a reply.

    Raises:
        NoGrammarError: llguidance is not installed, or cannot read the tokenizer.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, end_ids: Sequence[int]) -> None:
        if not is_installed():
            raise NoGrammarError("llguidance is not installed")
        import llguidance.hf

        try:
            size = max(vocabulary, len(tokenizer))
            self._tokenizer = llguidance.hf.from_tokenizer(
                tokenizer, n_vocab=size, eos_token=list(end_ids)
            )
        except Exception as error:  # whatever the library makes of a tokenizer
            raise NoGrammarError(reason_of(error, limit=200)) from error

    def processor(self, schemas: Sequence[Mapping[str, Any] | None], prompt_length: int) -> Any:
        """Return a logits processor that holds each row of a batch to its schema.

        Args:
            schemas: one a row; None lets the row write what it likes.
            prompt_length: tokens of each row before its reply.

        Raises:
            NoGrammarError: a schema holds what the library cannot do.
        """
        import llguidance

        matchers: list[Any] = []
        for schema in schemas:
            if schema is None:
                matchers.append(None)
                continue
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema))
            matcher = llguidance.LLMatcher(self._tokenizer, grammar)
            if matcher.is_error():
                raise NoGrammarError(str(matcher.get_error())[:200])
            matchers.append(matcher)
        return _Processor(matchers, prompt_length)


class _Processor:
    """Gives every token that a row's grammar does not allow a logit of minus infinity."""

    def __init__(self, matchers: Sequence[Any], prompt_length: int) -> None:
        self._matchers, self._length = matchers, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits (rows, vocabulary) of the next tokens.

        Args:
            input_ids: (rows, length) so far.
            scores: (rows, vocabulary).
        """
        import numpy as np
        import torch

        for row, matcher in enumerate(self._matchers):
            if matcher is None:
                continue
            if input_ids.shape[1] > self._length and not matcher.is_stopped():
                matcher.consume_token(int(input_ids[row, -1]))
            if matcher.is_stopped():
                continue  # it has ended; what comes is padding
            bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            allowed = np.unpackbits(bits, bitorder="little")[: scores.shape[1]].astype(bool)
            mask = torch.zeros(scores.shape[1], dtype=torch.bool)
            mask[: len(allowed)] = torch.from_numpy(allowed)
            scores[row, ~mask.to(scores.device)] = float("-inf")
        return scores
