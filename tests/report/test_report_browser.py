"""The page in Chromium, from a file: the leaderboard, no overflow, contrast, nothing fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.chromium import CHROMIUM, Browser, Page, go

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"


NAMES = """
const board = document.querySelector('.board[data-judge="fake"][data-rule="corrected-v1"]');
const names = () => Array.from(board.querySelectorAll(".models tbody tr"))
  .filter((row) => !row.hidden).map((row) => row.querySelector(".run").textContent);
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
    go(page, report, "#rule=corrected-v1&judge=fake&find=best")
    shown = "Array.from(document.querySelectorAll('.board'), (b) => b.hidden ? '' : b.dataset.rule)"
    assert [rule for rule in page.value(shown) if rule] == ["corrected-v1"]
    assert page.run(NAMES + "return names();") == ["best"]
    assert page.value("document.querySelector('.find input').value") == "best"
    page.run("document.querySelector('input[type=radio][value=\"ella-reference\"]').click()")
    assert [rule for rule in page.value(shown) if rule] == ["ella-reference"]
    assert page.value("location.hash") == "#rule=ella-reference&judge=fake&find=best"


def test_a_choice_that_leaves_nothing_is_told_and_an_anchor_keeps_it(
    page: Page, report: Path
) -> None:
    none = "!document.querySelector('[data-none]').hidden"
    go(page, report, "#rule=unheard-of")
    assert page.value(none)
    page.run("location.hash = '#runs'; await new Promise((done) => setTimeout(done, 50))")
    assert page.value(none)
    assert page.value("document.querySelector('#items').hidden") is False


OVERFLOW = """
for (const details of document.querySelectorAll("details")) details.open = true;
const edge = document.documentElement.clientWidth;
const inside = (element) => element.closest(
  ".scroll, pre, .sr, .skip, svg, .long, .prompt, .crop, select");
const out = Array.from(document.body.querySelectorAll("*"))
  .filter((element) => !inside(element) && element.getBoundingClientRect().right > edge + 1)
  .map((element) => element.tagName + "." + element.className);
"""
CONTRAST = """
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => parse(colour).slice(0, 3).map((v) => v / 255)
  .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (parse(colour).length < 4 || parse(colour)[3] > 0) return colour;
  }
  return "rgb(255, 255, 255)";
};
const low = [];
const seen = "*:not(svg, svg *, script, option, :disabled)";
for (const element of document.body.querySelectorAll(seen)) {
  if (!Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim())) continue;
  const pair = [light(getComputedStyle(element).color), light(behind(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  if (ratio < 4.5) low.push(element.tagName + "." + element.className + " " + ratio);
}
const ground = getComputedStyle(document.body).backgroundColor;
return [edge, document.documentElement.scrollWidth, out, ground, low];
"""
LOOKS = [
    (1440, False, "rgb(251, 250, 247)"),
    (1440, True, "rgb(20, 22, 26)"),
    (390, False, "rgb(251, 250, 247)"),
    (390, True, "rgb(20, 22, 26)"),
]


@pytest.mark.parametrize(("width", "dark", "paper"), LOOKS)
def test_nothing_overflows_and_all_can_be_read(
    page: Page, report: Path, width: int, dark: bool, paper: str
) -> None:
    """All text outside drawings stands out by 4.5 to 1 at least (WCAG AA)."""
    page.look_like(width, 900, dark=dark)
    go(page, report, "#item=COCOval3&model=part&tile=2&first=best&second=part")
    edge, scroll, out, ground, low = page.run(OVERFLOW + CONTRAST)
    assert edge == width
    assert scroll == edge
    assert out == []
    assert ground == paper
    assert low == []


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm ci --prefix tests/report")
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_axe_finds_nothing_serious(page: Page, report: Path, width: int, dark: bool) -> None:
    page.look_like(width, 900, dark=dark)
    go(page, report, "#item=COCOval3&model=middle&first=best&second=middle")
    page.run(AXE.read_text(encoding="utf-8") + "\n; return null;")
    violations = page.run(
        "const checked = await axe.run(document, { resultTypes: ['violations'] });"
        "return checked.violations.filter((v) => ['serious', 'critical'].includes(v.impact))"
        ".map((v) => [v.id, v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160))]);"
    )
    assert violations == []


def test_it_prints(page: Page) -> None:
    page.look_like(1000, 900, media="print")
    assert page.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.value("document.querySelector('.board .models').offsetHeight") > 0
    assert page.send("Page.printToPDF", printBackground=True)["data"]


def test_without_scripts_the_page_still_has_it_all(browser: Browser, report: Path) -> None:
    page = browser.open(Path("/dev/null"))
    page.send("Emulation.setScriptExecutionDisabled", value=True)
    page.send("Page.navigate", url=report.as_uri())
    page.wait_for("Page.loadEventFired", 2)
    page.send("Emulation.setScriptExecutionDisabled", value=False)
    assert page.value("document.querySelector('#gallery').hidden") is False
    assert page.value("document.querySelector('#items').hidden") is True
    assert page.value("document.querySelectorAll('#gallery svg.graph').length") > 12
    assert page.value("document.querySelector('nav a[href=\"#items\"]').hidden") is True
    assert page.complaints() == []
    page.close()
