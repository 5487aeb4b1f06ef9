"""What a server's images have cost: requests, images, tokens; and the cap on requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dpgbench.backends.generators.images_api.options import ServerOptions
from dpgbench.errors import IncompleteError

_COUNTS = (
    "requests",
    "retries",
    "images",
    "input_tokens",
    "output_tokens",
    "rewritten_prompts",
    "repeated_images",
)
_MOST_TOKENS = 1 << 40  # a count beyond that, or below zero, is none


@dataclass
class ImageCosts:
    """Counts over the life of a generator; changed by one thread, read by any."""

    options: ServerOptions
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTS, 0))

    def sending(self, *, again: bool) -> None:
        """Count a request that goes out, `again` if it repeats one.

        Raises:
            IncompleteError: `max_requests` allows no further one.
        """
        most = self.options.max_requests
        if most is not None and self.counts["requests"] >= most:
            raise IncompleteError(
                f"--max-requests {most}: so many requests were sent, and items are left. What was "
                "drawn is kept: run the same command again to send as many more"
            )
        self.counts["requests"] += 1
        self.counts["retries"] += again

    def replied(self, usage: Any) -> None:
        """Count the tokens that a reply, good or bad, names."""
        for name in ("input_tokens", "output_tokens"):
            number = usage.get(name) if isinstance(usage, Mapping) else None
            if type(number) is int and 0 <= number < _MOST_TOKENS:
                self.counts[name] += number

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data for the manifest; no cost without a price."""
        prices = (self.options.price_in, self.options.price_out, self.options.price_image)
        if prices == (None, None, None):
            return {**self.counts, "cost_usd": None}
        tokens_in, tokens_out, image = (price or 0 for price in prices)
        tokens = tokens_in * self.counts["input_tokens"] + tokens_out * self.counts["output_tokens"]
        cost = tokens / 1_000_000 + image * self.counts["images"]
        return {**self.counts, "cost_usd": round(cost, 6)}
