"""The size of the real benchmark: how long the report takes to build, to open and to answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import report as benchmark
from benchmarks import report_page
from benchmarks.synthetic_runs import NUM_ITEMS, TWELVE_MODELS, make_runs
from tests.report.chromium import CHROMIUM, Browser, Page


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    folder = tmp_path_factory.mktemp("large")
    runs = make_runs(folder, NUM_ITEMS)
    return folder / "report" / "leaderboard.html", benchmark.measure(runs, folder / "report")


def test_it_is_built_in_ten_seconds_on_one_core_and_one_gib(
    built: tuple[Path, dict[str, float]],
) -> None:
    """Seconds of work, so that a neighbour on the machine does not fail the test."""
    _, took = built
    assert took["cpu_seconds"] < 10
    assert took["peak_mib"] < 1024
    assert took["page_mb"] < 3.5


@pytest.fixture(scope="module")
def page(browser: Browser, built: tuple[Path, dict[str, float]]) -> Iterator[Page]:
    opened = browser.open(built[0])
    yield opened
    opened.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_first_view_is_usable_within_a_second(
    page: Page, built: tuple[Path, dict[str, float]]
) -> None:
    assert report_page.open_milliseconds(page, built[0]) < 1000
    assert page.value(report_page.NODES) < 15_000


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("what", report_page.CLICKS)
def test_a_click_is_answered_within_a_tenth_of_a_second(
    page: Page, built: tuple[Path, dict[str, float]], what: str
) -> None:
    """Until it is laid out; the best of eight, for the neighbours' sake."""
    taken = report_page.click_milliseconds(page, built[0], what)
    assert min(taken) < 100, taken


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_twelve_models_are_built_and_opened_as_fast(browser: Browser, tmp_path: Path) -> None:
    """On two cores in 15 s of work, below 4.5 MB; clicks in a tenth of a second."""
    runs = make_runs(tmp_path, NUM_ITEMS, TWELVE_MODELS)
    took = benchmark.measure(runs, tmp_path / "report", cores=2)
    assert took["cpu_seconds"] < 15
    assert took["page_mb"] < 4.5
    figures = report_page.measure_page(browser, tmp_path / "report" / "leaderboard.html")
    assert figures["elements"] < 15_000
    assert figures["first_view_ms"] < 1000
    assert max(figures["click_ms"].values()) < 100, figures
