"""Runs to report files, written atomically."""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dpgbench.analysis.board import Board, make_board
from dpgbench.errors import UsageError
from dpgbench.report.beside_published import BesidePublished, beside_published
from dpgbench.report.page.images import Embed, Pictures
from dpgbench.report.page.render import leaderboard_html
from dpgbench.report.plots.paper import figure_files
from dpgbench.report.tables.bibtex import citations
from dpgbench.report.tables.csv_table import leaderboard_csv
from dpgbench.report.tables.json_table import leaderboard_json
from dpgbench.report.tables.latex import latex_files, leaderboard_latex, texts_without_letters
from dpgbench.report.tables.markdown import leaderboard_markdown
from dpgbench.report.tables.model_card import model_cards
from dpgbench.store.files import write_atomic
from dpgbench.store.run.directory import RunDir

log = logging.getLogger(__name__)

NAME = "leaderboard"
_PAGES = (".html", ".htm")
_OTHER_FILES = (".csv", ".md", ".tex", ".txt", ".pdf", ".json", ".png", ".svg", ".xlsx")


@dataclass(frozen=True)
class ReportOptions:
    """What a report has beyond what is measured, and what it has only if it is asked for.

    Attributes:
        published: show published scores too, apart.
        embed: ``thumbs`` puts small copies of the pictures into the page.
        figures: folder for figures for papers, each as SVG, PDF and PNG; None makes none.
        latex: folder for each LaTeX table in a file of its own; None makes none.
        cards: folder for Markdown of each run, for the card of its model; None makes none.
        verify: check pictures against the hashes in each run's log.
    """

    published: bool = True
    embed: Embed = "none"
    figures: Path | None = None
    latex: Path | None = None
    cards: Path | None = None
    verify: bool = True


_USUAL = ReportOptions()


def build_report(runs: Sequence[RunDir], out: Path, options: ReportOptions = _USUAL) -> list[Path]:
    """Write the leaderboard of `runs` as CSV, HTML, Markdown and LaTeX, and return the paths.

    The same runs give the same bytes, wherever and whenever the report is made from them.

    Args:
        out: a folder, or the name that the HTML file is to have; the others lie beside it.

    Raises:
        UsageError: no run was given.
        DataError: a run has no scores, or a damaged file.
        SetupError: figures need matplotlib, which is not installed.
        ResumeMismatchError: a picture is another one than was drawn or judged.
        StorageError: a file could not be written.
    """
    files = render_report(runs, out, options)
    for path, content in files.items():
        write_atomic(path, content)
    return list(files)


def stale_files(runs: Sequence[RunDir], out: Path, options: ReportOptions = _USUAL) -> list[Path]:
    """Return which files of a report are absent or not what `runs` give now.

    Args and errors are those of `build_report`.
    """
    files = render_report(runs, out, options)
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
    runs: Sequence[RunDir], out: Path, options: ReportOptions = _USUAL
) -> dict[Path, bytes]:
    """Return the content of each file of the report, by path; the HTML file is the first.

    Args and errors are those of `build_report`.
    """
    if out.suffix.lower() in _OTHER_FILES and not out.is_dir():
        raise UsageError(f"--out {out}: give a folder, or a name that ends in .html")
    page = out if out.suffix.lower() in _PAGES else out / f"{NAME}.html"
    board = make_board(runs, published=options.published, verify=options.verify)
    beside_quotes = beside_published(board)
    csv = leaderboard_csv(board)
    beside = {
        page.with_suffix(".csv"): csv,
        page.with_suffix(".md"): leaderboard_markdown(board, beside_quotes),
        page.with_suffix(".tex"): leaderboard_latex(board),
        page.with_suffix(".bib"): citations(board),
    }
    html = leaderboard_html(
        board,
        _pictures(board, page.parent, options.embed),
        beside=beside_quotes,
        downloads=[path.name for path in beside],
        inside={f"{NAME}.csv": csv, f"{NAME}.json": leaderboard_json(board, beside_quotes)},
    )
    files = {path: _encoded(text) for path, text in {page: html, **beside}.items()}
    _tell_of_letters(board, page.with_suffix(".tex"))
    return files | _in_folders(board, options, beside_quotes)


def _pictures(board: Board, folder: Path, embed: Embed) -> Pictures:
    if embed == "none":
        return Pictures(folder)
    return Pictures.embedded(
        folder, [(run.record, items.items) for items in board.item_sets for run in items.runs]
    )


def _in_folders(
    board: Board, options: ReportOptions, beside_quotes: Sequence[BesidePublished]
) -> dict[Path, bytes]:
    """Return the files that were asked for beyond the report's own."""
    files: dict[Path, bytes] = {}
    if options.figures is not None:
        made = figure_files(board)
        files |= {options.figures / name: data for name, data in made.items()}
    if options.latex is not None:
        tables = latex_files(board)
        files |= {options.latex / name: _encoded(text) for name, text in tables.items()}
    if options.cards is not None:
        cards = model_cards(board, beside_quotes)
        files |= {options.cards / name: _encoded(text) for name, text in cards.items()}
    return files


def _tell_of_letters(board: Board, path: Path) -> None:
    """Warn of texts that pdflatex cannot print."""
    for text, letters in texts_without_letters(board).items():
        log.warning(
            "%s: pdflatex has no letters for %s in '%s'; their code points stand there, and the "
            "file's first lines say how to print them",
            path.name,
            letters,
            text,
        )


def _encoded(text: str) -> bytes:
    return text.encode(errors="replace")  # half a character in somebody's JSON is no reason to stop


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False
