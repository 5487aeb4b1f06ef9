"""The review page: strike, edit, undo, download; from a file, with keys alone, asking nobody."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from dpgbench.report.review import write_review_page
from dpgbench.store.benchmarks import load_benchmark
from tests.helpers import Run
from tests.report.chromium import CHROMIUM, Browser, Page
from tests.report.page_checks import AXE, AXE_RUN, CONTRAST, OVERFLOW
from tests.report.review_files import ITEMS, NASTY, read_rows, write_items, write_many

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
Open = Callable[..., Page]


def build(folder: Path, **form: Any) -> Path:
    """The page of the three items."""
    source = write_items(folder / "pets.csv", **form)
    return write_review_page(load_benchmark(source), folder / "pets-review.html").path


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens pages, which afterwards must have asked nobody and complained of nothing."""
    pages = []

    def open_page(path: Path, place: str = "", **look: Any) -> Page:
        browser.send(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "down")
        )
        page = browser.open(path, place, **look)
        page.run("localStorage.clear()")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        assert page.complaints() == []
        assert all(address.startswith(("file:", "blob:", "data:")) for address in page.requests())
        page.run("localStorage.clear()")
        page.close()


def click(page: Page, label: str) -> None:
    """Click the button with a label or text."""
    page.run(
        f"const label = {label!r};"
        "const all = [...document.querySelectorAll('button')].filter((b) => b.checkVisibility());"
        "all.find((b) => (b.getAttribute('aria-label') || b.textContent).trim() === label).click()"
    )


def status(page: Page) -> str:
    """What the page said last."""
    return str(page.value("document.querySelector('[data-status]').textContent"))


def key(page: Page, letter: str) -> None:
    """Press a letter."""
    about = {"key": letter, "code": f"Key{letter.upper()}"}
    code = ord(letter.upper())
    page.send("Input.dispatchKeyEvent", type="keyDown", text=letter, **about)
    page.send("Input.dispatchKeyEvent", type="keyUp", windowsVirtualKeyCode=code, **about)


def work_seconds(page: Page) -> float:
    """How long the page's main thread has worked."""
    metrics = page.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def downloaded(page: Page, tmp_path: Path) -> Path:
    """The file that the button gives."""
    path = tmp_path / "down" / "pets-reviewed.csv"
    path.unlink(missing_ok=True)
    click(page, "Download pets-reviewed.csv")
    for _ in range(200):
        if path.exists() and path.stat().st_size:
            return path
        time.sleep(0.05)
    raise AssertionError(f"no download: {status(page)}")


@needs_browser
def test_untouched_it_gives_the_file_back(opened: Open, tmp_path: Path) -> None:
    """With flags and odd texts, cell by cell."""
    page = opened(build(tmp_path))
    path = downloaded(page, tmp_path)
    assert read_rows(path) == read_rows(tmp_path / "pets.csv")
    assert path.read_text("utf-8").splitlines()[0].endswith(",review")


@needs_browser
def test_a_struck_question_hands_its_children_to_its_parents(opened: Open, tmp_path: Path) -> None:
    """And says so; the file is one that `check --strict` has nothing against."""
    page = opened(build(tmp_path), "#item=alpha_1")
    click(page, "Strike: question 3")
    assert status(page) == "Struck question 3. Question 4 now rests on 1."
    click(page, "Strike: question 1")
    assert status(page) == (
        "Struck question 1. Questions 2 and 4 now rest on nothing. Question 6 now rests on 5."
    )
    rows = read_rows(downloaded(page, tmp_path))
    assert [(r["proposition_id"], r["dependency"]) for r in rows if r["item_id"] == "alpha_1"] == [
        ("2", "0"),
        ("4", "0"),
        ("5", "0"),
        ("6", "5"),
    ]
    assert rows[0]["review"] == "uncovered: small, beside"  # of the item: on its first row
    assert load_benchmark(tmp_path / "down" / "pets-reviewed.csv").findings() == []
    click(page, "Undo")
    click(page, "Undo")
    assert read_rows(downloaded(page, tmp_path)) == read_rows(tmp_path / "pets.csv")


