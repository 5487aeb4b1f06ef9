"""Servers that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.server.running import Server, running, serve_words


@pytest.fixture(scope="module")
def mplug_server() -> Iterator[Server]:
    """The embedded judge with its benchmark."""
    words = serve_words("--judge", "tiny-mplug", "--bench", "shapes", "--device", "cpu")
    with running(words) as server:
        yield server


@pytest.fixture(scope="module")
def impatient_server() -> Iterator[Server]:
    """A cheap judge behind short limits."""
    with running([sys.executable, "-m", "tests.server.impatient"]) as server:
        yield server
