"""What asking has cost: requests, tokens, dates; and the cap on requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dpgbench.errors import IncompleteError
from dpgbench.store.run.manifest import now

_COUNTS = ("requests", "retries", "prompt_tokens", "completion_tokens", "repaired", "invalid")
_TOKENS = ("prompt_tokens", "completion_tokens")
_MOST_TOKENS = 1 << 40  # a count beyond that, or below zero, is none
_MOST_MODELS, _LONGEST_MODEL = 20, 200


class CapReachedError(IncompleteError):
    """`--max-requests` allows no further request."""


def counted_tokens(usage: Any) -> tuple[int | None, int | None]:
    """Return prompt and completion tokens of a reply's `usage`; None where it has no such count."""
    numbers = [usage.get(name) if isinstance(usage, Mapping) else None for name in _TOKENS]
    prompt, completion = (
        number if type(number) is int and 0 <= number < _MOST_TOKENS else None for number in numbers
    )
    return prompt, completion


@dataclass
class Usage:
    """Counts over the life of a judge; changed by one thread, read by any.

    Attributes:
        max_requests: None for no cap.
        price_in, price_out: US dollars for a million tokens; without both no cost is reported.
        on_useless: is called with the prompt and completion tokens of each reply that is of no use
            and says that it has cost some.
    """

    max_requests: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))
    models: frozenset[str] = frozenset()
    dates: tuple[str, ...] = ()
    on_useless: Callable[[int, int], None] | None = None

    def sending(self, *, again: bool) -> None:
        """Count a request that goes out, `again` if it repeats one; CapReachedError: it may not."""
        if self.max_requests is not None and self.counts["requests"] >= self.max_requests:
            raise CapReachedError(
                f"--max-requests {self.max_requests}: so many requests were sent, and questions "
                "are left. What was answered is kept: run the same command again to send as many "
                "more, or give a higher --max-requests"
            )
        self.counts["requests"] += 1
        self.counts["retries"] += again
        self.dates = (*self.dates[:1], now())

    def replied(self, tokens: Any, model: str) -> None:
        """Count what a reply, good or bad, says of its tokens, and note the model it names."""
        for name, number in zip(_TOKENS, counted_tokens(tokens), strict=True):
            self.counts[name] += number or 0
        if model and len(self.models) < _MOST_MODELS:
            self.models |= {model[:_LONGEST_MODEL]}

    def useless(self, tokens: Any) -> None:
        """Note what a reply that was counted, and is of no use, says of its tokens."""
        prompt, completion = counted_tokens(tokens)
        if self.on_useless is not None and (prompt or completion):
            self.on_useless(prompt or 0, completion or 0)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for the manifest."""
        millions = (self.price_in or 0) * self.counts["prompt_tokens"]
        millions += (self.price_out or 0) * self.counts["completion_tokens"]
        priced = self.price_in is not None or self.price_out is not None
        return {
            **self.counts,
            "cost_usd": round(millions / 1_000_000, 6) if priced else None,
            "served_models": sorted(self.models),
            "first_date": self.dates[0] if self.dates else None,
            "last_date": self.dates[-1] if self.dates else None,
        }
