"""How a server of images is asked; nothing of it changes a picture."""

from __future__ import annotations

from dataclasses import dataclass

from dpgbench.errors import UsageError

NUM_REQUESTS = 4


@dataclass(frozen=True)
class ServerOptions:
    """How a server is asked.

    Attributes:
        concurrency: requests in flight at most, an image each.
        max_requests: None for no cap.
        price_in, price_out: US dollars for a million tokens.
        price_image: US dollars for an image.
    """

    concurrency: int = NUM_REQUESTS
    max_requests: int | None = None
    price_in: float | None = None
    price_out: float | None = None
    price_image: float | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--concurrency", self.concurrency, 1),
            ("--max-requests", self.max_requests, 1),
            ("--price-in", self.price_in, 0),
            ("--price-out", self.price_out, 0),
            ("--price-image", self.price_image, 0),
        ):
            if value is not None and not least <= value < 1e9:
                raise UsageError(f"{name} {value:g}: give a number of at least {least}")
