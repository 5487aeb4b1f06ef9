"""CSV, Markdown and LaTeX: the figures of the score files, every cell safe, published apart."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from dpgbench.analysis.board import make_board
from dpgbench.analysis.leaderboard import OVERALL
from dpgbench.errors import DataError
from dpgbench.report import build_report
from dpgbench.report.tables.csv_table import leaderboard_csv
from dpgbench.report.tables.frame import SHOWN_ONLY, figures, leaderboard_frame
from dpgbench.report.tables.latex import leaderboard_latex
from dpgbench.report.tables.markdown import escaped, leaderboard_markdown
from dpgbench.store.published import read_published
from dpgbench.store.run.directory import RunDir
from tests.report.report_runs import RunMaker, maker


@pytest.fixture(scope="module")
def table(pair: list[RunDir]) -> list[dict[str, str]]:
    text = leaderboard_csv(make_board(pair))
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_holds_every_figure_unrounded(pair: list[RunDir], table: list[dict[str, str]]) -> None:
    measured = {(row["run"], row["rule"]): row for row in table if row["kind"] == "measured"}
    assert len(measured) == 4
    for run in pair:
        for path in run.score_files():
            file = json.loads(path.read_text())
            row = measured[run.name, file["rule"]]
            assert float(row["overall"]) == file["overall"]
            assert [float(row["overall_lo"]), float(row["overall_hi"])] == file["interval"]
            assert float(row["coverage"]) == file["coverage"]
            for level, prefix in (("l1", "l1"), ("l2", "l2"), ("sources", "source")):
                for name, entry in file[level].items():
                    cells = [row[f"{prefix}_{name}{end}"] for end in ("", "_lo", "_hi")]
                    assert [float(cell) for cell in cells] == [entry["score"], *entry["interval"]]


def test_the_frame_holds_the_csv_and_what_tables_for_people_need(pair: list[RunDir]) -> None:
    board = make_board(pair)
    frame = leaderboard_frame(board)
    header = next(csv.reader(io.StringIO(leaderboard_csv(board))))
    assert list(frame.columns) == [*header, *SHOWN_ONLY]
    assert len(frame) == len(board.rows) + len(board.published)
    measured = frame[frame["kind"] == "measured"]
    assert list(measured["overall"]) == [row.overall for row in board.rows]
    assert list(measured["best"]) == [row.best for row in board.rows]
    for row, figure in zip(board.rows, figures(measured, "l1_entity"), strict=True):
        entity = row.l1["entity"]
        assert (figure.score, figure.interval) == (entity.score, entity.interval)
        assert (figure.number, figure.items) == (entity.number, entity.items)


def test_a_category_called_as_a_column_stops_nothing(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run")
    path = run.scores("fake", "corrected-v1")
    file = json.loads(path.read_text())
    file["l1"]["entity_lo"] = file["l1"]["entity"]
    path.write_text(json.dumps(file))
    assert all(path.stat().st_size for path in build_report([run], tmp_path / "out"))


def test_csv_has_published_rows_without_rank_judge_or_rule(table: list[dict[str, str]]) -> None:
    published = [row for row in table if row["kind"] == "published"]
    assert len(published) == len(read_published()) > 100
    assert table[-len(published) :] == published
    for row in published:
        assert row["published_source"]
        empty = ("rank", "rank_best", "rank_worst", "run", "judge", "rule", "overall_lo")
        assert not any(row[name] for name in empty)
    dalle = next(row for row in published if row["model"] == "DALL-E 3")
    assert (dalle["overall"], dalle["l1_global"]) == ("83.50", "90.97")
    assert dalle["published_address"] == "https://arxiv.org/abs/2403.05135v1"
    unknown = {row["published_source"] for row in published if not row["published_address"]}
    assert unknown == {score.source for score in read_published() if score.is_search}


def test_published_scores_are_the_facts_with_their_sources() -> None:
    scores = read_published()
    assert all(score.source for score in scores)
    ella = next(score for score in scores if score.model == "ELLA SD1.5")
    assert (ella.average, ella.l1["entity"]) == ("74.91", "84.61")
    assert ella.source == "arXiv 2403.05135v1 Table 4"
    addresses = [score.address for score in scores if score.address]
    assert addresses
    assert len(addresses) == len(scores)
    assert all(address.startswith("https://") for address in addresses)


@pytest.mark.parametrize("row", ["A,1,,,,,,,", "A,many,,,,,,source,", "A,1,-3,,,,,source,"])
def test_a_published_row_without_source_or_figure_is_refused(tmp_path: Path, row: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(f"model,average,global,entity,attribute,relation,other,source,note\n{row}\n")
    with pytest.raises(DataError, match="row 2"):
        read_published(path)


def test_markdown_holds_the_figures(pair: list[RunDir]) -> None:
    text = leaderboard_markdown(make_board(pair))
    for run in pair:
        file = json.loads(run.scores("fake", "corrected-v1").read_text())
        low, high = file["interval"]
        plain = text.replace("**", "")
        assert f"{file['overall']:.2f} [{low:.1f}, {high:.1f}]" in plain
        assert all(f"{entry['score']:.2f}" in text for entry in file["l1"].values())
    assert "**bad: untrained: scores mean nothing**" in text
    assert "## Published scores (quoted, not measured here, not ranked)" in text
    assert "*DALL-E 3*" in text


def test_markdown_tables_keep_their_columns(pair: list[RunDir]) -> None:
    text = leaderboard_markdown(make_board(pair))
    for block in text.split("\n\n"):
        if block.startswith("|"):
            widths = {line.replace(r"\|", "").count("|") for line in block.strip().split("\n")}
            assert len(widths) == 1


def test_markdown_flags_what_is_incomplete(dpg: RunMaker) -> None:
    runs = [dpg.make("whole"), dpg.make("part", unanswered=["COCOval1"])]
    text = leaderboard_markdown(make_board(runs))
    assert "**incomplete** 96.7% (29 of 30)" in text
    assert "not ranked: 1 of 30 items lack answers" in text


def test_published_scores_are_left_out_of_other_benchmarks_markdown(tmp_path: Path) -> None:
    text = leaderboard_markdown(make_board([maker(tmp_path, name="shapes").make("run")]))
    assert "nothing above can be compared with them" in text
    assert "DALL-E 3" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b\nc", r"a\|b c"),
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("[x](y) `z` *w* #1", r"\[x\](y) \`z\` \*w\* \#1"),
        ("1. first", r"1\. first"),
        ("- item", r"\- item"),
        ("x" * 400, "x" * 299 + "…"),
    ],
)
def test_markdown_cells_show_and_do_nothing(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_latex_is_a_booktabs_table_with_the_surely_best_in_bold(pair: list[RunDir]) -> None:
    board = make_board(pair)
    text = leaderboard_latex(board)
    good = json.loads(pair[0].scores("fake", "corrected-v1").read_text())
    low, high = good["interval"]
    assert text.count(r"\begin{table}") == 2
    assert text.count(r"\begin{table*}") == 4
    assert text.count(r"\bottomrule") == 6
    assert rf"\textbf{{{good['overall']:.2f}}}" in text
    assert rf"{{\scriptsize [{low:.1f}, {high:.1f}]}}" in text
    best = [name for row in board.rows for name in row.best]
    assert {OVERALL, "entity", "attribute"} <= {*best}
    assert text.count(r"\textbf") == 2 * len(best)
    assert f"**{good['overall']:.2f}** [{low:.1f}" in leaderboard_markdown(board)


def test_nothing_is_bold_where_two_cannot_be_told_apart(dpg: RunMaker) -> None:
    board = make_board([dpg.make("one", seed=1), dpg.make("other", seed=2)])
    assert not any(row.best for row in board.rows)
    assert r"\textbf" not in leaderboard_latex(board)


def test_latex_specials_are_escaped(dpg: RunMaker) -> None:
    run = dpg.make("run", model=r"100%_a & b\input{x}$y$")
    text = leaderboard_latex(make_board([run]))
    assert r"100\%\_a \& b\textbackslash{}input\{x\}\$y\$" in text


def test_csv_survives_any_name(dpg: RunMaker, tmp_path: Path) -> None:
    name = 'a,"b"\n<script>\u202eשלום 🎨' + "x" * 10_000
    paths = build_report([dpg.make("run", model=name)], tmp_path / "out")
    with paths[1].open(newline="", encoding="utf-8") as file:
        assert next(csv.DictReader(file))["model"] == name
