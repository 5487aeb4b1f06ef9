"""Soft-TIFA against outputs of its authors' program: every item and every question on file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench import Answer, score_answers
from dpgbench.domain.answer_forms import added_probability, answer_forms
from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import DataError
from dpgbench.store.benchmarks import load_benchmark
from tests.helpers import GOLDEN, row, write_csv

CASES: Any = json.loads((GOLDEN / "soft_tifa_cases.json").read_text())


@pytest.fixture
def bench(tmp_path: Path) -> Benchmark:
    rows = [
        row(f"item_{case['line']}", qid)
        for case in CASES["items"]
        for qid in range(1, len(case["p"]) + 1)
    ]
    return load_benchmark(str(write_csv(tmp_path / "b.csv", rows)))


def answers(cases: Any = CASES["items"]) -> list[Answer]:
    return [
        Answer(f"item_{case['line']}", 0, qid, "yes" if p > 0.5 else "no", p_answer=p)
        for case in cases
        for qid, p in enumerate(case["p"], 1)
    ]


def test_every_item(bench: Benchmark) -> None:
    am = score_answers(bench, answers(), "soft-tifa-am")
    gm = score_answers(bench, answers(), "soft-tifa-gm")
    assert am.overall == pytest.approx(CASES["total_am"], abs=1e-9)
    assert gm.overall == pytest.approx(CASES["total_gm"], abs=1e-9)
    for case in CASES["items"]:
        item = f"item_{case['line']}"
        assert am.item_figures[item].score == pytest.approx(100 * case["am"], abs=1e-9)
        assert gm.item_figures[item].score == pytest.approx(100 * case["gm"], abs=1e-9)
    assert not am.notes
    every = [p for case in CASES["items"] for p in case["p"]]
    zeros = f"{every.count(0)} of {len(every)} probabilities are 0, each of which makes its image 0"
    assert gm.notes == (zeros,)


@pytest.mark.parametrize("case", CASES["forms"], ids=lambda case: case["question"])
def test_every_form(case: Any) -> None:
    forms = answer_forms(case["question"], case["answer"])
    assert sorted(forms) == sorted(case["forms"])
    p = added_probability(forms, case["p_of_first_token"])
    assert p == pytest.approx(case["p"], abs=5e-7)  # theirs is a sum of float32


def test_digits_are_the_same_number() -> None:
    assert set(answer_forms("How many?", "3")) == set(answer_forms("How many?", "three"))


def test_by_skill_and_by_atoms_of_the_real_file(shared: Path, tmp_path: Path) -> None:
    lines = (shared / "data/geneval2/geneval2_data.jsonl").read_text().splitlines()
    rows = []
    for case in CASES["items"]:
        record = json.loads(lines[case["line"]])
        item = f"{'x' * record['atom_count']}_{case['line']}"
        asked = zip(record["vqa_list"], record["skills"], strict=True)
        for qid, ((question, answer), skill) in enumerate(asked, 1):
            cells = {"question_natural_language": question, "tuple": f"{skill} ({question})"}
            rows.append({**row(item, qid, **cells), "answer": answer})
    path = tmp_path / "b.csv"
    columns = list(rows[0])
    text = [",".join(columns)]
    text += [",".join(f'"{one[column]}"' for column in columns) for one in rows]
    path.write_text("\n".join(text) + "\n")
    benchmark = load_benchmark(str(path))
    given = [
        Answer(item, 0, qid, "yes", p_answer=p)
        for item, case in zip(benchmark.items, CASES["items"], strict=True)
        for qid, p in enumerate(case["p"], 1)
    ]
    am = score_answers(benchmark, given, "soft-tifa-am")
    by_skill = {name: category.score for name, category in am.l1.items()}
    assert by_skill == pytest.approx(CASES["per_skill_am"], abs=1e-9)
    gm = score_answers(benchmark, given, "soft-tifa-gm")
    by_atoms = {str(len(name)): source.score for name, source in gm.sources.items()}
    assert by_atoms == pytest.approx(CASES["per_atomicity_gm"], abs=1e-9)


def test_missing_is_missing_not_zero(bench: Benchmark) -> None:
    given = answers()
    item = f"item_{CASES['items'][0]['line']}"
    given = [a._replace(p_answer=None) if (a.item_id, a.qid) == (item, 2) else a for a in given]
    for rule in ("soft-tifa-am", "soft-tifa-gm"):
        result = score_answers(bench, given, rule)
        whole = score_answers(bench, answers(CASES["items"][1:]), rule)
        assert result.items_scored == len(CASES["items"]) - 1
        assert result.overall == whole.overall
        assert result.unanswered == (item,)
        assert "question 2 has no probability" in result.failures[item]
    with pytest.raises(DataError, match=r"rule soft-tifa-am .* gives none"):
        score_answers(bench, [a._replace(p_answer=None) for a in given], "soft-tifa-am")


def test_against_no_alone_is_said(bench: Benchmark) -> None:
    given = [a._replace(p_answer=None, p_yes=a.p_answer) for a in answers()]
    result = score_answers(bench, given, "soft-tifa-am")
    assert result.overall == pytest.approx(CASES["total_am"], abs=1e-9)
    number = len(given)
    (note,) = result.notes
    assert note.startswith(f"{number} of {number} probabilities are of yes against no alone")
    few = [given[0], *answers()[1:]]
    (note,) = score_answers(bench, few, "soft-tifa-am").notes
    assert note.startswith(f"1 of {number} probabilities are of yes against no alone")


@pytest.mark.parametrize("p", [1.2, -0.1, float("nan"), float("inf"), "0.5", True])
def test_other_numbers_are_no_probabilities(bench: Benchmark, p: Any) -> None:
    given = [answers()[0]._replace(p_answer=p)]
    with pytest.raises(DataError, match=r"p_answer .* is no number from 0 to 1"):
        score_answers(bench, given, "soft-tifa-am")
