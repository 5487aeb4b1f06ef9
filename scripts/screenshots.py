"""Pictures of every view of the report, wide and narrow, light and dark, for reviewers to look at.

    python -m scripts.screenshots OUT                    # made-up runs: 2, 5 and 12 models
    python -m scripts.screenshots OUT --models 12 --items 200 --views board failures
    python -m scripts.screenshots OUT --page PAGE.html   # a report that is there already

Needs Chromium (Debian: `apt install chromium`).
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.synthetic_runs import NUM_ITEMS, TWELVE_MODELS, draw_images, item_ids, make_runs
from tests.report.chromium import CHROMIUM, Browser, chromium

VIEWS = {
    "board": "",
    "board-finer": "#view=board&open=l2.sources&columns=date.images",
    "failures": "#view=failures&failed=relation",
    "sheet": "#view=failures&failed=relation&as=sheet",
    "items": "#view=items",
    "item-one-image": "#view=items&tile=2",
    "zoom": "#view=items&item={item}&zoom=0.1",
    "compare": "#view=compare",
    "judges": "#view=judges",
    "models": "#view=models",
    "lengths": "#view=lengths",
    "published": "#view=published",
    "method": "#view=method",
    "unknown": "#view=items&rule=unheard-of&model=nobody&item=nowhere",
}
NUMBERS = (2, 5, 12)
WIDTHS = {390: 844, 820: 1180, 1440: 900}
DRAWN = 60


def example(folder: Path, models: int, items: int = NUM_ITEMS) -> Path:
    """Return the report of made-up runs, with pictures of the first items."""
    from dpgbench.report import build_report

    chosen = dict(itertools.islice(TWELVE_MODELS.items(), models))
    runs = make_runs(folder, items, chosen)
    draw_images(runs, list(item_ids(items))[:: max(1, items // DRAWN)], tile_px=192)
    return build_report(runs, folder / "report")[0]


def take(
    browser: Browser, page_path: Path, out: Path, *, views: Sequence[str] = (), whole: bool = True
) -> Iterator[Path]:
    """Write a picture of each view in each look, and yield the paths.

    Args:
        views: those of `VIEWS`; all without any.
        whole: the whole of each view, not only what is seen first.
    """
    item = next(iter(item_ids()))
    for (width, height), dark in itertools.product(WIDTHS.items(), (False, True)):
        for view in views or VIEWS:
            page = browser.open(
                page_path, VIEWS[view].format(item=item), width=width, height=height, dark=dark
            )
            page.run("await new Promise((done) => setTimeout(done, 250))")
            path = out / f"{view}-{width}-{'dark' if dark else 'light'}.png"
            page.screenshot(path, whole=whole)
            page.close()
            yield path


def print_pages(browser: Browser, page_path: Path, out: Path) -> Iterator[Path]:
    """Write what printing gives of the leaderboard and of a contact sheet, as PDF."""
    for view in ("board", "sheet"):
        page = browser.open(page_path, VIEWS[view])
        path = out / f"print-{view}.pdf"
        path.write_bytes(page.pdf())
        page.close()
        yield path


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--models", type=int, nargs="*", default=NUMBERS)
    parser.add_argument("--items", type=int, default=NUM_ITEMS)
    parser.add_argument("--views", nargs="*", choices=VIEWS, default=())
    parser.add_argument("--first-screen", action="store_true", help="not the whole of each view")
    options = parser.parse_args()
    if CHROMIUM is None:
        parser.error("no Chromium on this machine; on Debian: apt install chromium")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        pages = (
            {"": options.page.resolve()}
            if options.page
            else {
                str(number): example(Path(folder) / str(number), number, options.items)
                for number in options.models
            }
        )
        for name, page in pages.items():
            out = options.out / name
            whole = not options.first_screen
            for path in take(browser, page, out, views=options.views, whole=whole):
                print(path)
            for path in print_pages(browser, page, out):
                print(path)


if __name__ == "__main__":
    main()
