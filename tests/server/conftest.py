"""Servers that several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

import dpgbench
from dpgbench.store.files import json_line
from tests.helpers import json_lines, run_process
from tests.server.compared import RULES, grids
from tests.server.impatient import make_service
from tests.server.running import (
    ENVIRONMENT,
    Server,
    Site,
    folder_of_grids,
    running,
    running_here,
    serve_words,
)


@pytest.fixture(scope="session")
def drawn() -> dict[str, Image.Image]:
    """Five grids by item."""
    return grids(5)


@pytest.fixture(scope="session")
def by_command(
    drawn: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    """The lines of answers by item, and each rule's result, as `dpgbench score` writes them."""
    here = tmp_path_factory.mktemp("command")
    folder_of_grids(here / "grids", drawn)
    words = ["--judge", "tiny-mplug", "--bench", "shapes", "--device", "cpu", "--out", "run"]
    rules = [word for rule in RULES for word in ("--rule", rule)]
    done = run_process(
        "score", "grids", *words, *rules, "--items", ",".join(drawn), cwd=here, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    lines: dict[str, list[str]] = {}
    for line in json_lines(here / "run" / "answers" / "tiny-mplug.jsonl"):
        lines.setdefault(line["item_id"], []).append(json_line(line))
    scored = dpgbench.score(here / "run", judge="tiny-mplug", rules=RULES)
    return lines, {result.rule: result.item_figures for result in scored.results}


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
