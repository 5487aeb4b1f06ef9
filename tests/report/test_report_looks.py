"""How every view looks in Chromium with 2, 5 and 12 models: nothing overflows, all can be read."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpgbench.domain.graph import PromptGraph
from dpgbench.report import build_report
from dpgbench.report.page.graph_layout import cells
from tests.domain.question_rows import rows
from tests.report.chromium import CHROMIUM, Browser, Page
from tests.report.page_checks import AXE, AXE_RUN, CONTRAST, OVERFLOW
from tests.report.report_runs import maker

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
VIEWS = {
    "board": "#view=board&open=l2.sources&columns=date.size",
    "failures": "#view=failures&failed=relation",
    "sheet": "#view=failures&as=sheet",
    "items": "#view=items&tile=2",
    "compare": "#view=compare",
    "models": "#view=models",
    "lengths": "#view=lengths",
    "published": "#view=published",
    "method": "#view=method",
    "unknown": "#view=items&rule=unheard-of&model=nobody&item=nowhere",
}
NAMES = (
    "sdxl",
    "a-model-with-a-name-of-quite-some-length-and-version-1.0-turbo",
    "Ω通义万相-2.1",
    "sd15",
    "ella-sd15",
    *(f"model-number-{n}" for n in range(7)),
)
WIDTHS = (390, 820, 1440)
FRAMES = "await new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))"
"""Waits until a page has heard of its new size."""
PAPER = {False: "rgb(251, 250, 247)", True: "rgb(20, 22, 26)"}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Reports of 2, 5 and 12 models."""
    dpg = maker(tmp_path_factory.mktemp("looks"), num_items=16)
    runs = [
        dpg.make(f"run-{n}", model=name, skill=0.9 - 0.03 * n, seed=n, images=n < 2)
        for n, name in enumerate(NAMES)
    ]
    folder = dpg.folder.parent
    return {n: build_report(runs[:n], folder / f"report-{n}")[0] for n in (2, 5, 12)}


@pytest.fixture(scope="module")
def pages(browser: Browser, reports: dict[int, Path]) -> Iterator[dict[int, Page]]:
    """Each report, opened once for all tests; at the end none has complained or asked for more."""
    opened = {number: browser.open(path) for number, path in reports.items()}
    yield opened
    for page in opened.values():
        assert page.complaints() == []
        assert all(address.startswith(("file:", "data:")) for address in page.requests())
        page.close()


def turn_to(page: Page, view: str) -> None:
    place = VIEWS[view]
    page.to_front()
    page.run(f"location.hash = '{place}'; await new Promise((done) => setTimeout(done, 30))")
    assert page.value("document.body.dataset.view") == place.split("&")[0].split("=")[1]


@pytest.mark.parametrize("models", [2, 5, 12])
def test_nothing_overflows_at_any_width(pages: dict[int, Page], models: int) -> None:
    page = pages[models]
    for view in VIEWS:
        turn_to(page, view)
        for number, width in enumerate(WIDTHS):
            page.look_like(width, dark=bool(number % 2))
            page.run(FRAMES)
            edge, scroll, out = page.run(
                OVERFLOW + "return [edge, document.documentElement.scrollWidth, out];"
            )
            assert (edge, scroll) == (width, width), view
            assert out == [], (view, width)


@pytest.mark.parametrize(
    ("models", "dark"), [(12, False), (12, True), (5, True), (2, False)], ids=str
)
def test_all_can_be_read_by_day_and_by_night(
    pages: dict[int, Page], models: int, dark: bool
) -> None:
    page = pages[models]
    page.look_like(390 if dark else 1440, dark=dark)
    for view in VIEWS:
        turn_to(page, view)
        low, paper = page.run(
            CONTRAST + "return [low, getComputedStyle(document.body).backgroundColor];"
        )
        assert low == [], view
        assert paper == PAPER[dark]


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core: npm ci --prefix tests/report")
@pytest.mark.parametrize(
    ("width", "views"),
    [(1440, ("board", "sheet", "items", "compare", "models")), (390, ("board", "items"))],
    ids=str,
)
def test_axe_finds_nothing_serious(
    pages: dict[int, Page], width: int, views: tuple[str, ...]
) -> None:
    page = pages[12]
    page.look_like(width, dark=width == 390)
    page.run(AXE.read_text(encoding="utf-8") + "\n; return null;")
    for view in views:
        turn_to(page, view)
        assert page.run(AXE_RUN) == [], view


