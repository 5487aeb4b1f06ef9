"""Answers in other case, with spaces, as true and false, or missing: never a silent no."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dpgbench
from dpgbench import Answer
from dpgbench.domain.answer_text import is_missing, read_yes_no
from dpgbench.domain.rules import RULES
from dpgbench.domain.score import take_census_of_answers
from dpgbench.errors import DataError
from dpgbench.store.benchmarks import load_benchmark
from tests.helpers import Run, answers_csv, row, write_csv

EXACT = [name for name, rule in RULES.items() if rule.answers == "exact"]
PLAIN = ["yes", "yes", "no", "yes"]  # a1: 1, 2; b1: 1, 2 (2 needs 1)
FORMS = {
    "case": {"yes": "Yes", "no": "No"},
    "upper": {"yes": "YES", "no": "NO"},
    "spaces": {"yes": " yes ", "no": " no"},
    "marks": {"yes": '"Yes."', "no": "no!"},
    "truth": {"yes": "True", "no": "False"},
    "digits": {"yes": "1", "no": "0"},
    "pandas": {"yes": "1.0", "no": "0.0"},
}


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    rows = [row("a1", 1), row("a1", 2), row("b1", 1), row("b1", 2, "1")]
    return write_csv(tmp_path / "b.csv", rows)


def write_answers(path: Path, texts: list[str]) -> Path:
    places = [("a1", 0, 1), ("a1", 0, 2), ("b1", 0, 1), ("b1", 0, 2)]
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    return answers_csv(path, [(*p, t) for p, t in zip(places, quoted, strict=True)])


def results(out: str) -> dict[str, dict[str, object]]:
    return {result["rule"]: result for result in json.loads(out)["results"]}


@pytest.mark.parametrize("form", FORMS)
def test_a_rule_that_reads_gives_the_plain_score_and_the_others_warn(
    run: Run, tmp_path: Path, bench: Path, form: str
) -> None:
    texts = [FORMS[form][text] for text in PLAIN]
    answers = write_answers(tmp_path / "a.csv", texts)
    words = ["score", "--bench", bench, "--answers", answers, "--json"]
    ended = run(*words, "--rule", "corrected-v1", "--rule", "dsg", "--out", tmp_path / "r")
    by_rule = results(ended.out)
    assert by_rule["corrected-v1"]["overall"] == 50.0
    assert by_rule["dsg"]["overall"] == 0.0
    assert by_rule["dsg"]["warnings"]["answers_neither_yes_nor_no"] == 4
    assert by_rule["dsg"]["answers"]["example"] == texts[0]
    assert "4 of 4 answers are neither 'yes' nor 'no'" in ended.err
    assert "no under dsg" in ended.err
    assert "--read-answers" in ended.err


def test_the_warning_tells_rules_that_read_from_those_that_take_them_for_no(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    answers = write_answers(tmp_path / "a.csv", ["Yes", "maybe", "Yes", "perhaps"])
    words = ["score", "--bench", bench, "--answers", answers]
    ended = run(*words, "--rule", "corrected-v1", "--rule", "dsg", "--out", tmp_path / "r")
    (warning,) = (line for line in ended.err.splitlines() if "neither 'yes' nor 'no'" in line)
    assert "; no under dsg; read where that can be done under corrected-v1; " in warning


@pytest.mark.parametrize("form", FORMS)
def test_read_answers_reads_for_all_rules_and_says_so(
    run: Run, tmp_path: Path, bench: Path, form: str
) -> None:
    answers = write_answers(tmp_path / "a.csv", [FORMS[form][text] for text in PLAIN])
    plain = write_answers(tmp_path / "p.csv", PLAIN)
    rules = [word for name in RULES for word in ("--rule", name)]
    words = ["score", "--bench", bench, *rules, "--json", "--answers"]
    read = results(run(*words, answers, "--read-answers", "--out", tmp_path / "r").out)
    expected = results(run(*words, plain, "--out", tmp_path / "q").out)
    for name in RULES:
        assert read[name]["overall"] == expected[name]["overall"]
        assert read[name]["l2"] == expected[name]["l2"]
        assert read[name]["answers"]["read"] == 4
        assert "4 answers were read as yes or no by --read-answers" in read[name]["notes"]
        assert "answers_read" not in expected[name]["warnings"]
    raw = (tmp_path / "r/answers/replay.jsonl").read_text()
    assert json.dumps(FORMS[form]["yes"]) in raw  # what was said stays as it was


@pytest.mark.parametrize("text", ["", "  ", "nan", "NaN", "None", "NULL", "<NA>", "N/A"])
@pytest.mark.parametrize("rule", RULES)
def test_a_missing_answer_is_incomplete_under_every_rule(
    run: Run, tmp_path: Path, bench: Path, text: str, rule: str
) -> None:
    answers = write_answers(tmp_path / "a.csv", [*PLAIN[:3], text])
    ended = run("score", "--bench", bench, "--answers", answers, "--rule", rule, "--json")
    assert ended.code == 6
    result = results(ended.out)[rule]
    assert result["failed_items"] == ["b1"]
    assert result["unanswered_items"] == ["b1"]
    assert result["items_scored"] == 1
    assert result["overall"] == 100.0


def test_real_answers_give_no_warning(run: Run, shared: Path) -> None:
    data = shared / "data" / "dsg1k"
    words = ["score", "--bench", data / "dsg-1k-anns.csv", "--answers", data / "mplug_dsg.csv"]
    ended = run(*words, "--where", "t2i_model=sd2dot1", "--rule", "dsg", "--partial", "--json")
    (result,) = json.loads(ended.out)["results"]
    assert "answers_neither_yes_nor_no" not in result["warnings"]
    assert result["answers"]["neither"] > 0
    assert "neither" not in ended.err


def test_few_other_texts_are_a_vqa_models_own_many_are_not() -> None:
    def census(*texts: str):
        return take_census_of_answers({("a", 0): dict(enumerate(texts))})

    assert not census(*["yes"] * 997, "no bus", "no train", "no kite").suspicious
    assert census(*["yes"] * 99, "no bus", "maybe").suspicious
    assert not census(*["yes"] * 47, "no bus").suspicious
    assert census("yes", "no", "maybe").suspicious
    assert census(*["yes"] * 9999, "Yes").suspicious  # case alone: no VQA model's own
    assert not census().suspicious


@pytest.mark.parametrize("as_mapping", [False, True])
def test_python_reads_as_the_command(bench: Path, as_mapping: bool) -> None:
    loaded = load_benchmark(str(bench))
    texts = iter(["Yes", "Yes", "No", "Yes"])
    as_list = [
        Answer(item, 0, q.qid, next(texts)) for item in loaded.items for q in loaded.items[item]
    ]
    table: dict[tuple[str, int], dict[int, str]] = {}
    for answer in as_list:
        table.setdefault((answer.item_id, 0), {})[answer.qid] = answer.answer
    answers = table if as_mapping else as_list
    assert dpgbench.score_answers(loaded, answers, "corrected-v1").overall == 50.0
    exact = dpgbench.score_answers(loaded, answers, "dsg")
    assert exact.overall == 0.0
    assert exact.warnings["answers_neither_yes_nor_no"] == 4
    read = dpgbench.score_answers(loaded, answers, "dsg", read_answers=True)
    assert read.overall == 50.0
    assert read.num_read == 4


def test_python_leaves_missing_answers_out(bench: Path) -> None:
    loaded = load_benchmark(str(bench))
    table = {("a1", 0): {1: "yes", 2: "yes"}, ("b1", 0): {1: "yes", 2: ""}}
    for rule in RULES:
        result = dpgbench.score_answers(loaded, table, rule)
        assert result.unanswered == ("b1",)
        assert not result.complete


@pytest.mark.parametrize("nothing", [None, float("nan"), "", " ", "nan", "<NA>"])
@pytest.mark.parametrize("as_mapping", [False, True])
def test_what_pandas_has_for_nothing_is_missing_in_python(
    bench: Path, nothing: Any, as_mapping: bool
) -> None:
    loaded = load_benchmark(str(bench))
    table = {("a1", 0): {1: "yes", 2: "yes"}, ("b1", 0): {1: "yes", 2: nothing}}
    as_list = [
        Answer(i, t, qid, text) for (i, t), texts in table.items() for qid, text in texts.items()
    ]
    for rule in RULES:
        for read in (False, True):
            answers = table if as_mapping else iter(as_list)
            result = dpgbench.score_answers(loaded, answers, rule, read_answers=read)
            assert result.unanswered == ("b1",)
            assert result.overall == 100.0


def test_a_tile_of_missing_answers_is_still_a_tile(bench: Path) -> None:
    loaded = load_benchmark(str(bench))
    table: Any = {(item, 0): {1: "yes", 2: "yes"} for item in ("a1", "b1")}
    table |= {(item, 1): {1: None, 2: None} for item in ("a1", "b1")}
    assert dpgbench.score_answers(loaded, table).unanswered == ("a1", "b1")


@pytest.mark.parametrize("answer", [True, 1, 1.0, b"yes"])
def test_an_answer_in_python_that_is_no_text_is_refused_by_name(bench: Path, answer: Any) -> None:
    loaded = load_benchmark(str(bench))
    with pytest.raises(DataError, match=r"question 2 of item b1, tile 0, is of type .*'yes' or"):
        dpgbench.score_answers(loaded, {("b1", 0): {1: "yes", 2: answer}})


@pytest.mark.parametrize("nothing", ["null", '""', '"nan"'])
def test_json_lines_without_an_answer_are_missing(
    run: Run, tmp_path: Path, bench: Path, nothing: str
) -> None:
    places = [("a1", 1), ("a1", 2), ("b1", 1), ("b1", 2)]
    lines = [f'{{"item_id": "{i}", "tile": 0, "qid": {q}, "answer": "yes"}}' for i, q in places]
    (tmp_path / "one.jsonl").write_text("\n".join(lines) + "\n")
    lines[-1] = lines[-1].replace('"yes"', nothing)
    (tmp_path / "other.jsonl").write_text("\n".join(lines) + "\n")
    words = ["judges", "compare", tmp_path / "one.jsonl", tmp_path / "other.jsonl"]
    comparison = json.loads(run(*words, "--bench", bench, "--json").out)
    assert [judge["answers"] for judge in comparison["judges"]] == [4, 3]


def test_the_json_lines_of_a_run_are_recorded_answers_too(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    answers = write_answers(tmp_path / "a.csv", ["Yes", "yes", "no", "yes"])
    words = ["score", "--bench", bench, "--rule", "corrected-v1", "--rule", "dsg", "--json"]
    one = results(run(*words, "--answers", answers, "--out", tmp_path / "one").out)
    lines = tmp_path / "one/answers/replay.jsonl"
    other = results(run(*words, "--answers", lines, "--out", tmp_path / "other").out)
    for rule in ("corrected-v1", "dsg"):
        assert one[rule]["overall"] is not None
        assert other[rule]["overall"] == one[rule]["overall"]
        assert other[rule]["warnings"] == one[rule]["warnings"]
    far = tmp_path / "far.jsonl"
    far.write_text(lines.read_text().replace('"tile":0', '"tile":11').replace(": 0,", ": 11,"))
    assert run(*words, "--answers", far).code == 3
    assert run(*words, "--answers", tmp_path / "none.jsonl").code == 3
    for torn in (lines.read_text().rstrip("\n"), ""):
        (tmp_path / "torn.jsonl").write_text(torn)
        assert run(*words, "--answers", tmp_path / "torn.jsonl").code == 3
    assert run(*words, "--answers", lines, "--where", "a=b").code == 2


def test_judges_compare_counts_what_is_neither(run: Run, tmp_path: Path, bench: Path) -> None:
    plain = write_answers(tmp_path / "plain.csv", PLAIN)
    capital = write_answers(tmp_path / "capital.csv", ["Yes", "Yes", "No", "Yes"])
    odd = write_answers(tmp_path / "odd.csv", ["yes", "maybe", "no", ""])
    lines = [
        json.dumps({"item_id": item, "tile": 0, "qid": qid, "answer": "Yes"})
        for item, qid in [("a1", 1), ("a1", 2), ("b1", 1), ("b1", 2)]
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    words = ["judges", "compare", plain, capital, odd, tmp_path / "lines.jsonl", "--bench", bench]
    for rule, invalid in (("corrected-v1", [0, 0, 1, 0]), ("dsg", [0, 4, 1, 4])):
        comparison = json.loads(run(*words, "--rule", rule, "--json").out)
        assert [judge["invalid"] for judge in comparison["judges"]] == invalid
        assert [judge["answers"] for judge in comparison["judges"]] == [4, 4, 3, 4]


@given(st.text())
def test_reading_never_depends_on_case_or_spaces(text: str) -> None:
    answer = read_yes_no(text)
    assert read_yes_no(f"  {text}\n") == answer
    if answer is not None:
        assert not is_missing(text)
    if text.isascii():
        assert read_yes_no(text.swapcase()) == answer


@pytest.mark.parametrize("text", ["no bus", "yes and no", "not yes", "maybe", "10", "y", "是"])
def test_what_is_neither_stays_neither(text: str) -> None:
    assert read_yes_no(text) is None
