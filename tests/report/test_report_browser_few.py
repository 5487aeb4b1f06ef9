"""The page in Chromium where there is little to show: few common items, parts of a benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpgbench.report import build_report
from tests.report.chromium import CHROMIUM, Browser
from tests.report.report_runs import RunMaker

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
