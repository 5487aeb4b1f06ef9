"""Runs that several tests read and none changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dpgbench.report import build_report
from dpgbench.store.run.directory import RunDir
from tests.report.chromium import Browser, Page, chromium
from tests.report.report_runs import RunMaker, maker


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


LONG = "a-model-with-a-name-that-knows-no-end-" * 20


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dpg = maker(tmp_path_factory.mktemp("browser"), num_items=30)
    about = {"weights": {"judge": {"sha256": "a" * 64}}}
    both = {"fake": about, "other": about}
    dpg.make("middle", skill=0.6, images=True, judge="other", seed=9)
    runs = [
        dpg.make("middle", skill=0.6, images=True, judges=both),
        dpg.make("best", skill=0.9, images=True, seed=1),
        dpg.make("worst", skill=0.3, model=LONG, notes=["untrained: scores mean nothing"]),
        dpg.make("part", skill=0.5, unanswered=["COCOval1"], answer="cannot say"),
    ]
    return build_report(runs, dpg.folder.parent / "report")[0]


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report, opened; afterwards it must have nothing to complain about."""
    opened = browser.open(report)
    yield opened
    assert opened.complaints() == []
    assert all(address.startswith(("file:", "data:", "blob:")) for address in opened.requests())
    opened.close()
