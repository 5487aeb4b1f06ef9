"""What the page shows for authors: measured beside published, marks, citations, cards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dpgbench.report import build_report
from dpgbench.store.published import read_published
from tests.report import report_page
from tests.report.chromium import CHROMIUM, Browser, Page
from tests.report.report_runs import maker


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dpg = maker(tmp_path_factory.mktemp("published"), rules=("ella-reference",))
    runs = [dpg.make("one", model="sd15", judge="mplug"), dpg.make("two", model="mine", seed=2)]
    return build_report(runs, dpg.folder.parent / "report")[0]


def test_the_page_has_published_scores_of_its_models(made: Path) -> None:
    page = report_page.Page(made)
    assert "Measured beside published" in page.text
    assert "items (30 here, 1,065 there)" in page.text
    assert "steps (its makers: 25)" in page.text
    links = {attrs["href"] for attrs in page.all("a")}
    assert "https://arxiv.org/abs/2403.05135v1" in links
    assert all(attrs["rel"] for attrs in page.all("a") if (attrs["href"] or "")[:5] == "https")
    assert "✗" in page.text
    codes = page.texts["code"]
    assert any("li2022mplug" in code for code in codes)
    assert any(code.startswith("### DPG-Bench") and "| mplug |" in code for code in codes)


def test_each_source_is_a_link_or_is_said_to_have_no_address(made: Path) -> None:
    table = made.read_text(encoding="utf-8").split('id="published-caption"')[1].split("</table>")[0]
    rows = table.split("<tr data-text")[1:]
    assert len(rows) == len(read_published())
    for row in rows:
        assert ('href="https://' in row) != ("(no address)" in row)


@pytest.fixture
def opened(browser: Browser, made: Path) -> Iterator[Page]:
    page = browser.open(made)
    yield page
    assert page.complaints() == []
    page.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_buttons_copy_or_select(opened: Page) -> None:
    labels = opened.value(
        "[...document.querySelectorAll('button')].map(b => b.textContent)"
        ".filter(text => text.startsWith('Copy ')).sort().join()"
    )
    assert labels == "Copy BibTeX,Copy Markdown,Copy Markdown"
