"""Items and comparisons in Chromium: links, tiles, filters, two models, keyboard, downloads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpgbench.analysis.comparison import compare_runs
from dpgbench.report import build_report
from dpgbench.store.run.directory import RunDir
from tests.report.chromium import CHROMIUM, Browser, Page, go
from tests.report.report_runs import HOSTILE, maker, maker_again

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

GRAPH = "Array.from(document.querySelectorAll('.detail .node .fate'), (n) => n.textContent)"
ENTRIES = "Array.from(document.querySelectorAll('[data-list] .id'), (n) => n.textContent)"
FOUND = "document.querySelector('[data-list] .found').textContent"
SET = """
const field = document.querySelector('[data-filters] [name="{name}"]');
field.value = '{value}';
field.dispatchEvent(new Event(field.matches('select') ? 'change' : 'input', {{ bubbles: true }}));
"""


def answers(report: Path, run: str, item: str) -> dict[tuple[int, int], str]:
    lines = (
        (report.parent.parent / "runs" / run / "answers" / "fake.jsonl").read_text().splitlines()
    )
    lines_read = [json.loads(line) for line in lines]
    return {(a["tile"], a["qid"]): a["answer"] for a in lines_read if a["item_id"] == item}


def test_a_link_opens_an_item_and_a_tile_changes_the_graph(page: Page, report: Path) -> None:
    go(page, report, "#item=COCOval3&model=middle&tile=2&judge=fake")
    assert page.value("document.querySelector('#item-title').textContent").startswith("COCOval3")
    top = page.value("document.querySelector('[data-item]').getBoundingClientRect().top")
    assert -5 <= top <= 600
    texts = answers(report, "middle", "COCOval3")
    for tile in (2, 3):
        page.run(
            "Array.from(document.querySelectorAll('.graph-part .chip'))"
            f".find((chip) => chip.textContent === 'image {tile}').click()"
        )
        shown = page.value(GRAPH)
        for qid in (1, 3, 5):  # the roots: nothing zeroes them
            word = {"yes": "✓ yes", "no": "✗ no"}[texts[tile - 1, qid]]
            assert shown[qid - 1] == word
        assert f"tile={tile}" in page.value("location.hash")
        pressed = "document.querySelector('.graph-part [aria-pressed=true]').textContent"
        assert page.value(pressed) == f"image {tile}"
    page.run("document.querySelector('.graph-part .chip').click()")
    holds = sum(texts[tile, 1] == "yes" for tile in range(4))
    assert page.value(GRAPH)[0].startswith(("✓", "✗"))
    assert (f"{holds} yes" in page.value(GRAPH)[0]) or holds in (0, 4)


def test_an_item_tells_its_figures_words_and_answers(page: Page, report: Path) -> None:
    go(page, report, "#item=stanford_2&model=part")
    text = page.value("document.querySelector('[data-item]').textContent")
    texts = answers(report, "part", "stanford_2")
    assert "? invalid “cannot say”" in text
    assert text.count("“cannot say”") == sum(a == "cannot say" for a in texts.values())
    assert page.value("document.querySelectorAll('.account tbody tr').length") == 5
    marks = page.value(
        "Array.from(document.querySelectorAll('.detail mark'), (m) => m.textContent)"
    )
    assert marks == ["purple", "cube"]
    scores = page.value(
        "Array.from(document.querySelectorAll('.account tbody tr'), (r) => r.lastChild.textContent)"
    )
    tiles = [float(cell.split("= ")[1]) for cell in scores[:4]]
    assert float(scores[4].split("= ")[1]) == pytest.approx(sum(tiles) / 4, abs=0.01)


def test_an_item_that_is_not_there_is_told(page: Page, report: Path) -> None:
    go(page, report, "#item=nowhere")
    assert "has no item “nowhere”" in page.value(
        "document.querySelector('[data-item]').textContent"
    )


def test_filters_leave_what_they_say(page: Page, report: Path) -> None:
    go(page, report, "#view=items")

    def choose(name: str, value: str) -> str:
        page.run(SET.format(name=name, value=value))
        count: str = page.value(FOUND)
        return count

    assert page.value(FOUND) == "30 items"
    assert choose("source", "COCOval") == "15 items"
    assert all(item.startswith("COCOval") for item in page.value(ENTRIES))
    assert choose("source", "") == "30 items"
    assert choose("text", "number 7") == "3 items"
    assert sorted(page.value(ENTRIES)) == ["COCOval17", "COCOval27", "COCOval7"]
    assert choose("text", "") == "30 items"
    assert choose("model", "best") == "30 items"
    assert choose("min", "101") == "0 items"
    assert choose("min", "") == "30 items"
    failed = int(choose("failed", "entity").split()[0])
    assert 0 < failed < 30
    assert choose("failed", "") == "30 items"
    page.run("document.querySelector('[data-filters] [aria-label=\"Clear filters\"]').click()")
    choose("model", "middle")
    assert int(choose("show", "disagree").split()[0]) > 0
    choose("show", "differ")
    spreads = page.run(
        "const view = Dpg.model.view(Dpg.data, Dpg.address.get());"
        f"return {ENTRIES}.map((id) => Dpg.model.spread(view, view.set.ids.indexOf(id)));"
    )
    assert spreads == sorted(spreads, reverse=True)
    choose("show", "")
    choose("sort", "high")
    choose("sort", "")
    values = "Array.from(document.querySelectorAll('[data-list] .value'), (n) => n.textContent)"
    shown = [float(value) for value in page.value(values)]
    assert shown == sorted(shown)


def test_two_models_are_compared_as_the_command_does(page: Page, report: Path) -> None:
    go(page, report, "#first=middle&second=best&rule=corrected-v1&judge=fake")
    runs = report.parent.parent / "runs"
    compared = compare_runs(RunDir(runs / "middle"), RunDir(runs / "best"), "corrected-v1")
    comparison = next(v for v in compared if v.first.judge == "fake").comparison
    assert comparison.overall is not None
    row = page.value(
        "Array.from(document.querySelectorAll('.differences tbody tr'))"
        ".find((r) => r.textContent.startsWith('Overall')).textContent"
    )
    assert f"−{-comparison.overall.difference:.2f}" in row
    sentence = page.value("document.querySelector('#compare .finding').textContent")
    assert sentence.startswith("best is ahead of middle by ")
    hint = page.value("document.querySelector('#compare').textContent")
    wins, ties, losses = comparison.outcomes
    assert (
        f"middle is better on {wins}, the two are equal on {ties}, best is better on {losses}"
        in hint
    )
    assert page.value("document.querySelectorAll('#pair .tiles').length") == 2
    gaps = page.value(
        "Array.from(document.querySelectorAll('#compare .entries .value'), (n) => n.textContent)"
    )
    sizes = [abs(float(gap.replace("−", "-"))) for gap in gaps]
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_not_comparable_is_said(page: Page, report: Path) -> None:
    go(page, report, "#first=best&second=part&rule=corrected-v1&judge=fake")
    text = page.value("document.querySelector('#compare .notice').textContent")
    assert "Not strictly comparable." in text
    assert "items with a score: 30 / 29" in text
    caveats = page.value("document.querySelector('#compare').textContent")
    assert "Only 29 items: with so few the intervals are too narrow" in caveats


def test_the_keyboard_alone_is_enough(page: Page, report: Path) -> None:
    go(page, report, "#view=items")
    page.run("document.querySelector('[data-filters] [name=text]').focus()")
    for _ in range(40):
        page.press("Tab")
        if page.value("document.activeElement.matches('[data-list] a')"):
            break
    else:
        pytest.fail("no way to the list by Tab")
    wanted = page.value("document.activeElement.querySelector('.id').textContent")
    page.press("Enter")
    assert page.value("document.activeElement.id") == "item-title"
    assert page.value("document.activeElement.textContent").startswith(wanted)
    for _ in range(40):
        page.press("Tab")
        if page.value("document.activeElement.matches('.tile')"):
            break
    else:
        pytest.fail("no way to the tiles by Tab")
    outline = page.value("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    for _ in range(40):
        page.press("Tab")
        if page.value("document.activeElement.matches('.graph-part .chip')"):
            break
    else:
        pytest.fail("no way to the graph's images by Tab")
    page.press("Tab")
    page.press(" ")
    assert page.value("document.activeElement.getAttribute('aria-pressed')") == "true"
    assert "tile=1" in page.value("location.hash")


def test_back_leads_to_the_item_before(page: Page, report: Path) -> None:
    go(page, report, "#view=items")
    page.run("document.querySelectorAll('[data-list] a')[2].click()")
    page.run("document.querySelectorAll('[data-list] a')[4].click()")
    page.run("history.back(); await new Promise((done) => setTimeout(done, 200))")
    shown = page.value("document.querySelector('#item-title').textContent")
    assert shown.startswith(page.value(ENTRIES)[2])


def test_downloads_come_out_of_the_page(browser: Browser, page: Page, tmp_path: Path) -> None:
    browser.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    names = ("leaderboard.csv", "leaderboard.json", "items.csv", "answers.json")
    for name in names:
        page.run(
            "Array.from(document.querySelectorAll('[data-downloads] > *'))"
            f".find((link) => link.textContent === '{name}').click();"
            "await new Promise((done) => setTimeout(done, 300))"
        )
    files = {path.name: path for path in tmp_path.iterdir()}
    assert set(names) <= files.keys()
    items = files["items.csv"].read_text().splitlines()
    assert items[0].startswith("item_id,source,run,model,judge,rule,score")
    assert len(items) > 200
    assert json.loads(files["leaderboard.json"].read_text())["rows"]
    assert files["leaderboard.csv"].read_text().startswith("kind,rank")


def test_hostile_text_is_text(browser: Browser, tmp_path: Path) -> None:
    dpg = maker(tmp_path)
    rows = dpg.benchmark.path.read_text(encoding="utf-8")
    prompt = HOSTILE.replace('"', '""')
    rows = rows.replace('A purple cube, ""None""', prompt).replace("Is there a cube?", "<b>?</b>")
    dpg.benchmark.path.write_text(rows, encoding="utf-8")
    dpg = maker_again(dpg)
    look = {"answer": HOSTILE, "judge": "<b>judge</b>", "images": True}
    runs = [dpg.make("one", model=HOSTILE, **look), dpg.make("two", model="__proto__", **look)]
    page = browser.open(
        build_report(runs, tmp_path / "out")[0], "#view=items&item=stanford_2", width=390
    )
    assert "<script>alert(1)</script>" in page.value(
        "document.querySelector('.prompt').textContent"
    )
    detail = page.value("document.querySelector('[data-item]').textContent")
    assert "<script>alert(1)</script>" in detail
    assert "very very very" in detail
    assert "<b>?</b>" in detail
    assert page.value("document.querySelectorAll('main b, main i, main img[src=x]').length") == 0
    assert page.value("document.querySelectorAll('script').length") == 2
    assert page.value("document.documentElement.scrollWidth") == 390
    page.run("Dpg.address.set({ view: 'items', model: '__proto__', first: '__proto__' })")
    assert page.value("document.querySelector('.verdict').textContent").startswith("__proto__")
    assert page.complaints() == []
    assert not [e for e in browser.events if e["method"] == "Page.javascriptDialogOpening"]
    page.close()