@needs_browser
def test_children_can_go_too_and_an_empty_item_is_told(opened: Open, tmp_path: Path) -> None:
    """An item without questions is left out of the file, and the page says so."""
    page = opened(build(tmp_path), "#item=alpha_1")
    click(page, "Strike with the 4 below: question 1")
    assert status(page) == "Struck questions 1, 2, 3, 4 and 6."
    click(page, "Strike: question 5")
    assert "this item will not be in the file" in status(page)
    rows = read_rows(downloaded(page, tmp_path))
    assert {row["item_id"] for row in rows} == {"beta_2", "gamma_3"}
    assert status(page).endswith("1 item without questions left out.")


@needs_browser
def test_an_edit_is_checked_kept_over_a_reload_and_downloaded(opened: Open, tmp_path: Path) -> None:
    """Twins, unknown, later and own parents are refused where they are typed."""
    path = build(tmp_path)
    page = opened(path, "#item=alpha_1")
    click(page, "Edit: question 3")
    fault = "document.querySelector('.fault')?.textContent ?? ''"

    def fill(name: str, value: str) -> str:
        page.run(f"document.querySelector('.edit [name={name}]').value = {value!r}")
        click(page, "Save")
        return str(page.value(fault))

    assert fill("question", " is THE cat  red? ") == "Question 2 asks that already."
    assert "needs words" in fill("question", "  ")
    assert fill("question", 'Is the "cat"\'s tail, striped?') == ""
    click(page, "Edit: question 3")
    assert fill("parents", "9") == "There is no question 9."
    assert fill("parents", "3") == "A question cannot rest on itself."
    assert "comes later" in fill("parents", "5")
    assert "not “x”" in fill("parents", "1, x")
    page.run("document.querySelector('.edit [name=kind]').value = 'attribute - texture'")
    assert fill("parents", "1, 2") == ""
    page.go("about:blank")
    page.go(path.as_uri())
    assert page.value("document.querySelector('[data-totals]').textContent").endswith("1 changed")
    row = read_rows(downloaded(page, tmp_path))[2]
    assert row["question_natural_language"] == 'Is the "cat"\'s tail, striped?'
    assert row["tuple"] == "attribute - texture (cat, whiskers)"
    assert (row["category_broad"], row["category_detailed"]) == ("attribute", "texture")
    assert (row["dependency"], row["review"]) == ("1,2", "")
    assert load_benchmark(tmp_path / "down" / "pets-reviewed.csv").findings() == []


@needs_browser
def test_everything_can_be_done_with_the_keyboard(opened: Open, tmp_path: Path) -> None:
    """Tab and Enter reach the controls, letters are shorter, and typing is not taken for them."""
    page = opened(build(tmp_path), "#item=alpha_1")
    seen = []
    for _ in range(60):
        page.press("Tab")
        label = "a => a.getAttribute('aria-label') || a.name || a.textContent.trim()"
        seen.append(page.value(f"({label})(document.activeElement)"))
        if seen[-1] == "Strike: question 2":
            break
    assert {"Skip to the item", "Download pets-reviewed.csv", "find", "show"} <= set(seen)
    page.press("Enter")
    assert status(page) == "Struck question 2."
    assert page.value("document.activeElement.getAttribute('aria-label')") == "Restore: question 2"
    key(page, "j")
    key(page, "e")
    page.send("Input.insertText", text="Is it new? ")
    key(page, "x")  # a letter of the text
    page.press("Enter")
    assert status(page) == "Saved question 3."
    key(page, "u")
    key(page, "u")
    assert status(page) == "Undone: question 2 struck."
    key(page, "r")
    key(page, "n")
    assert page.value("document.querySelector('[data-title]').textContent") == "beta_2"
    assert page.value("document.querySelector('[data-totals]').textContent").startswith("1 of 3")
    page.run("document.querySelector('[data-keys]').checked = false")
    key(page, "n")
    assert page.value("location.hash") == "#item=beta_2"


@needs_browser
def test_flags_are_shown_and_taken_away(opened: Open, tmp_path: Path) -> None:
    """A flag that a person finds fine is not in the file; the filter shows what is left."""
    page = opened(build(tmp_path), "#item=beta_2")
    shown = page.value("[...document.querySelectorAll('[data-item] .flag')].map(f => f.innerText)")
    assert shown == ["text-check: <b>no</b>"]
    assert page.value("document.querySelector('[data-item] .prompt').textContent") == NASTY
    click(page, "It is fine: text-check: <b>no</b>")
    rows = read_rows(downloaded(page, tmp_path))
    assert [row["review"] for row in rows if row["review"]] == [
        "uncovered: small, beside",
        "invented: x",
    ]
    page.run(
        "const show = document.querySelector('[name=show]'); show.value = 'flagged';"
        "show.dispatchEvent(new Event('change'))"
    )
    assert page.value("document.querySelectorAll('.entries li').length") == 1


