"""LaTeX tables: they compile and fit, in the field's order, best bold, second underlined."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dpgbench.analysis.board import Board, make_board
from dpgbench.cli import report as command
from dpgbench.report.tables.latex import latex_files, latex_tables, leaderboard_latex
from dpgbench.report.tables.latex_text import breakable, latex, lines
from tests.report.papers import LAYOUTS, NEEDS_LATEX, PDFLATEX, PDFTOTEXT, compile_tables, pdf_text
from tests.report.report_runs import RunMaker, maker

NAMES = (
    "Ω-通义-Image 2",
    "Playground v2.5",
    r"100%_a & b\input{x}$y$ #~^<>|",
    "black-forest-labs/FLUX.1-dev-with-a-very-long-name-of-a-finetune-that-nobody-can-say",
    "Größe–“É” Łódź",
    *(f"model-{n}" for n in range(7)),
)


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Board]:
    """Boards of 2 and of 12 models under one rule."""
    dpg = maker(tmp_path_factory.mktemp("latex"), rules=("corrected-v1",))
    runs = [
        dpg.make(f"run{n}", model=name, skill=0.95 - 0.04 * n, seed=n, answer="no")
        for n, name in enumerate(NAMES)
    ]
    return {number: make_board(runs[:number], published=False) for number in (2, 12)}


@pytest.mark.skipif(PDFLATEX is None or PDFTOTEXT is None, reason=NEEDS_LATEX)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("number", [2, 12])
def test_each_table_compiles_and_fits(
    boards: dict[int, Board], tmp_path: Path, number: int, layout: str
) -> None:
    tables = latex_files(boards[number])
    assert len(tables) == 3
    assert compile_tables(tmp_path, tables, layout) == []
    text = pdf_text(tmp_path / "paper.pdf")
    assert "Ω-U+901A" in re.sub(r"\s", "", text)
    assert "Playground v2.5" in text
    assert "mplug" not in text
    assert "rule corrected-v1, 30 items, 4 images an item, seeds 0 to 3" in " ".join(text.split())


@pytest.mark.skipif(PDFLATEX is None or PDFTOTEXT is None, reason=NEEDS_LATEX)
def test_the_whole_file_compiles_with_remarks_and_other_judges(
    dpg: RunMaker, tmp_path: Path
) -> None:
    dpg.make("part", unanswered=["COCOval1"], notes=["untrained: scores mean nothing"])
    runs = [
        dpg.make("whole", judge="openai:Qwen/Qwen3-VL-235B-A22B-Instruct-FP8@http://host:8000/v1"),
        dpg.make("part", judge="two", unanswered=["COCOval1"]),
        dpg.make("few", items=["COCOval1", "COCOval3"], seed=5),
    ]
    board = make_board(runs)
    assert compile_tables(tmp_path, {"all.tex": leaderboard_latex(board)}, "conference") == []


def test_columns_stand_in_the_fields_order_with_capitals(boards: dict[int, Board]) -> None:
    tables = latex_tables(boards[2])
    assert list(tables) == [f"dpg-fake-corrected-v1{end}" for end in ("", "-wide", "-l2")]
    head = "Model & Overall & Global & Entity & Attribute & Relation"
    assert head in tables["dpg-fake-corrected-v1"]
    assert head in tables["dpg-fake-corrected-v1-wide"]
    above = tables["dpg-fake-corrected-v1-l2"].split("\\cmidrule")[0]
    assert re.findall(r"{(Global|Entity|Attribute|Relation)}", above) == [
        "Global",
        "Entity",
        "Attribute",
        "Relation",
    ]
    assert r"\begin{table*}" in tables["dpg-fake-corrected-v1-wide"]
    for name, text in tables.items():
        assert rf"\label{{tab:{name}}}" in text


def test_best_is_bold_where_significant_and_second_underlined(boards: dict[int, Board]) -> None:
    board = boards[12]
    (group,) = board.groups
    rows = latex_tables(board)["dpg-fake-corrected-v1"].split(r"\midrule")[1].split(r"\\" + "\n")
    overall = [row.split(" & ")[1] for row in rows if " & " in row]
    scores = [f"{row.overall:.2f}" for row in group.rows]
    bold = "" in group.rows[0].best
    assert overall[0] == (rf"\textbf{{{scores[0]}}}" if bold else scores[0])
    assert overall[1] == rf"\underline{{{scores[1]}}}"
    assert overall[2:] == scores[2:]


def test_intervals_are_in_the_wide_table_alone(boards: dict[int, Board]) -> None:
    tables = latex_tables(boards[2])
    low, high = boards[2].rows[0].interval or (0.0, 0.0)
    assert f"[{low:.1f}, {high:.1f}]" in tables["dpg-fake-corrected-v1-wide"]
    assert f"[{low:.1f}, {high:.1f}]" not in tables["dpg-fake-corrected-v1"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Ωmega β", r"\ensuremath{\Omega}mega \ensuremath{\beta}"),
        ("通义x", r"\dpgunicode{通义}{U+901A U+4E49}x"),
        ("é ñ ü ß Å", r"\'{e} \~{n} \"{u} \ss{} \r{A}"),
        ("e\u0301", r"\'{e}"),
        ('a--b "c"', r"a-{}-b ''c''"),
        ("\\ ~ ^", r"\textbackslash{} \textasciitilde{} \textasciicircum{}"),
    ],
)
def test_text_of_any_writing_is_latex(text: str, written: str) -> None:
    assert latex(text) == written


def test_long_words_can_be_broken() -> None:
    assert breakable("a-b c") == "a-b c"
    assert breakable("one-word-of-many-parts x").startswith(r"one-\hspace{0pt}word-")
    assert breakable("x" * 30).count(r"\hspace{0pt}") == 2
    assert lines("black-forest-labs/FLUX.1-dev", 22) == ["black-forest-labs/", "FLUX.1-dev"]


def test_the_command_names_letters_that_pdflatex_lacks(
    dpg: RunMaker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = typer.Typer()
    command.register(app)
    run = dpg.make("run", model="Ω-通义", notes=["Кириллица"])
    words = [str(run.path), "--out", str(tmp_path / "out"), "--latex", str(tmp_path / "tables")]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert "pdflatex has no letters for 通义 in 'Ω-通义'" in caplog.text
    assert "in 'Кириллица'" in caplog.text
    made = {path.name for path in (tmp_path / "tables").iterdir()}
    assert made == {
        f"dpg-fake-{rule}{end}.tex"
        for rule in ("ella-reference", "corrected-v1")
        for end in ("", "-wide", "-l2")
    }
    assert "CJKutf8" in (tmp_path / "out" / "leaderboard.tex").read_text(encoding="utf-8")
