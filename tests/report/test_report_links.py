"""Every state of the page is in its address: views, scroll, pages; Back; names not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dpgbench.report import build_report
from tests.report.chromium import CHROMIUM, Browser, Page, go
from tests.report.report_runs import RunMaker

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
WAIT = "await new Promise((done) => setTimeout(done, {ms}))"
ENTRIES = "Array.from(document.querySelectorAll('[data-list] .id'), (n) => n.textContent)"
VIEW = "document.body.dataset.view"


def wait(page: Page, ms: int = 60) -> None:
    page.run(WAIT.format(ms=ms))


def test_one_rule_and_judge_at_a_time_and_all_views_follow(page: Page, report: Path) -> None:
    boards = (
        "[...document.querySelectorAll('.board:not([hidden])')].map((b) =>"
        " b.dataset.judge + '/' + b.dataset.rule)"
    )
    shown = page.value(boards)
    assert set(shown) == {"fake/corrected-v1"}
    page.run(
        "const rule = document.querySelector('[data-chooser] [name=rule]');"
        "rule.value = 'ella-reference'; rule.dispatchEvent(new Event('change'))"
    )
    assert set(page.value(boards)) == {"fake/ella-reference"}
    assert "rule=ella-reference" in page.value("location.hash")
    page.run("document.querySelector('nav [data-view=items]').click()")
    verdict = page.value("document.querySelector('.verdict').textContent")
    assert "rule ella-reference" in verdict
    page.run("document.querySelector('nav [data-view=failures]').click()")
    assert "rule ella-reference" in page.value("document.querySelector('.sheet-title').textContent")


@pytest.mark.parametrize("view", ["board", "failures", "items", "compare", "method", "published"])
def test_a_link_restores_view_and_scroll(
    browser: Browser, page: Page, report: Path, view: str
) -> None:
    page.look_like(1000, 600)
    go(page, report, f"#view={view}")
    page.run("window.scrollTo(0, 700)")
    wait(page, 350)
    where, link = page.run("return [window.scrollY, location.hash]")
    assert where > 100
    assert f"view={view}" in link
    assert "at=" in link
    again = browser.open(report, link, width=1000, height=600)
    assert again.value(VIEW) == view
    assert again.value("window.scrollY") == pytest.approx(where, abs=3)
    again.close()


def test_a_link_restores_the_page_of_a_list(page: Page, report: Path, browser: Browser) -> None:
    go(page, report, "#view=items")
    first = page.value(ENTRIES)
    page.run("document.querySelector('[aria-label=\"Further items\"]').click()")
    second = page.value(ENTRIES)
    assert second != first
    link = page.value("location.hash")
    assert "page=2" in link
    again = browser.open(report, link)
    assert again.value(ENTRIES) == second
    again.close()
    page.run("history.back()")
    wait(page, 150)
    assert page.value(ENTRIES) == first


def test_order_columns_and_what_is_unfolded_are_in_the_address(
    page: Page, report: Path, browser: Browser
) -> None:
    page.run(
        "const board = document.querySelector('.board:not([hidden])');"
        "board.querySelector('details[data-level=l2] summary').click();"
        "board.querySelectorAll('.models thead button')[1].click();"
        "board.querySelector('input[value=date]').click();"
    )
    wait(page)
    state = (
        "(() => { const board = document.querySelector('.board:not([hidden])'); return ["
        "board.querySelector('details[data-level=l2]').open,"
        "board.querySelector('[aria-sort]').textContent,"
        "board.querySelector('th[data-column=date]').offsetWidth > 0,"
        "[...board.querySelectorAll('.models tbody tr')].map((r) => r.dataset.run)]; })()"
    )
    before = page.value(state)
    assert before[0] is True
    assert before[2] is True
    again = browser.open(report, page.value("location.hash"))
    assert again.value(state) == before
    again.close()


def test_back_leads_through_views_to_where_one_was(page: Page, report: Path) -> None:
    page.look_like(1200, 500)
    go(page, report, "#view=board")
    page.run("window.scrollTo(0, 300)")
    wait(page, 350)
    page.run("document.querySelector('.board:not([hidden]) td[data-failed] a').click()")
    assert page.value(VIEW) == "failures"
    page.run("document.querySelector('.failure .which a').click()")
    assert page.value(VIEW) == "items"
    page.run("history.back()")
    wait(page, 150)
    assert page.value(VIEW) == "failures"
    page.run("history.back()")
    wait(page, 150)
    assert page.value(VIEW) == "board"
    assert page.value("window.scrollY") == pytest.approx(300, abs=3)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("#rule=unheard-of", "no rule “unheard-of”; corrected-v1 is shown"),
        ("#judge=nobody", "no judge “nobody”; fake is shown"),
        ("#model=nobody&view=failures", "no model “nobody”; best is shown"),
        ("#view=items&item=nowhere", "no item “nowhere”"),
        ("#view=nonsense", "no view “nonsense”; the leaderboard is shown"),
        ("#view=failures&failed=nothing", "no category “nothing”"),
        ("#first=nobody", "no model “nobody”"),
        ("#benchmark=other", "no benchmark “other”; dpg is shown"),
    ],
)
def test_names_that_are_not_there_are_said(page: Page, report: Path, place: str, what: str) -> None:
    go(page, report, place)
    notice = page.value("document.querySelector('[data-unknown]').innerText")
    assert what in notice
    page.run("location.hash = '#view=board'")
    wait(page)
    assert page.value("document.querySelector('[data-unknown]').hidden") is True


def test_plain_anchors_open_what_they_name(page: Page, report: Path) -> None:
    go(page, report, "#method-seeds")
    assert page.value(VIEW) == "method"
    page.run("location.hash = '#run-2'")
    wait(page, 150)
    assert page.value(VIEW) == "models"
    assert page.value("document.querySelector('.run-card:not([hidden])').id") == "run-2"
    go(page, report, "#board-1-warnings")
    assert page.value(VIEW) == "board"


def test_a_moved_report_says_which_folder_it_misses(
    browser: Browser, dpg: RunMaker, tmp_path: Path
) -> None:
    run = dpg.make("one", images=True)
    built = build_report([run], tmp_path / "out")[0]
    moved = tmp_path / "elsewhere" / "deep" / "page.html"
    moved.parent.mkdir(parents=True)
    shutil.copy(built, moved)
    page = browser.open(moved, "#view=items")
    wait(page, 300)
    notice = page.value("document.querySelector('[data-moved]').innerText")
    assert str(tmp_path / "elsewhere" / "runs" / "one" / "images") in notice
    assert "Move the report together with its runs" in notice
    assert page.value("document.querySelector('.tile .empty').textContent") == "picture not here"
    page.close()


def test_one_item_no_pictures_and_no_answers_have_their_own_words(
    browser: Browser, dpg: RunMaker, tmp_path: Path
) -> None:
    one = dpg.make("one", items=["COCOval1"])
    page = browser.open(build_report([one], tmp_path / "one")[0], "#view=items")
    assert "1 item: the report has no other" in page.value("document.body.innerText")
    assert "no picture" in page.value("document.querySelector('.tiles').innerText")
    page.close()
    silent = dpg.make("silent")
    silent.answers("fake").unlink()
    page = browser.open(build_report([silent], tmp_path / "two")[0], "#view=failures")
    assert "The answers of this run are not at hand" in page.value("document.body.innerText")
    page.run("location.hash = '#view=items'")
    wait(page)
    assert "not at hand" in page.value("document.querySelector('[data-item]').innerText")
    page.close()
