"""Columns beside the scores, unknown where nobody said; what a table says of equal scores."""

from __future__ import annotations

from pathlib import Path

import dpgbench
from dpgbench.analysis.board import Board, make_board
from dpgbench.report.page.columns import columns, parameters_text
from dpgbench.report.page.views import group_view
from dpgbench.report.text import extremes
from dpgbench.store.run.manifest import read_manifest
from tests.report.report_runs import RunMaker


def texts(board: Board) -> dict[str, list[str]]:
    (group,) = board.groups
    made = columns(group.rows, board.records, board.seconds)
    return {column.name: [cell.text for cell in column.cells] for column in made}


def test_what_is_recorded_and_what_the_table_of_models_has(dpg: RunMaker) -> None:
    dpg.rules = ("corrected-v1",)
    runs = [
        dpg.make(
            "recorded",
            model="nobody/knows",
            skill=0.95,
            generation={"parameters": {"unet": 860_000_000, "vae": 84_000_000}, "licence": "MIT"},
        ),
        dpg.make("tabled", model="sdxl", skill=0.6, seed=1),
        dpg.make("unknown", model="mine", skill=0.2, seed=2),
    ]
    shown = texts(make_board(runs, published=False))
    assert shown["parameters"] == ["944 M", "unknown", "unknown"]
    assert shown["licence"] == ["MIT", "openrail++", "unknown"]
    assert shown["seconds"] == ["unknown"] * 3


def test_numbers_of_parameters_are_short() -> None:
    assert [parameters_text(n) for n in (12_310_000_000, 860_000_000, 1_234, 7)] == [
        "12.31 B",
        "860 M",
        "1 k",
        "7",
    ]


def test_generate_writes_how_many_parameters_each_network_has(tmp_path: Path) -> None:
    items = list(dpgbench.load_benchmark("shapes").prompts)[:1]
    for model in ("tiny-sd15", "tiny-ella-sd15"):
        done = dpgbench.generate(
            model, "shapes", items=items, num_images=1, steps=1, out=tmp_path / model
        )
        parameters = read_manifest(done.run.manifest).generation["parameters"]
        networks = {"unet", "vae"}
        networks |= {"text_encoder"} if model == "tiny-sd15" else {"connector", "language_model"}
        assert set(parameters) == networks
        assert all(number > 1000 for number in parameters.values())


def test_nobody_leads_with_the_same_score(dpg: RunMaker) -> None:
    dpg.rules = ("corrected-v1",)
    board = make_board([dpg.make("one"), dpg.make("two")], published=False)
    (group,) = board.groups
    view = group_view(board, 0, "dpg")
    assert view.lead is not None
    assert view.lead.tied == f"{group.rows[0].overall:.2f}"


def test_no_category_is_weakest_of_equal_ones(dpg: RunMaker) -> None:
    dpg.rules = ("corrected-v1",)
    board = make_board([dpg.make("one", skill=1.0)], published=False)
    (line,) = group_view(board, 0, "dpg").lines
    assert not any(cell.weakest for cell in line.l1)
    assert extremes(line.row) == ""
