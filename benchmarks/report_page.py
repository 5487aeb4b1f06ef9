"""How fast a report's page opens and answers in Chromium, and how many elements it has.

    python -m benchmarks.report_page PAGE.html

`benchmarks.report` calls it on the page that it builds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.report.chromium import CHROMIUM, Browser, Page, chromium

CLICKS: Mapping[str, tuple[str, str]] = {
    "a figure to what failed": (
        "#view=board",
        "document.querySelectorAll('td[data-failed] a')[{n}].click()",
    ),
    "another item": ("#view=items", "document.querySelectorAll('[data-list] a')[{n}].click()"),
    "another image": ("#view=items", "document.querySelectorAll('.graph-part .chip')[{n}].click()"),
    "another model": (
        "#view=items",
        "document.querySelectorAll('.detail > .chips .chip')[{n} % 2].click()",
    ),
    "a page of items": (
        "#view=items",
        "document.querySelector('[aria-label=\"Further items\"]').click()",
    ),
    "a filter": (
        "#view=items",
        "Dpg.address.set({{ text: 'violin', failed: 'attribute', min: '{n}' }})",
    ),
    "most different": ("#view=items", "Dpg.address.set({{ show: 'differ', min: '{n}' }})"),
    "a page of failures": (
        "#view=failures",
        "document.querySelector('[aria-label=\"Further failures\"]').click()",
    ),
    "another category": (
        "#view=failures",
        "Dpg.address.set({{ failed: ['entity', 'relation'][{n} % 2] }})",
    ),
    "a contact sheet": ("#view=failures", "Dpg.address.set({{ as: ['sheet', ''][{n} % 2] }})"),
    "a pair": ("#view=compare", "document.querySelectorAll('.matrix td a')[{n}].click()"),
    "a model's page": (
        "#view=models",
        "document.querySelectorAll('[data-models] .chip')[{n} % 2].click()",
    ),
    "a sorted table": (
        "#view=board",
        "document.querySelectorAll('.board .models thead button')[{n}].click()",
    ),
    "a view": ("#view=board", "Dpg.address.set({{ view: ['items', 'board'][{n} % 2] }})"),
    "a rule": (
        "#view=board",
        "Dpg.address.set({{ rule: ['corrected-v1', 'ella-reference'][{n} % 2] }})",
    ),
    "a rule, at an item": (
        "#view=items",
        "Dpg.address.set({{ rule: ['corrected-v1', 'ella-reference'][{n} % 2] }})",
    ),
}
"""By name: where the page is, and the script of the n-th click."""
_TIMED = (
    "const began = performance.now(); {}; document.body.getBoundingClientRect();"
    "return performance.now() - began;"
)
NODES = "document.querySelectorAll('*').length"


def open_milliseconds(page: Page, path: Path, times: int = 4) -> float:
    """Return how long the page takes from its address until all of it stands, at best."""
    taken = []
    for _ in range(times):
        page.go("about:blank")
        page.go(path.as_uri())
        taken.append(page.value("performance.getEntriesByType('navigation')[0].domComplete"))
    return float(min(taken))


def click_milliseconds(page: Page, path: Path, what: str, times: int = 8) -> list[float]:
    """Return how long each of some clicks takes until it is laid out."""
    place, script = CLICKS[what]
    page.go("about:blank")
    page.go(path.as_uri() + place)
    return [float(page.run(_TIMED.format(script.format(n=1 + n % 4)))) for n in range(times)]


def measure_page(browser: Browser, path: Path) -> dict[str, Any]:
    """Return elements at load, milliseconds of the first view and of each click (the median)."""
    page = browser.open(path)
    figures: dict[str, Any] = {
        "elements": page.value(NODES),
        "first_view_ms": round(open_milliseconds(page, path)),
        "click_ms": {},
    }
    for what in CLICKS:
        taken = sorted(click_milliseconds(page, path, what))
        figures["click_ms"][what] = round(taken[len(taken) // 2], 1)
    page.close()
    return figures


def main() -> None:
    """Measure a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    if CHROMIUM is None:
        parser.error("no Chromium on this machine; on Debian: apt install chromium")
    with chromium() as browser:
        print(json.dumps(measure_page(browser, options.page.resolve())))


if __name__ == "__main__":
    main()
