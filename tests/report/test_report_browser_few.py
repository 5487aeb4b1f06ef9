"""The page in Chromium where there is little to show: few common items, parts of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dpgbench.report import build_report
from tests.report.chromium import CHROMIUM, Browser
from tests.report.page_checks import OVERFLOW
from tests.report.report_runs import RunMaker, maker

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
FIVE = [f"COCOval{n}" for n in range(1, 10, 2)]


def test_few_common_items_and_parts_are_told_in_the_page(
    browser: Browser, dpg: RunMaker, tmp_path: Path
) -> None:
    whole = dpg.make("whole", skill=1.0)
    few = dpg.make("few", items=FIVE, skill=0.0)
    for rule in dpg.rules:
        path = few.scores("fake", rule)
        subset = {"items": 5, "of": 30, "items_sha256": "0" * 64, "choice": "5 items"}
        path.write_text(json.dumps({**json.loads(path.read_text()), "subset": subset}))
    report = build_report([whole, few], tmp_path / "out")[0]
    page = browser.open(report, "#rule=corrected-v1&first=few&second=whole")
    text = page.value("document.querySelector('[data-compare]').innerText")
    assert "100.00 points on 5 items that both have: fewer than 8" in text
    assert "only 5 of 30 items" in text
    assert "too few" in text
    assert "NaN" not in text
    assert "null" not in text
    assert "is ahead of" not in text
    boards = page.value(
        "[...document.querySelectorAll('.board:not([hidden])')].map((b) => b.innerText)"
    )
    assert len(boards) == 3  # on common items, all, and the part
    assert "5 of 30 items" in boards[2].split("\n\n")[0]
    if AXE.exists():
        page.run(AXE.read_text(encoding="utf-8") + "; return true")
        violations = page.run("return (await axe.run()).violations.map((v) => v.id)")
        assert violations == []
    assert page.complaints() == []
    page.close()


def test_ten_images_an_item_that_are_files_of_their_own(browser: Browser, tmp_path: Path) -> None:
    dpg = maker(tmp_path, num_items=3, num_images=10)
    folder = tmp_path / "pictures"
    folder.mkdir()
    run = dpg.make(
        "run",
        skill=0.4,
        kind="images",
        generation={"folder": str(folder)},
        identity={"pattern": "{item_id}_{tile}.png"},
    )
    lines = []
    for item in dpg.benchmark.items:
        names = [f"{item}_{tile}.png" for tile in range(10)]
        for name in names:
            Image.new("RGB", (8, 8), (9, 90, 160)).save(folder / name)
        lines.append(json.dumps({"item_id": item, "files": dict.fromkeys(names, "0" * 64)}))
    run.images_log.write_text("\n".join(lines) + "\n")
    page = browser.open(build_report([run], tmp_path / "out")[0], "#view=items", width=820)
    page.run("await new Promise((d) => setTimeout(d, 200))")
    shown = "[...document.querySelectorAll('.tile img')].map((i) => i.getAttribute('src'))"
    assert [Path(source).stem[-2:] for source in page.value(shown)] == [f"_{n}" for n in range(10)]
    assert (
        page.value("[...document.images].filter((i) => i.complete && !i.naturalWidth).length") == 0
    )
    for view in ("items", "failures"):
        page.run(f"location.hash = '#view={view}'; await new Promise((d) => setTimeout(d, 50))")
        assert page.run(OVERFLOW + "return out") == []
    assert page.value("document.querySelectorAll('.failure .fates.many .m').length") >= 10
    assert page.complaints() == []
    page.close()


def test_no_item_has_words_of_its_own(browser: Browser, dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("none", items=[])
    report = build_report([run], tmp_path / "out")[0]
    page = browser.open(report)
    text = page.value("document.querySelector('main').innerText")
    assert "No run of this table has an item, so there is no score." in text
    assert "NaN" not in text
    assert "null" not in text
    for view in ("failures", "items"):
        page.run(f"location.hash = '#view={view}'; await new Promise((d) => setTimeout(d, 30))")
        assert page.value("document.body.dataset.view") == view
        text = page.value("document.querySelector('main').innerText")
        assert "The runs of this report have no items." in text
        assert "fails" not in text
    assert page.value("document.querySelector('nav a[data-view=compare]').hidden") is True
    assert page.complaints() == []
    page.close()


def test_a_run_without_items_beside_one_with_items(
    browser: Browser, dpg: RunMaker, tmp_path: Path
) -> None:
    runs = [dpg.make("none", items=[]), dpg.make("some", items=FIVE)]
    page = browser.open(build_report(runs, tmp_path / "out")[0], "#view=failures&model=none")
    assert "This run has no items." in page.value("document.querySelector('main').innerText")
    page.run("location.hash = '#view=compare'; await new Promise((d) => setTimeout(d, 30))")
    text = page.value("document.querySelector('[data-compare]').innerText")
    assert "No item has a score by both: nothing to compare." in text
    assert page.complaints() == []
    page.close()


def test_a_difference_without_an_interval_is_on_its_axis(
    browser: Browser, dpg: RunMaker, tmp_path: Path
) -> None:
    runs = [dpg.make("one", items=["COCOval1"]), dpg.make("two", items=["COCOval1"], skill=0.0)]
    page = browser.open(build_report(runs, tmp_path / "out")[0], "#view=compare")
    axis, gap = page.run(
        "const cells = [...document.querySelectorAll('[data-compare] thead th')];"
        "const row = document.querySelector('[data-compare] tbody tr');"
        "return [cells[4].textContent, parseFloat(row.cells[3].textContent)];"
    )
    low, high = (float(end.replace("−", "-")) for end in axis.split(" to "))
    assert low <= gap <= high
    page.close()
