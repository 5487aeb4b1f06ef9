"""Servers that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.server.impatient import make_service
from tests.server.running import Server, Site, running, running_here, serve_words


@pytest.fixture(scope="module")
def mplug_server() -> Iterator[Server]:
    """The embedded judge with its benchmark."""
    words = serve_words("--judge", "tiny-mplug", "--bench", "shapes", "--device", "cpu")
    with running(words) as server:
        yield server


@pytest.fixture(scope="module")
def impatient_server() -> Iterator[Site]:
    """A cheap judge behind short limits, in this process."""
    with running_here(make_service()) as site:
        yield site


@pytest.fixture(scope="module")
def impatient_process() -> Iterator[Server]:
    """The same in a process of its own, whose memory can be measured."""
    with running([sys.executable, "-m", "tests.server.impatient"]) as server:
        yield server
