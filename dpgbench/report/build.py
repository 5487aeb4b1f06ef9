"""Runs to report files, written atomically."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence
from pathlib import Path

from dpgbench.analysis.board import make_board
from dpgbench.errors import UsageError
from dpgbench.report.page.images import Embed, Pictures
from dpgbench.report.page.render import leaderboard_html
from dpgbench.report.plots.figures import figure_files
from dpgbench.report.tables.csv_table import leaderboard_csv
from dpgbench.report.tables.json_table import leaderboard_json
from dpgbench.report.tables.latex import leaderboard_latex
from dpgbench.report.tables.markdown import leaderboard_markdown
from dpgbench.store.files import write_atomic
from dpgbench.store.run.directory import RunDir

NAME = "leaderboard"
_PAGES = (".html", ".htm")
_OTHER_FILES = (".csv", ".md", ".tex", ".txt", ".pdf", ".json", ".png", ".svg", ".xlsx")


def build_report(
    runs: Sequence[RunDir],
    out: Path,
    *,
    published: bool = True,
    embed: Embed = "none",
    figures: Path | None = None,
    verify: bool = True,
) -> list[Path]:
    """Write the leaderboard of `runs` as CSV, HTML, Markdown and LaTeX, and return the paths.

    The same runs give the same bytes, wherever and whenever the report is made from them.

    Args:
        out: a folder, or the name that the HTML file is to have; the others lie beside it.
        published: show published scores too, apart.
        embed: ``thumbs`` puts small copies of the pictures into the page.
        figures: folder for plots as SVG and PNG; None makes none.
        verify: check pictures against the hashes in each run's log.

    Raises:
        UsageError: no run was given.
        DataError: a run has no scores, or a damaged file.
        ResumeMismatchError: a picture is another one than was drawn or judged.
        StorageError: a file could not be written.
    """
    files = render_report(
        runs, out, published=published, embed=embed, figures=figures, verify=verify
    )
    for path, content in files.items():
        write_atomic(path, content)
    return list(files)


def stale_files(
    runs: Sequence[RunDir],
    out: Path,
    *,
    published: bool = True,
    embed: Embed = "none",
    figures: Path | None = None,
    verify: bool = True,
) -> list[Path]:
    """Return which files of a report are absent or not what `runs` give now.

    Args and errors are those of `build_report`.
    """
    files = render_report(
        runs, out, published=published, embed=embed, figures=figures, verify=verify
    )
    return [path for path, content in files.items() if not _holds(path, content)]


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Stop looking for garbage among objects that all stay: a sixth of a large report's time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_garbage_collection()
def render_report(
    runs: Sequence[RunDir],
    out: Path,
    *,
    published: bool = True,
    embed: Embed = "none",
    figures: Path | None = None,
    verify: bool = True,
) -> dict[Path, bytes]:
    """Return the content of each file of the report, by path; the HTML file is the first.

    Args and errors are those of `build_report`.
    """
    if out.suffix.lower() in _OTHER_FILES and not out.is_dir():
        raise UsageError(f"--out {out}: give a folder, or a name that ends in .html")
    page = out if out.suffix.lower() in _PAGES else out / f"{NAME}.html"
    board = make_board(runs, published=published, verify=verify)
    csv = leaderboard_csv(board)
    beside = {
        page.with_suffix(".csv"): csv,
        page.with_suffix(".md"): leaderboard_markdown(board),
        page.with_suffix(".tex"): leaderboard_latex(board),
    }
    html = leaderboard_html(
        board,
        Pictures(page.parent, embed),
        downloads=[path.name for path in beside],
        inside={f"{NAME}.csv": csv, f"{NAME}.json": leaderboard_json(board)},
    )
    files = {path: _encoded(text) for path, text in {page: html, **beside}.items()}
    if figures is not None:
        files |= {figures / name: data for name, data in figure_files(board).items()}
    return files


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")  # half a character in somebody's JSON is no reason to stop


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
