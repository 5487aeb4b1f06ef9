"""Runs that several tests read and none changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_runs import RunMaker, maker

from dpgbench.store.run.directory import RunDir


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> RunMaker:
    """A maker on 30 items of a benchmark called dpg."""
    return maker(tmp_path_factory.mktemp("dpg"))


@pytest.fixture(scope="session")
def pair(shared: RunMaker) -> list[RunDir]:
    """A good run and a bad one of the same judge, with images."""
    return [
        shared.make("good", skill=0.9, images=True),
        shared.make(
            "bad", skill=0.5, seed=1, images=True, notes=["untrained: scores mean nothing"]
        ),
    ]


@pytest.fixture
def dpg(tmp_path: Path) -> RunMaker:
    """A maker of the test's own."""
    return maker(tmp_path)
