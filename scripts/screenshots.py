"""Pictures of every view of the report, wide and narrow, light and dark, for reviewers to look at.

    python -m scripts.screenshots OUT             # made-up runs of the real benchmark's size
    python -m scripts.screenshots OUT PAGE.html   # a report that is there already

Needs Chromium (Debian: `apt install chromium`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.synthetic_runs import draw_images, item_ids, make_runs
from tests.report.chromium import CHROMIUM, chromium

VIEWS = {
    "top": ("", "header"),
    "leaderboard": ("", ".board"),
    "compare": ("#lead=first", "#compare"),
    "compare-items": ("#lead=first", "#pair"),
    "items": ("", "#items"),
    "item-all-tiles": ("", "[data-item]"),
    "item-one-tile": ("#tile=2", "[data-item]"),
    "lengths": ("", "#lengths"),
    "published": ("", "#published"),
    "runs": ("", "#runs"),
    "method": ("", "#method"),
}
LOOKS = {
    "1440-light": {"width": 1440, "height": 1000, "dark": False},
    "1440-dark": {"width": 1440, "height": 1000, "dark": True},
    "390-light": {"width": 390, "height": 1400, "dark": False},
    "390-dark": {"width": 390, "height": 1400, "dark": True},
}


def example(folder: Path) -> Path:
    """Return the report of made-up runs, with pictures of the first items."""
    from dpgbench.report import build_report

    runs = make_runs(folder)
    draw_images(runs, list(item_ids())[:60], tile_px=192)
    return build_report(runs, folder / "report")[0]


def take(page_path: Path, out: Path) -> list[Path]:
    """Write a picture of each view in each look, and return the paths."""
    taken = []
    with chromium() as browser:
        for look, size in LOOKS.items():
            for view, (place, part) in VIEWS.items():
                page = browser.open(page_path, place, **size)
                page.run(
                    f"const part = document.querySelector({part!r});"
                    "if (part && !part.hidden) part.scrollIntoView({ block: 'start' });"
                    "await new Promise((done) => setTimeout(done, 250))"
                )
                taken.append(out / f"{view}-{look}.png")
                page.screenshot(taken[-1])
                page.close()
    return taken


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("page", nargs="?", type=Path)
    options = parser.parse_args()
    if CHROMIUM is None:
        parser.error("no Chromium on this machine; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as folder:
        page = options.page.resolve() if options.page else example(Path(folder))
        for path in take(page, options.out):
            print(path)


if __name__ == "__main__":
    main()
