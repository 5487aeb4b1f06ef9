"""What the page's scripts read: every figure is Python's, and it is that of the score files."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.analysis.board import make_board
from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.report import build_report
from dpgbench.report.page.packing import changes, packed_answers
from dpgbench.report.text import apart_text
from dpgbench.store.run.directory import RunDir
from tests.report.report_page import Page
from tests.report.report_runs import RunMaker

RULES = ("ella-reference", "corrected-v1")
NODE = shutil.which("node")
UNPACKED = Path(__file__).parent / "scripts" / "unpacked.mjs"


needs_node = pytest.mark.skipif(NODE is None, reason="no Node on this machine")


@pytest.fixture(scope="module")
def data(shared: RunMaker, pair: list[RunDir], tmp_path_factory: pytest.TempPathFactory) -> Any:
    runs = [*pair, shared.make("lacking", seed=4, unanswered=["COCOval1"], answer="perhaps")]
    return page_data(build_report(runs, tmp_path_factory.mktemp("data"))[0])


def page_data(path: Path) -> Any:
    """Return the data of a page as its scripts unpack it."""
    page = Page(path)
    (text,) = [text for text in page.texts["script"] if text.startswith("{")]
    path.with_suffix(".json").write_text(text, encoding="utf-8")
    assert NODE is not None
    words = [NODE, UNPACKED, path.with_suffix(".json")]
    return json.loads(subprocess.run(words, capture_output=True, check=True).stdout)


def recorded(folder: Path, run: str, rule: str) -> dict[str, float | None]:
    with RunDir(folder / run).item_scores("fake", rule).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {row["item_id"]: float(row["score"]) if row["score"] else None for row in rows}


@needs_node
@pytest.mark.parametrize("rule", RULES)
def test_scores_of_items_are_those_of_the_tables(data: Any, shared: RunMaker, rule: str) -> None:
    (items,) = data["sets"]
    for run in items["runs"]:
        table = recorded(shared.folder, run["run"], rule)
        for item, score in zip(items["ids"], run["scores"]["fake"][rule], strict=True):
            assert score == pytest.approx(table[item], abs=1e-9)


@needs_node
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


@needs_node
def test_answers_and_verdicts_are_those_of_the_board(pair: list[RunDir], data: Any) -> None:
    """What scripts unpack is what was packed, letter by letter."""
    (items,) = make_board(pair).item_sets
    (there,) = data["sets"]
    for ours, theirs in zip(items.runs, there["runs"], strict=False):
        (judge,) = ours.judges
        answers = theirs["judges"]["fake"]["answers"]
        assert answers == list(judge.letters)
        first = None
        for rule, verdicts in judge.verdicts.items():
            states = theirs["judges"]["fake"]["rules"][rule]["states"]
            under_first = first or [""] * len(answers)
            read = [
                answer if state == 0 else other if state == 1 else state
                for answer, state, other in zip(answers, states, under_first, strict=True)
            ]
            assert read == list(verdicts.letters)
            first = first or read


@given(st.text("yn?.", max_size=60), st.randoms(use_true_random=False))
def test_what_a_rule_changes_is_short_and_loses_nothing(answers: str, rng: random.Random) -> None:
    letters = "".join(rng.choice(f"{answer * 6}ynz?.-") for answer in answers)
    text = changes(letters, answers)
    assert len(text) <= len(letters)
    if text != letters:
        read = list(answers)
        for letter, place in re.findall(r"(\D)(\d+)", text):
            read[int(place)] = letter
        assert "".join(read) == letters
    assert len(packed_answers(answers)) == -(-len(answers) // 3)


@needs_node
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
