"""What the page's scripts read: every figure is Python's, and it is that of the score files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.report import build_report
from dpgbench.report.text import apart_text
from dpgbench.store.run.directory import RunDir
from tests.report.report_page import Page
from tests.report.report_runs import RunMaker

RULES = ("ella-reference", "corrected-v1")


@pytest.fixture(scope="module")
def data(shared: RunMaker, pair: list[RunDir], tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = [*pair, shared.make("lacking", seed=4, unanswered=["COCOval1"], answer="perhaps")]
    return page_data(build_report(runs, tmp_path_factory.mktemp("data"))[0])


def page_data(path: Path) -> Any:
    page = Page(path)
    (text,) = [text for text in page.texts["script"] if text.startswith("{")]
    return json.loads(text)


def recorded(folder: Path, run: str, rule: str) -> dict[str, float | None]:
    with RunDir(folder / run).item_scores("fake", rule).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["item_id"]: float(row["score"]) if row["score"] else None for row in rows}


@pytest.mark.parametrize("rule", RULES)
def test_scores_of_items_are_those_of_the_tables(data: Any, shared: RunMaker, rule: str) -> None:
    (items,) = data["sets"]
    for run in items["runs"]:
        table = recorded(shared.folder, run["run"], rule)
        for item, score in zip(items["ids"], run["scores"]["fake"][rule], strict=True):
            assert score == pytest.approx(table[item], abs=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_what_became_of_tiles_is_what_their_letters_say(data: Any, rule: str) -> None:
    (items,) = data["sets"]
    for run in items["runs"]:
        judge = run["judges"]["fake"]
        verdicts = judge["rules"][rule]
        for item, tiles in enumerate(verdicts["tiles"]):
            state = verdicts["states"][item]
            if state == 1:
                state = next(iter(judge["rules"].values()))["states"][item]
            letters = state or judge["answers"][item]
            size = len(letters) // 4
            assert len(tiles) == (4 if letters else 0)
            shares = []
            for tile, place in enumerate(tiles):
                *counts, asked, score = items["tallies"][place]
                part = letters[tile * size : (tile + 1) * size]
                assert counts == [part.count(kind) for kind in "ynz?"]
                assert asked == size - part.count("-")
                lost = "." in part or str(item) in verdicts["failures"]
                assert score == (None if lost else pytest.approx(100 * part.count("y") / asked))
                shares.append(score)
            score = run["scores"]["fake"][rule][item]
            if score is not None:
                assert score == pytest.approx(sum(shares) / 4)
    assert len(set(map(tuple, items["tallies"]))) == len(items["tallies"])


def test_gaps_are_differences_of_the_scores_beside_them(data: Any) -> None:
    (items,) = data["sets"]
    runs = {run["index"]: run for run in items["runs"]}
    assert data["comparisons"]
    for comparison in data["comparisons"]:
        rows = [data["rows"][place] for place in comparison["rows"]]
        scores = [runs[row["run"]]["scores"]["fake"][row["rule"]] for row in rows]
        gaps = [None if place is None else data["gaps"][place] for place in comparison["gaps"]]
        for first, second, gap in zip(*scores, gaps, strict=True):
            if first is None or second is None:
                assert gap is None
            else:
                assert gap == pytest.approx(first - second, abs=1e-6)


def test_whether_results_are_told_apart_is_in_the_data(data: Any) -> None:
    for comparison in data["comparisons"]:
        *_, low, high, p_value, holm, items, apart = comparison["overall"]
        assert holm is None
        assert items == comparison["items"]
        assert apart == ("yes" if low > 0 or high < 0 else "no")
        for category in (*comparison["l1"], *comparison["l2"]):
            *_, low, high, p_value, holm, items, apart = category
            assert holm >= p_value
            assert apart == (
                "yes" if holm < 0.05 else "no" if low <= 0 <= high else "not after Holm"
            )


def test_too_few_items_tell_nothing_apart() -> None:
    assert apart_text(PairedDifference(1.0, None, None)) == "too few"
