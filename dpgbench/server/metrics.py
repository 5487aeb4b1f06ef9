"""Counters of one server, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        of: Any = {"registry": self._registry, "namespace": "dpgbench"}
        self._requests = Counter("requests", "Requests answered.", ["path", "status"], **of)
        self._seconds = Histogram(
            "request_seconds", "Head to reply of /v1/score.", buckets=_SECONDS, **of
        )
        self._tiles = Counter("tiles", "Tiles that the judge was asked about.", **of)
        self._questions = Counter("answers", "Answers given.", **of)
        self._failures = Counter("item_failures", "Items without a whole set of answers.", **of)
        self._batches = Histogram("batch_tiles", "Tiles asked together.", buckets=_SIZES, **of)
        self._judge = Counter("judge_seconds", "Seconds that the judge was at work.", **of)

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """Show what `value` returns, whenever the metrics are read."""
        Gauge(name, what, namespace="dpgbench", registry=self._registry).set_function(value)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count a reply."""
        self._requests.labels(path, str(status)).inc()
        if path == "/v1/score":
            self._seconds.observe(seconds)

    def batch(self, tiles: int, seconds: float) -> None:
        """Count a batch of the judge."""
        self._tiles.inc(tiles)
        self._batches.observe(tiles)
        self._judge.inc(seconds)

    def item(self, answers: int, *, failed: bool) -> None:
        """Count an item of a reply."""
        self._questions.inc(answers)
        self._failures.inc(failed)

    def text(self) -> bytes:
        """Return the text that a scraper reads."""
        return generate_latest(self._registry)
