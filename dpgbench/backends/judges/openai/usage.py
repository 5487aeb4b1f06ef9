"""What asking has cost: requests, tokens, dates; and the cap on requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from dpgbench.store.run.manifest import now


class CapReachedError(Exception):
    """`--max-requests` allows no further request."""


class Account:
    """Counts over the life of a judge; may be used by many threads at a time.

    Attributes:
        max_requests: None for no cap.
        prices: US dollars for a million tokens of prompts and of completions; None: not known, and
            no cost is told.
    """

    def __init__(
        self,
        max_requests: int | None = None,
        prices: tuple[float | None, float | None] = (None, None),
    ) -> None:
        self.max_requests = max_requests
        self.prices = prices
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(
            ("requests", "retries", "prompt_tokens", "completion_tokens", "repaired", "invalid"), 0
        )
        self._served: set[str] = set()
        self._dates: list[str] = []

    def send(self, *, again: bool) -> None:
        """Count a request that is about to be sent.

        Args:
            again: it repeats one that failed.

        Raises:
            CapReachedError: it may not be sent.
        """
        with self._lock:
            if self.max_requests is not None and self._counts["requests"] >= self.max_requests:
                raise CapReachedError
            self._counts["requests"] += 1
            self._counts["retries"] += again
            self._dates = [*self._dates[:1], now()]

    def served(self, usage: Any, model: str) -> None:
        """Count what a reply says of its tokens, and note the model that it says it is of."""
        with self._lock:
            for name in ("prompt_tokens", "completion_tokens"):
                tokens = usage.get(name) if isinstance(usage, Mapping) else None
                self._counts[name] += tokens if isinstance(tokens, int) else 0
            self._served |= {model} - {""}

    def answered(self, *, repaired: int, invalid: int) -> None:
        """Count answers that took a second request, or were still neither yes nor no after it."""
        with self._lock:
            self._counts["repaired"] += repaired
            self._counts["invalid"] += invalid

    def record(self) -> dict[str, Any]:
        """Return everything as plain data for the manifest."""
        with self._lock:
            return {
                **self._counts,
                "cost_usd": self._cost(),
                "served_models": sorted(self._served),
                "first_date": self._dates[0] if self._dates else None,
                "last_date": self._dates[-1] if self._dates else None,
            }

    def _cost(self) -> float | None:
        """Return what the tokens so far cost at the prices given, in US dollars."""
        prompt, completion = self.prices
        if prompt is None and completion is None:
            return None
        million = (prompt or 0) * self._counts["prompt_tokens"]
        million += (completion or 0) * self._counts["completion_tokens"]
        return round(million / 1_000_000, 6)
