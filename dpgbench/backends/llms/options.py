"""How language models are asked: the options of all kinds of them, and what they may be."""

from __future__ import annotations

from dataclasses import dataclass

from dpgbench.errors import UsageError

_HIGHEST_PRICE = 1e9


@dataclass(frozen=True)
class LlmOptions:
    """How a language model is asked.

    Attributes:
        base_url: of its server.
        concurrency: requests in flight at a time, or prompts in one batch; None is 8 or 4.
        max_requests: that one command may send.
        max_cost: US dollars that all commands for one output may cost.
        price_in, price_out: US dollars for a million tokens.
        device, dtype, revision: of a network in this process.
    """

    base_url: str | None = None
    concurrency: int | None = None
    max_requests: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    device: str = "auto"
    dtype: str | None = None
    revision: str | None = None

    def check(self) -> None:
        """Raise where a number cannot be right.

        Raises:
            UsageError: it says which, and what it may be.
        """
        for name in ("concurrency", "max_requests"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: give 1 or more")
        for name in ("price_in", "price_out"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < _HIGHEST_PRICE:
                flag = f"--{name.replace('_', '-')} {value}"
                raise UsageError(f"{flag}: give dollars for a million tokens")
        if self.max_cost is not None and not 0 < self.max_cost < _HIGHEST_PRICE:
            raise UsageError(f"--max-cost {self.max_cost}: give dollars, more than 0")
        if self.max_cost is not None and (self.price_in is None or self.price_out is None):
            raise UsageError(
                f"--max-cost {self.max_cost} needs --price-in and --price-out: dollars for a "
                "million tokens, without which nothing is known of the cost"
            )

    def refuse(self, kind: str, *names: str) -> None:
        """Raise where an option is given that a kind of model does not have.

        Raises:
            UsageError: names the option.
        """
        plain = LlmOptions()
        for name in names:
            if getattr(self, name) != getattr(plain, name):
                raise UsageError(
                    f"--{name.replace('_', '-')} is not for --llm {kind}; leave it out"
                )

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return US dollars for so many tokens; None where no price is given."""
        if self.price_in is None and self.price_out is None:
            return None
        cost = (self.price_in or 0) * prompt_tokens + (self.price_out or 0) * completion_tokens
        return cost / 1_000_000