@needs_browser
def test_words_and_graph_light_up_together(opened: Open, tmp_path: Path) -> None:
    """The words that a question names are marked, and hovering shows which."""
    page = opened(build(tmp_path), "#item=alpha_1")
    marked = "[...document.querySelectorAll('mark')].map((m) => m.textContent)"
    assert page.value(marked) == ["red", "cat", "mat"]
    page.run(
        "document.querySelector('.node[data-qid=\"6\"]').dispatchEvent(new Event('mouseenter'))"
    )
    lit = "[...document.querySelectorAll('.lit')].map((m) => m.tagName + (m.dataset.qid || ''))"
    assert {"LI6", "MARK"} <= set(page.value(lit))


@needs_browser
@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_nothing_overflows_and_all_can_be_read(
    opened: Open, tmp_path: Path, width: int, dark: bool
) -> None:
    """Texts in their boxes, contrast, and axe without serious findings, also while editing."""
    page = opened(build(tmp_path), "#item=alpha_1", width=width, dark=dark)
    click(page, "Strike: question 3")
    click(page, "Edit: question 2")
    page.run("document.querySelector('.edit [name=question]').value = ''")
    click(page, "Save")
    out, low = page.run(OVERFLOW + CONTRAST + "return [out, low];")
    assert (out, low) == ([], [])
    if AXE.is_file():
        page.run(AXE.read_text(encoding="utf-8") + "\n; return null;")
        assert page.run(AXE_RUN) == []


@needs_browser
def test_the_real_benchmarks_size_is_open_within_a_second(opened: Open, tmp_path: Path) -> None:
    """1,065 items with 13 questions each; the list grows as it is scrolled.

    Seconds of the page's own work, so that a neighbour on the machine does not fail the test.
    """
    source = write_many(tmp_path / "many.csv")
    written = write_review_page(load_benchmark(source), tmp_path / "many.html")
    assert (written.items, written.questions) == (1065, 13845)
    page = opened(written.path)
    page.send("Performance.enable", timeDomain="threadTicks")
    page.go("about:blank")
    before = work_seconds(page)
    page.go(written.path.as_uri())
    assert work_seconds(page) - before < 1
    assert page.value("document.querySelectorAll('*').length") < 5000
    page.go("about:blank")
    page.go(written.path.as_uri() + "#item=item_1064")
    assert page.value("document.querySelector('[data-title]').textContent") == "item_1064"
    assert page.value("document.querySelectorAll('.entries li').length") == 1065


def test_whatever_the_texts_hold_the_page_is_whole(tmp_path: Path) -> None:
    """No text ends the data or begins an element; nothing is fetched."""
    html = unescape(build(tmp_path).read_text(encoding="utf-8"))
    assert html.count("</script>") == 2
    assert "<b>" not in html
    assert "<i>?" not in html
    assert "default-src 'none'" in html
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html


@pytest.mark.parametrize("with_flags", [True, False])
def test_nine_columns_do_as_well(tmp_path: Path, with_flags: bool) -> None:
    """A file without flags is reviewed, too; what there is is counted."""
    source = write_items(tmp_path / "pets.csv", with_flags=with_flags)
    written = write_review_page(load_benchmark(source), tmp_path / "page.html")
    num_questions = sum(len(rows) for _, rows in ITEMS.values())
    assert written[1:] == (3, num_questions, 3 if with_flags else 0, 0)


def test_the_command_says_what_there_is_to_look_at(run: Run, tmp_path: Path) -> None:
    """In this folder or where `--out` says; a list of prompts has nothing to review."""
    write_items(tmp_path / "pets.csv")
    assert json.loads(run("prompts", "review", "pets.csv", "--json").out) == {
        "path": "pets-review.html",
        "items": 3,
        "questions": 9,
        "flags": 3,
        "findings": 0,
    }
    assert run("prompts", "review", "shapes", "--out", "deep/er/page.html").code == 0
    assert (tmp_path / "deep/er/page.html").is_file()
    (tmp_path / "list.txt").write_text("A cat.\n")
    assert run("prompts", "review", "list.txt").code == 4
    assert ".html" in run("prompts", "review", "pets.csv", "--out", "page.csv").error
    assert run("prompts", "review", "none.csv").code == 3
