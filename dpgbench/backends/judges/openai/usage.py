"""What asking has cost: requests, tokens, dates; and the cap on requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpgbench.store.run.manifest import now

_MOST_TOKENS = 1 << 40  # a count beyond that, or below zero, is none
_MOST_MODELS, _LONGEST_MODEL = 20, 200


class CapReachedError(Exception):
    """`--max-requests` allows no further request."""


class Usage:
    """Counts over the life of a judge; changed by one thread, read by any.

    Attributes:
        max_requests: None for no cap.
        prices: US dollars for a million tokens of prompts and of completions; None: not known, and
            no cost is reported.
    """

    def __init__(
        self,
        max_requests: int | None = None,
        prices: tuple[float | None, float | None] = (None, None),
    ) -> None:
        self.max_requests = max_requests
        self.prices = prices
        names = ("requests", "retries", "prompt_tokens", "completion_tokens", "repaired", "invalid")
        self.counts = dict.fromkeys(names, 0)
        self._models: frozenset[str] = frozenset()
        self._dates: tuple[str, ...] = ()

    def sending(self, *, again: bool) -> None:
        """Count a request that is about to be sent; `again`: it repeats one that failed.

        Raises:
            CapReachedError: it may not be sent.
        """
        if self.max_requests is not None and self.counts["requests"] >= self.max_requests:
            raise CapReachedError
        self.counts["requests"] += 1
        self.counts["retries"] += again
        self._dates = (*self._dates[:1], now())

    def tokens(self, usage: Any) -> None:
        """Count what a reply, good or bad, says of its tokens, whatever that is."""
        for name in ("prompt_tokens", "completion_tokens"):
            tokens = usage.get(name) if isinstance(usage, Mapping) else None
            if type(tokens) is int and 0 <= tokens < _MOST_TOKENS:
                self.counts[name] += tokens

    def served_by(self, model: str) -> None:
        """Note the model that a reply says it is of."""
        if model and len(self._models) < _MOST_MODELS:
            self._models |= {model[:_LONGEST_MODEL]}

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for the manifest."""
        cost = [
            price * self.counts[name] / 1_000_000
            for price, name in zip(self.prices, ("prompt_tokens", "completion_tokens"), strict=True)
            if price is not None
        ]
        return {
            **self.counts,
            "cost_usd": round(sum(cost), 6) if cost else None,
            "served_models": sorted(self._models),
            "first_date": self._dates[0] if self._dates else None,
            "last_date": self._dates[-1] if self._dates else None,
        }
