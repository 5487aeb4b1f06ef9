"""Figures for papers: fonts embedded, no letter missing, said what they are, the same each time."""

from __future__ import annotations

import io
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

import dpgbench
from dpgbench.analysis.board import Board, make_board
from dpgbench.errors import SetupError
from dpgbench.report.plots import fonts
from dpgbench.report.plots.paper import figure_files, look_of
from tests.report.papers import NEEDS_POPPLER, PDFFONTS, embedded_fonts, pdf_text
from tests.report.report_runs import maker

NAMES = ("Ω-model", "cost $5 and $6", "_hidden", "100%_a\\b", *(f"model {n}" for n in range(8)))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    dpg = maker(tmp_path_factory.mktemp("figures"), rules=("corrected-v1",))
    runs = [
        dpg.make(f"run{n}", model=name, skill=0.95 - 0.05 * n, seed=n)
        for n, name in enumerate(NAMES)
    ]
    return make_board(runs, published=False)


@pytest.fixture(scope="module")
def files(board: Board) -> dict[str, bytes]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a letter that no font has
        return figure_files(board)


def overall_only(board: Board) -> Board:
    """The same board with nothing to draw but the overall."""
    groups = tuple(
        replace(group, rows=tuple(replace(row, l1={}) for row in group.rows))
        for group in board.groups
    )
    return replace(board, groups=groups, prompt_lengths=())


def text_of(svg: bytes) -> str:
    root = ElementTree.fromstring(svg)
    return " ".join(" ".join("".join(e.itertext()).split()) for e in root.iter() if e.text)


def test_each_figure_is_svg_pdf_and_png(files: dict[str, bytes]) -> None:
    assert set(files) == {
        f"{what}-dpg-fake-corrected-v1.{form}"
        for what in ("overall", "categories", "length")
        for form in ("svg", "pdf", "png")
    }
    for name, data in files.items():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(data)) as image:
                assert image.width > 1000
                assert image.getextrema() != ((255, 255),) * 4


@pytest.mark.parametrize("what", ["overall", "categories", "length"])
def test_a_figure_says_what_it_shows(files: dict[str, bytes], what: str) -> None:
    text = text_of(files[f"{what}-dpg-fake-corrected-v1.svg"])
    assert "DPG-Bench, judge fake, rule corrected-v1, n = 30 items" in text
    assert {"overall": "Overall score", "categories": "Category score", "length": "Words in"}[
        what
    ] in text
    for name in NAMES:
        assert name in text, name


@pytest.mark.skipif(PDFFONTS is None, reason=NEEDS_POPPLER)
def test_fonts_are_embedded_as_truetype(files: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in files.items():
        if name.endswith(".pdf"):
            (tmp_path / name).write_bytes(data)
            used = embedded_fonts(tmp_path / name)
            assert used
            assert all(there for _, there in used.values())
            assert not any(kind.startswith("Type 3") for kind, _ in used.values())
            text = pdf_text(tmp_path / name)
            assert "Ω-model" in text
            assert "cost $5 and $6" in text


def test_runs_are_told_apart_without_colour() -> None:
    looks = [look_of(index) for index in range(144)]
    assert len({(look.marker, str(look.dash), look.colour) for look in looks}) == 144
    assert len({look.marker for look in looks[:12]}) == 12
    assert len({look.colour for look in looks[:12]}) == 12
    assert len({(look.marker, str(look.dash)) for look in looks[:12]}) == 12


def test_letters_that_no_font_has_are_named_and_the_bytes_are_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fonts, "_installed", list)
    fonts._fonts_for.cache_clear()
    run = maker(tmp_path, rules=("corrected-v1",)).make("run", model="通义")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        board = overall_only(make_board([run], published=False))
        files = figure_files(board)
        assert figure_files(board) == files
    fonts._fonts_for.cache_clear()
    assert "no font on this machine has 义通" in caplog.text
    assert "[U+901A][U+4E49]" in text_of(files["overall-dpg-fake-corrected-v1.svg"])


def test_letters_of_any_font_of_the_machine_are_drawn(tmp_path: Path) -> None:
    letters = "通义"
    have = [path for path in fonts._installed() if set(letters) <= fonts._letters(path)]
    if not have:
        pytest.skip("no font with Chinese letters: apt-get install fonts-droid-fallback")
    run = maker(tmp_path, rules=("corrected-v1",)).make("run", model=f"Ω-{letters}")
    board = overall_only(make_board([run], published=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = figure_files(board)
    assert f"Ω-{letters}" in text_of(files["overall-dpg-fake-corrected-v1.svg"])
    if PDFFONTS is not None:
        path = tmp_path / "overall.pdf"
        path.write_bytes(files["overall-dpg-fake-corrected-v1.pdf"])
        assert f"Ω-{letters}" in pdf_text(path)
        assert len(embedded_fonts(path)) > 1
        assert all(there for _, there in embedded_fonts(path).values())


def test_python_makes_what_the_command_makes(tmp_path: Path) -> None:
    run = maker(tmp_path, rules=("corrected-v1",)).make("run", images=True)
    folders = {name: tmp_path / name for name in ("figures", "latex", "cards")}
    paths = dpgbench.build_report(
        [run.path], tmp_path / "out", published=False, embed="thumbs", verify=False, **folders
    )
    for name, folder in folders.items():
        made = [path for path in paths if path.parent == folder]
        assert len(made) == {"figures": 9, "latex": 3, "cards": 1}[name]
        assert all(path.stat().st_size for path in made)
    page = paths[0].read_text(encoding="utf-8")
    assert "data:image/webp;base64," in page
    assert 'id="published"' not in page


def test_a_figure_of_one_item_has_no_interval(tmp_path: Path) -> None:
    dpg = maker(tmp_path, rules=("corrected-v1",))
    board = make_board([dpg.make("run", items=["COCOval1"])], published=False)
    text = text_of(figure_files(overall_only(board))["overall-dpg-fake-corrected-v1.svg"])
    assert "n = 1 item" in text
    assert "[" not in text


def test_without_matplotlib_the_command_to_install_it_is_named(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SetupError, match=r"pip install 'dpgbench\[figures\]'") as ended:
        figure_files(board)
    assert ended.value.exit_code == 4
