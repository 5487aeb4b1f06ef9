"""From a number to the pictures in Chromium: what failed, contact sheets, models, pairs, judges."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from dpgbench.analysis.board import make_board
from dpgbench.report import build_report
from dpgbench.store.run.directory import RunDir
from tests.report.chromium import CHROMIUM, Browser, Page, go
from tests.report.report_runs import RunMaker, maker

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def wait(page: Page, ms: int = 60) -> None:
    page.run(f"await new Promise((done) => setTimeout(done, {ms}))")


def test_two_clicks_lead_from_the_first_screen_to_a_failing_picture(
    page: Page, report: Path
) -> None:
    page.look_like(1440, 900)
    weakest = (
        "[...document.querySelectorAll('.board:not([hidden]) tr[data-run=\"0\"] .figure')]"
        ".find((figure) => figure.matches('.weakest'))"
    )
    name = page.value(f"{weakest}.closest('td').dataset.failed")
    bottom = page.value(f"{weakest}.getBoundingClientRect().bottom")
    assert bottom < 900  # on the first screen
    page.run(f"{weakest}.click()")
    assert f"failed={name}" in page.value("location.hash")
    assert "model=middle" in page.value("location.hash")
    wait(page, 200)
    first = "document.querySelector('.failure')"
    assert page.value(f"{first}.querySelector('img').naturalWidth") > 0
    assert page.value(f"{first}.querySelector('img').getBoundingClientRect().top") < 900
    page.run(f"{first}.querySelector('.enlarge').click()")
    assert page.value("document.querySelector('dialog.zoom').open") is True
    assert page.value("document.querySelector('dialog.zoom img').naturalWidth") > 0


def test_failures_are_those_of_the_category_worst_first(page: Page, report: Path) -> None:
    go(page, report, "#view=failures&model=middle&failed=relation")
    shown = page.run(
        "const view = Dpg.model.view(Dpg.data, Dpg.address.get());"
        "return Dpg.model.failures(view, 'relation').map(({ item, n, fails, no }) => ({ fails, no,"
        " category: view.set.l1[view.set.questions[item][n][3]],"
        " letters: Dpg.model.tilesOf(Dpg.model.states(view.run, view.judge, view.rule, item), 4)"
        ".map((tile) => tile[n]).join('') }))"
    )
    assert shown
    assert {entry["category"] for entry in shown} == {"relation"}
    for entry in shown:
        assert entry["fails"] == sum(entry["letters"].count(letter) for letter in "nz?")
    assert [e["fails"] for e in shown] == sorted((e["fails"] for e in shown), reverse=True)
    text = page.value("document.querySelector('#failures .finding').textContent")
    assert text.startswith(f"middle fails {len(shown)} questions in relation")
    titles = page.value(
        "[...document.querySelectorAll('.failure .asked')].map((e) => e.textContent)"
    )
    assert set(titles) == {"Is it on the table?"}


def test_a_contact_sheet_prints_alone(page: Page, report: Path) -> None:
    go(page, report, "#view=failures&model=middle&as=sheet")
    assert page.value("document.querySelectorAll('.failed-list.sheet .failure').length") == 48
    page.run(
        "window.print = () => {}; [...document.querySelectorAll('#failures button')]"
        ".find((b) => b.textContent === 'Print this sheet').click()"
    )
    page.look_like(800, 900, media="print")
    seen = page.run(
        "return ['header.top', '#boards', '#failures .filters', '.sheet-title', '.failure img']"
        ".map((part) => document.querySelector(part).checkVisibility())"
    )
    assert seen == [False, False, False, True, True]
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.value("document.querySelector('#boards').checkVisibility()") is True


def test_a_picture_enlarges_with_the_keyboard(page: Page, report: Path) -> None:
    go(page, report, "#view=items&item=COCOval3&model=middle")
    page.run("document.querySelector('.tiles .tile').focus()")
    page.press("Enter")
    wait(page)
    head = "document.querySelector('dialog.zoom .zoom-head').textContent"
    assert "image 1 of 4" in page.value(head)
    assert "zoom=0.1" in page.value("location.hash")
    page.press("ArrowRight")
    assert "image 2 of 4" in page.value(head)
    page.press("ArrowLeft", 2)
    assert "image 4 of 4" in page.value(head)
    page.press("Escape")
    wait(page)
    assert page.value("document.querySelector('dialog.zoom').open") is False
    assert "zoom" not in page.value("location.hash")


def test_a_model_has_a_page(page: Page, report: Path) -> None:
    runs = report.parent.parent / "runs"
    board = make_board([RunDir(runs / name) for name in ("middle", "best", "worst", "part")])
    rows = [r for r in board.rows if (r.judge, r.rule) == ("fake", "corrected-v1")]
    row = next(row for row in rows if row.model == "middle")
    page.run("document.querySelector('.board:not([hidden]) tr[data-run=\"0\"] th a').click()")
    wait(page)
    card = "document.querySelector('.run-card:not([hidden])')"
    text = page.value(f"{card}.innerText")
    assert f"{row.overall:.2f}" in text
    assert "Categories against best, the best" in text
    assert "Lowest items" in text
    assert "Highest items" in text
    assert "dpgbench generate --model middle" in text
    scores = page.value(
        f"[...{card}.querySelectorAll('.shelf .value')].map((n) => Number(n.textContent))"
    )
    lowest, highest = scores[: len(scores) // 2], scores[len(scores) // 2 :]
    assert lowest == sorted(lowest)
    assert highest == sorted(highest, reverse=True)
    assert max(lowest) <= min(highest)


def test_every_two_models_stand_in_a_matrix_that_leads_to_the_pair(
    browser: Browser, tmp_path: Path
) -> None:
    dpg = maker(tmp_path)
    runs = [dpg.make(f"m{n}", skill=0.9 - 0.1 * n, seed=n) for n in range(4)]
    page = browser.open(build_report(runs, tmp_path / "out")[0], "#view=compare")
    cells = page.value(
        "[...document.querySelectorAll('.matrix tbody tr')].map((row) =>"
        " [...row.querySelectorAll('td')].map((cell) => cell.textContent.replace('−', '-')))"
    )
    assert len(cells) == 4
    for i, j in itertools.combinations(range(4), 2):
        assert float(cells[i][j]) == pytest.approx(-float(cells[j][i]))
    assert "Holm’s correction over all 6 pairs" in page.value("document.body.innerText")
    page.run("document.querySelectorAll('.matrix tbody tr')[0].querySelectorAll('td a')[1].click()")
    assert "first=m0" in page.value("location.hash")
    assert "second=m2" in page.value("location.hash")
    page.close()


def test_a_comparison_has_its_own_judge_and_rule(page: Page, report: Path) -> None:
    go(page, report, "#view=compare&first=middle&second=best")
    page.run(
        "const rule = document.querySelector('[data-compare] [name=cr]');"
        "rule.value = 'ella-reference'; rule.dispatchEvent(new Event('change'))"
    )
    assert "rule ella-reference" in page.value("document.querySelector('#compare .rule').innerText")
    assert (
        page.value("document.querySelector('[data-chooser] [name=rule]').value") == "corrected-v1"
    )
    assert "cr=ella-reference" in page.value("location.hash")


def test_judges_stand_side_by_side(page: Page, report: Path) -> None:
    go(page, report, "#view=judges&model=middle")
    text = page.value("document.querySelector('#judges').innerText")
    assert "Overall by judge" in text
    heads = page.value(
        "[...document.querySelectorAll('#judges thead th')].map((h) => h.textContent)"
    )
    assert heads == ["Model", "fake", "other"]
    assert "one judge says yes and another does not" in text
    page.run("document.querySelector('#judges .entries a').click()")
    assert page.value("document.body.dataset.view") == "items"
    heads = page.value(
        "[...document.querySelectorAll('.detail .answers:not(.account) thead th')]"
        ".map((h) => h.textContent)"
    )
    assert heads[-1] == "other"
    assert page.value("document.querySelectorAll('.unlike').length") > 0


def test_more_than_eight_models_have_colours_by_choice(browser: Browser, tmp_path: Path) -> None:
    dpg = maker(tmp_path, num_items=10)
    runs = [dpg.make(f"m{n:02}", skill=0.95 - 0.05 * n, seed=n) for n in range(10)]
    page = browser.open(build_report(runs, tmp_path / "out")[0])
    colour = "getComputedStyle(document.querySelector('.swatch.r{}')).backgroundColor"
    colours = [page.value(colour.format(n)) for n in range(10)]
    grey = max(set(colours), key=colours.count)
    coloured = [c for c in colours if c != grey]
    assert len(coloured) == len(set(coloured)) == 5
    dull = colours.index(grey)
    page.run(
        f"[...document.querySelectorAll('.board:not([hidden]) .chips.legend .chip')]"
        f".find((chip) => chip.querySelector('.r{dull}')).click()"
    )
    assert page.value(colour.format(dull)) not in colours
    assert "colours=" in page.value("location.hash")
    page.close()


def test_runs_on_different_items_are_ranked_on_those_that_all_have(
    browser: Browser, dpg: RunMaker, tmp_path: Path
) -> None:
    items = list(dpg.benchmark.items)
    runs = [
        dpg.make("easy", skill=0.9, items=items[:20]),
        dpg.make("hard", skill=0.6, items=items[8:]),
    ]
    (one, two) = make_board(runs).common
    assert (one.items, len(one.rows)) in ((11, 2), (12, 2))
    assert two.items == 12
    page = browser.open(build_report(runs, tmp_path / "out")[0], "#rule=corrected-v1")
    text = page.value("document.querySelector('.common:not([hidden])').innerText")
    assert "On the 12 items that all 2 runs have, easy scores highest" in text
    page.close()


def test_facts_that_all_rows_have_alike_are_said_once(page: Page) -> None:
    alike = page.value("document.querySelector('.board:not([hidden]) .alike').innerText")
    assert "4 images a prompt" in alike
    assert "8x8 px each" in alike
    assert "seeds per-tile from 0" in alike
    hidden = page.value(
        "document.querySelector('.board:not([hidden]) td[data-column=images]').offsetWidth"
    )
    assert hidden == 0
    runs = page.value(
        "[...document.querySelectorAll('.board:not([hidden]) .run')].map((n) => n.textContent)"
    )
    assert runs == ["worst"]  # the others are called as their models
