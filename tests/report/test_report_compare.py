"""Two runs side by side: paired differences, what is not alike, the command."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from dpgbench.analysis.board import make_board
from dpgbench.analysis.comparison import RunComparison, compare_runs
from dpgbench.cli import compare as command
from dpgbench.cli.compare import comparison_sentences, comparison_table
from dpgbench.errors import DataError, UsageError
from dpgbench.store.run.directory import RunDir
from tests.report.report_runs import RunMaker


def corrected(results: list[RunComparison]) -> RunComparison:
    return next(r for r in results if r.first.rule == "corrected-v1")


def test_differences_are_those_of_the_score_files(pair: list[RunDir]) -> None:
    compared = compare_runs(*pair)
    assert [pair_of_results.first.rule for pair_of_results in compared] == [
        "ella-reference",
        "corrected-v1",
    ]
    for pair_of_results in compared:
        files = [
            json.loads(run.scores("fake", pair_of_results.first.rule).read_text()) for run in pair
        ]
        comparison = pair_of_results.comparison
        assert comparison.comparable
        assert comparison.overall is not None
        assert comparison.scores == pytest.approx([file["overall"] for file in files])
        assert comparison.overall.difference == pytest.approx(
            files[0]["overall"] - files[1]["overall"]
        )
        assert comparison.overall.p_value < 0.01
        assert sum(comparison.outcomes) == comparison.items == files[0]["items_scored"]
        for level, categories in (("l1", comparison.l1), ("l2", comparison.l2)):
            assert [category.name for category in categories] == sorted(files[0][level])
            for category in categories:
                scores = [file[level][category.name]["score"] for file in files]
                assert [category.first, category.second] == pytest.approx(scores)
                assert category.difference.p_holm >= category.difference.p_value


def test_the_order_of_the_runs_turns_the_sign(pair: list[RunDir]) -> None:
    there, back = corrected(compare_runs(*pair)), corrected(compare_runs(*reversed(pair)))
    one, other = there.comparison.overall, back.comparison.overall
    assert one is not None
    assert other is not None
    assert one.difference == -other.difference > 0
    assert one.interval == (-other.interval[1], -other.interval[0])
    assert there.comparison.outcomes == tuple(reversed(back.comparison.outcomes))
    assert [c.first for c in there.comparison.l2] == [c.second for c in back.comparison.l2]


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"judge_record": {"weights": {"judge": {"sha256": "c" * 64}}}}, "judge's weights"),
        ({"benchmark": {"name": "dpg", "prompts_sha256": "0" * 64}}, "benchmark"),
    ],
)
def test_what_decides_leaves_nothing_to_compute(dpg: RunMaker, other: dict, what: str) -> None:
    compared = corrected(compare_runs(dpg.make("one"), dpg.make("two", **other)))
    assert compared.comparison.overall is None
    assert compared.comparison.outcomes == (0, 0, 0)
    assert (compared.comparison.items, compared.comparison.scores) == (0, None)
    assert any(reason.decides and what in reason.label for reason in compared.comparison.reasons)
    assert "not comparable, so no difference is computed:" in list(comparison_sentences(compared))
    assert len(comparison_table(compared)) == 1


def settings(**changed: object) -> dict:
    usual = {"seed_rule": "per-tile", "base_seed": 0, "width_px": 8, "height_px": 8}
    return {"identity": {"generation": {**usual, **changed}}}


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (settings(seed_rule="per-item"), "seed rule"),
        (settings(base_seed=7), "base seed"),
        (settings(width_px=16), "size of an image"),
        ({"items": ["stanford_0", "COCOval1", "COCOval3"]}, "items"),
        ({"unanswered": ["COCOval1"]}, "items with a score"),
    ],
)
def test_what_is_not_alike_is_told_beside_the_figures(
    dpg: RunMaker, other: dict, what: str
) -> None:
    compared = corrected(compare_runs(dpg.make("one"), dpg.make("two", **other)))
    assert what in [reason.label for reason in compared.comparison.reasons]
    assert not compared.comparison.comparable
    assert compared.comparison.overall is not None
    assert compared.comparison.items == {"items": 3, "items with a score": 29}.get(what, 30)
    assert "not strictly comparable:" in list(comparison_sentences(compared))


def test_runs_without_a_rule_or_judge_in_common_are_an_error(dpg: RunMaker) -> None:
    runs = dpg.make("one"), dpg.make("two", judge="another")
    with pytest.raises(DataError, match="no judge and rule in common"):
        compare_runs(*runs)
    with pytest.raises(UsageError, match="same run"):
        compare_runs(runs[0], runs[0])


def test_answers_of_another_day_give_no_categories(dpg: RunMaker) -> None:
    one, two = dpg.make("one"), dpg.make("two", seed=4)
    text = one.answers("fake").read_text()
    one.answers("fake").write_text(text.replace('"yes"', '"no"', 40))
    comparison = corrected(compare_runs(one, two)).comparison
    assert comparison.overall is not None
    assert comparison.l1 == ()


def test_the_report_compares_each_two_runs_once(dpg: RunMaker) -> None:
    comparisons = make_board([dpg.make(f"run{n}", seed=n) for n in range(4)]).comparisons
    assert len(comparisons) == 2 * 6
    assert all(c.overall is not None and c.overall.difference >= 0 for c in comparisons)


@pytest.fixture
def cli() -> Callable[..., object]:
    app = typer.Typer()
    command.register(app)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_prints_a_table_or_json(pair: list[RunDir], cli: Callable) -> None:
    outcome = cli(pair[0].path, pair[1].path, "--rule", "corrected-v1")
    assert outcome.exit_code == 0, outcome.output
    assert "judge fake, rule corrected-v1" in outcome.output
    assert "so few items" in outcome.output
    assert "note: bad: untrained: scores mean nothing" in outcome.output
    assert "overall" in outcome.output
    outcome = cli(pair[0].path, pair[1].path, "--json")
    results = json.loads(outcome.output)["results"]
    assert [result["rule"] for result in results] == ["ella-reference", "corrected-v1"]
    assert results[1]["comparable"] is True
    assert results[1]["l1"]["entity"]["p_holm"] <= 1
    assert results[1]["wins"] > results[1]["losses"]


def test_the_command_fails_where_nothing_can_be_compared(dpg: RunMaker, cli: Callable) -> None:
    weights = {"weights": {"judge": {"sha256": "c" * 64}}}
    one, two = dpg.make("one"), dpg.make("two", judge_record=weights)
    outcome = cli(one.path, two.path, "--json")
    assert isinstance(outcome.exception, DataError)
    assert "judge's weights and decoding" in str(outcome.exception)
    assert json.loads(outcome.output)["results"][0]["comparable"] is False
