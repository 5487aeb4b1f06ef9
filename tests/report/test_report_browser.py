"""The page in Chromium, from a file: the leaderboard, print, and what it is without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.chromium import CHROMIUM, Browser, Page, go

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


NAMES = """
const board = document.querySelector(
  '.board:not(.common)[data-judge="fake"][data-rule="corrected-v1"]');
const names = () => Array.from(board.querySelectorAll(".models tbody tr"))
  .filter((row) => !row.hidden).map((row) => row.dataset.text.split(" ").pop());
const heading = (text) => Array.from(board.querySelectorAll(".models thead th"))
  .find((cell) => cell.textContent.startsWith(text));
"""


def test_columns_sort_with_the_keyboard_and_say_so(page: Page) -> None:
    states = [page.run(NAMES + "return names();")]
    for text in ("Overall", "Overall", "Model", "Rank"):
        page.run(NAMES + f"heading('{text}').querySelector('button').focus();")
        page.press("Enter")
        script = f"return [heading('{text}').getAttribute('aria-sort'), ...names()];"
        states.append(page.run(NAMES + script))
    first, down, up, by_model, by_rank = states
    assert first == ["best", "middle", "worst", "part"]
    assert down == ["descending", "best", "middle", "part", "worst"]
    assert up == ["ascending", "worst", "part", "middle", "best"]
    assert by_model == ["ascending", "worst", "best", "middle", "part"]
    assert by_rank == ["ascending", "best", "middle", "worst", "part"]  # without a rank: last
    assert page.run(NAMES + "return board.querySelectorAll('[aria-sort]').length;") == 1
    assert page.value("document.activeElement.textContent") == "Rank"


def test_a_link_chooses_rule_and_models(page: Page, report: Path) -> None:
    go(page, report, "#rule=ella-reference&judge=fake&find=best")
    shown = "Array.from(document.querySelectorAll('.board'), (b) => b.hidden ? '' : b.dataset.rule)"
    assert {rule for rule in page.value(shown) if rule} == {"ella-reference"}
    names = (
        "[...document.querySelectorAll('.board:not([hidden], .common) tbody tr[data-text]')]"
        ".filter((row) => !row.hidden).map((row) => row.dataset.text)"
    )
    assert page.value(names) == ["best best"]
    assert page.value("document.querySelector('.board:not([hidden]) .find input').value") == "best"


PRINTED = """
const page = document.documentElement.clientWidth;
const seen = (part) => [...document.querySelectorAll(part)].some((e) => e.checkVisibility());
const wide = [...document.querySelectorAll(".board:not([hidden]) .models td")]
  .filter((cell) => cell.checkVisibility() && cell.getBoundingClientRect().right > page + 1).length;
const clips = [...document.querySelectorAll("main *")].filter((e) => e.checkVisibility()
  && !e.closest(".crop, .id, svg, .sr") && /auto|scroll|hidden/.test(getComputedStyle(e).overflowY)
  && e.scrollHeight > e.clientHeight + 2).map((e) => e.className);
const first = [...document.querySelectorAll("main table")].find((table) => table.checkVisibility());
return [seen(".bar"), seen(".filters"), seen("button.chip"), seen("[data-columns] *"),
  first.className, wide, clips];
"""


@pytest.mark.parametrize("view", ["board", "items", "failures", "models", "method"])
def test_print_begins_with_the_table_and_clips_nothing(page: Page, report: Path, view: str) -> None:
    go(page, report, f"#view={view}")
    page.look_like(718, 1000, media="print", dark=True)  # A4 within its margins
    *controls, first, wide, clips = page.run(PRINTED)
    assert controls == [False] * 4
    assert first == "models"
    assert (wide, clips) == (0, [])
    ground = page.value("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert page.pdf().startswith(b"%PDF")


def test_without_scripts_the_page_still_has_it_all(browser: Browser, report: Path) -> None:
    page = browser.open(Path("/dev/null"))
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.send("Page.navigate", url=report.as_uri())
    page.wait_for("Page.loadEventFired", 2)
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    assert page.value("document.querySelectorAll('#gallery img').length") == 24
    assert page.value("document.querySelectorAll('#gallery svg').length") == 0
    assert page.value("document.querySelectorAll('#gallery ul.failed li').length") > 12
    assert page.value("document.querySelectorAll('.level').length") > 0
    shown = "[...document.querySelectorAll('main [data-view]')].filter((s) => s.checkVisibility())"
    assert page.value(f"{shown}.map((section) => section.dataset.view)") == [
        "board",
        "models",
        "lengths",
        "published",
        "method",
    ]
    dead = (
        "[...document.querySelectorAll('nav a')].filter((a) => a.checkVisibility()"
        " && !(document.querySelector(a.hash) || document.body).checkVisibility()).length"
    )
    assert page.value(dead) == 0
    assert page.value("document.querySelectorAll('*').length") < 15_000
    assert page.complaints() == []
    page.close()