TOPS = """
const table = document.querySelector(".board:not([hidden]) .models");
const top = (part) => table.querySelector(part).getBoundingClientRect().top;
const left = (part) => table.querySelector(part).getBoundingClientRect().left;
const stuck = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--bar"));
"""


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_chooser_heading_and_first_column_stay(pages: dict[int, Page], width: int) -> None:
    page = pages[12]
    page.look_like(width, 500)
    turn_to(page, "board")
    page.run("window.scrollTo(0, 420); await new Promise((done) => setTimeout(done, 50))")
    chooser = "document.querySelector('[data-chooser]').getBoundingClientRect()"
    assert page.value(f"{chooser}.top") >= -1
    assert page.value(f"{chooser}.bottom") < 130
    page.run(
        "const table = document.querySelector('.board:not([hidden]) .models');"
        "const box = table.closest('.scroll');"
        "const low = table.rows[6].offsetTop + box.offsetTop + 200;"
        "if (box.matches('.roomy')) window.scrollTo(0, low);"
        "else { box.scrollIntoView(); box.scrollTop = 250; box.scrollLeft = 200; }"
        "await new Promise((done) => setTimeout(done, 50))"
    )
    head, row, box, stuck, first, edge = page.run(
        TOPS + "const box = table.closest('.scroll').getBoundingClientRect();"
        "return [top('thead th'), top('tbody tr:nth-child(2)'), box.top, stuck,"
        " left('tbody th'), box.left];"
    )
    assert row < head  # the rows went on below the heading
    assert head == pytest.approx(max(box, stuck), abs=2)
    assert head >= stuck - 1
    assert edge <= first <= edge + 120


def test_a_dot_is_never_cut_off(pages: dict[int, Page]) -> None:
    page = pages[5]
    page.run("location.hash = '#view=items&sort=high'; await new Promise((d) => setTimeout(d, 30))")
    cut = page.run(
        "return [...document.querySelectorAll('.strip circle')].filter((dot) => {"
        " const d = dot.getBoundingClientRect(), box = dot.closest('svg').getBoundingClientRect();"
        " return d.left < box.left - 0.5 || d.right > box.right + 0.5 || d.top < box.top - 0.5"
        " || d.bottom > box.bottom + 0.5; }).length"
    )
    assert page.value("document.querySelectorAll('.strip circle').length") > 5
    assert cut == 0


GRAPH = """
const place = document.querySelector("[data-item]");
const text = "a subject of several words, " .repeat(4);
const questions = CELLS.map(([qid, parents, column, row]) =>
  ({ qid, text: "?", subject: qid % 3 ? "cube " + qid : text, category: 0, parents, column, row }));
const graph = Dpg.graph(questions, () => "yynz", "graph");
place.replaceChildren(graph);
graph.settle();
const origin = graph.getBoundingClientRect();
const boxes = [...graph.querySelectorAll(".node")].map((node) => {
  const box = node.getBoundingClientRect();
  return { qid: node.dataset.qid, left: box.left - origin.left, right: box.right - origin.left,
    top: box.top - origin.top, bottom: box.bottom - origin.top,
    full: node.scrollHeight <= node.clientHeight + 1 && node.scrollWidth <= node.clientWidth + 1 };
});
const crossed = [];
for (const edge of graph.querySelectorAll(".edge")) {
  for (let at = 0; at <= edge.getTotalLength(); at += 2) {
    const { x, y } = edge.getPointAtLength(at);
    for (const box of boxes) {
      if (x > box.left + 1 && x < box.right - 1 && y > box.top + 1 && y < box.bottom - 1) {
        crossed.push(box.qid);
      }
    }
  }
}
const over = boxes.filter((a) => boxes.some((b) => a !== b && a.left < b.right && b.left < a.right
  && a.top < b.bottom && b.top < a.bottom));
return [graph.querySelectorAll(".edge").length, crossed, over.length,
  boxes.filter((box) => !box.full).length,
  boxes.some((box) => box.right > origin.width + 1 || box.bottom > origin.height + 1)];
"""


@pytest.mark.parametrize("seed", range(6))
def test_no_line_crosses_a_box_and_boxes_hold_their_text(pages: dict[int, Page], seed: int) -> None:
    rng = random.Random(seed)
    numbers = [rng.sample(range(1, qid), min(qid - 1, rng.randrange(4))) for qid in range(1, 15)]
    dependencies = [",".join(map(str, parents)) or "0" for parents in numbers]
    questions = PromptGraph.from_rows(rows("item", dependencies)).questions
    where = cells(questions)
    plain = [[q.qid, list(q.parents), *where[q.qid]] for q in questions]
    page = pages[2]
    turn_to(page, "items")
    edges, crossed, over, cut, outside = page.run(GRAPH.replace("CELLS", json.dumps(plain)))
    assert edges >= 5
    assert (crossed, over, cut, outside) == ([], 0, 0, False)
