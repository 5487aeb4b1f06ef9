"""Measured scores beside published ones of the same model, sources, and the check of counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpgbench.analysis.board import make_board
from dpgbench.analysis.win_matrix import win_matrix
from dpgbench.domain.statistics.paired import holm
from dpgbench.report.beside_published import BesidePublished, beside_published, count_mark
from dpgbench.report.tables.bibtex import citations
from dpgbench.report.tables.json_table import leaderboard_json
from dpgbench.report.tables.markdown import leaderboard_markdown
from dpgbench.report.tables.model_card import model_cards
from dpgbench.store.published import read_published
from tests.report.report_runs import RunMaker, maker


def of_rule(beside: tuple[BesidePublished, ...], rule: str) -> list[BesidePublished]:
    return [one for one in beside if one.row.rule == rule]


@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("sd15", {"SD v1.5"}),
        ("ella-sd15-fixed", {"ELLA SD1.5"}),
        ("hf:black-forest-labs/FLUX.1-dev", {"FLUX.1-dev"}),
        ("SDXL", {"SDXL"}),
        ("qwen-image", {"Qwen-Image", "Qwen-Image (100 NFE)"}),
        ("Infinity-2B", {"Infinity-2B", "Infinity-2B (reproduction)"}),
        ("my-own-model", set()),
    ],
)
def test_models_are_joined_by_the_table_and_its_aliases(
    dpg: RunMaker, model: str, published: set[str]
) -> None:
    beside = beside_published(make_board([dpg.make("run", model=model)]))
    assert {one.quote.model for one in beside} == published


def test_a_difference_says_what_differs_and_what_is_unknown(dpg: RunMaker) -> None:
    board = make_board([dpg.make("run", model="sd15", judge="mplug")])
    beside = beside_published(board)
    (one,) = of_rule(beside, "ella-reference")
    assert one.quote.average == "63.18"
    assert one.quote.address == "https://arxiv.org/abs/2403.05135v1"
    assert one.difference == pytest.approx((one.row.overall or 0) - 63.18)
    states = {setting.name: setting for setting in one.settings}
    assert (states["judge"].state, states["images an item"].state) == ("same", "same")
    assert states["items"][1:4] == ("30", "1,065", "differs")
    steps = states["steps"]
    assert (steps.here, steps.there, steps.state, steps.makers) == ("4", "", "unknown", "25")
    assert one.categories["entity"].there == "74.23"
    text = leaderboard_markdown(board, beside)
    assert "## Measured beside published" in text
    assert "[arXiv 2403.05135v1 Table 4](https://arxiv.org/abs/2403.05135v1)" in text
    plain = json.loads(leaderboard_json(board, beside))["beside_published"]
    assert plain[0]["difference"] == beside[0].difference
    assert {"name": "items", "here": "30", "there": "1,065", "state": "differs"}.items() <= next(
        s for s in plain[0]["settings"] if s["name"] == "items"
    ).items()


def test_nothing_is_beside_where_the_benchmark_is_another(tmp_path: Path) -> None:
    run = maker(tmp_path, name="shapes").make("run", model="sd15")
    assert beside_published(make_board([run])) == ()


def test_every_source_is_a_link() -> None:
    for score in read_published():
        assert score.address, score.source
        assert score.address.startswith("https://")
    searched = {score.source for score in read_published() if score.is_search}
    assert searched == {"HierDiff review page"}


def test_counts_of_published_categories_are_checked() -> None:
    marks = {score.source: count_mark(score) for score in read_published() if score.l1["other"]}
    mark = marks["https://github.com/JiuhaiChen/BLIP3o/issues/48"]
    assert mark.checked == 5
    assert "other" not in mark.text or mark.impossible
    elsewhere = [score for score in read_published() if not any(score.l1.values())]
    assert count_mark(elsewhere[0]).text == ""


def test_every_pair_is_corrected_over_all_pairs(dpg: RunMaker) -> None:
    runs = [dpg.make(f"run{n}", skill=0.9 - 0.1 * n, seed=n) for n in range(4)]
    board = make_board(runs)
    for group in board.groups:
        matrix = win_matrix(group)
        assert matrix is not None
        assert [row.rank for row in matrix.rows] == [1, 2, 3, 4]
        assert len(matrix.pairs) == 6
        values = [pair.difference.p_value or 0 for pair in matrix.pairs]
        assert [pair.difference.p_holm for pair in matrix.pairs] == holm(values)
        first, back = matrix.pair(0, 3), matrix.pair(3, 0)
        assert first is not None
        assert back is not None
        assert back.difference.difference == -first.difference.difference
        assert back.outcomes.wins == first.outcomes.losses
        assert matrix.pair(1, 1) is None
        assert matrix.num_apart <= 6
    assert len(json.loads(leaderboard_json(board))["win_matrices"]) == 2


def test_one_run_has_no_matrix(dpg: RunMaker) -> None:
    assert win_matrix(make_board([dpg.make("run")]).groups[0]) is None


def test_a_card_pastes_into_a_model_card(dpg: RunMaker) -> None:
    run = dpg.make("run", model="sd15|x", notes=["a note"])
    other = maker(dpg.folder / "other").make("run", model="sd15")
    board = make_board([run, other])
    cards = model_cards(board, beside_published(board))
    assert list(cards) == ["run.md", "run-2.md"]
    text = cards["run.md"]
    assert "| Judge | Rule | Overall | Global | Entity | Attribute | Relation |" in text
    assert "30 of 30 items, 4 images of 8x8 px an item, seeds per-tile from 0" in text
    assert "**a note**" in text
    assert "steps 4" in text
    assert "`dpgbench generate --model run`" in text
    assert "published as SD v1.5 63.18" in cards["run-2.md"]


def test_a_card_says_of_which_score_a_number_of_items_is(dpg: RunMaker) -> None:
    dpg.make("run", judge="fake")
    run = dpg.make("run", judge="other", unanswered=list(dpg.benchmark.items)[:1])
    text = model_cards(make_board([run]))["run.md"]
    assert "- Under corrected-v1 by fake" in text
    assert " by fake: 30 of 30 items, 4 images of" in text
    assert " by other: 29 of 30 items, 4 images of" in text


def test_what_was_used_is_cited(dpg: RunMaker) -> None:
    dsg = RunMaker(dpg.folder, dpg.benchmark, rules=("dsg",))
    text = citations(make_board([dsg.make("run", judge="mplug")]))
    for key in ("hu2024ella", "li2022mplug", "cho2024davidsonian", "dpgbench"):
        assert f"{{{key},\n" in text
    assert text.count("{") == text.count("}")
    assert "li2022mplug" not in citations(make_board([dpg.make("other")]))
