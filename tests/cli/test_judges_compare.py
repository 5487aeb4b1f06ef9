"""`dpgbench judges compare`: runs, files, people."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.analysis.judges.answers import JudgesRequest, read_judged
from dpgbench.analysis.judges.compare import compare_judges
from tests.helpers import Run, answers_csv, row, write_csv

Cells = list[tuple[str, int, int, str]]


def record(path: Path, answers: Cells, p_yes: float | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("item_id", "tile", "qid", "answer")
    lines = [dict(zip(keys, answer, strict=True)) for answer in answers]
    for line in lines:
        if p_yes is not None:
            line["p_yes"] = p_yes if line["answer"] == "yes" else 1 - p_yes
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    kinds = {1: "entity - whole (x)", 2: "attribute - color (x)", 3: "relation - spatial (x, y)"}
    rows = [
        row(f"it{n}", q, "0" if q == 1 else "1", tuple=kinds[q]) for n in range(6) for q in kinds
    ]
    return write_csv(tmp_path / "bench.csv", rows)


def answers(no: set[tuple[int, int]], num_items: int = 6) -> Cells:
    """All yes but for (item, question)."""
    return [
        (f"it{n}", 0, q, "no" if (n, q) in no else "yes")
        for n in range(num_items)
        for q in (1, 2, 3)
    ]


@pytest.fixture
def made(run: Run, tmp_path: Path, bench: Path) -> Path:
    """A run of model `painter` with three judges: replay (all yes), b and c."""
    file = answers_csv(tmp_path / "painter.csv", answers(set()))
    ended = run("score", "--bench", bench, "--answers", file, "--out", "runs/r")
    assert ended.code == 0, ended.err
    record(tmp_path / "runs/r/answers/b.jsonl", answers({(0, 1), (1, 2), (2, 3)}), 0.9)
    record(tmp_path / "runs/r/answers/c.jsonl", answers({(0, 1), (5, 3)}, 6)[:-1], 0.8)
    return tmp_path / "runs/r"


def compare(run: Run, *words: object) -> dict[str, Any]:
    ended = run("judges", "compare", *words, "--json")
    assert ended.code == 0, ended.err
    comparison: dict[str, Any] = json.loads(ended.out)
    return comparison


def test_python_has_the_same_figures_by_name(run: Run, made: Path) -> None:
    judged = read_judged(JudgesRequest(["b", "c", "replay"], [made]))
    typed, plain = compare_judges(judged, "corrected-v1"), compare(run, "b", "c", "replay")
    assert [judge.name for judge in typed.judges] == ["b", "c", "replay"]
    assert typed.judges[0].overall.value == plain["judges"][0]["overall"]
    pair = typed.pairs[0]
    assert pair.agreement.judges == ("b", "c")
    assert pair.agreement.overall.kappa.value == plain["pairs"][0]["kappa"]["value"]
    assert pair.agreement.l1.keys() == plain["pairs"][0]["l1"].keys()
    assert pair.score.difference is not None
    assert pair.score.difference.difference == plain["pairs"][0]["score"]["difference"]
    assert typed.all_judges is not None
    assert typed.all_judges.kappa.value == plain["fleiss"]["kappa"]["value"]
    assert len(typed.disputed) == len(plain["differences"]) > 0
    assert max(question.p_yes_gap for question in typed.disputed) == pytest.approx(0.7)


def test_two_judges_of_the_newest_run(run: Run, made: Path) -> None:
    comparison = compare(run, "b", "c")
    assert comparison["models"] == ["painter"]
    assert [judge["name"] for judge in comparison["judges"]] == ["b", "c"]
    (pair,) = comparison["pairs"]
    assert (pair["questions"], pair["only_first_answered"], pair["only_second_answered"]) == (
        17, 1, 0,
    )  # fmt: skip
    assert pair["counts"] == {
        "both_yes": 14, "only_first": 0, "only_second": 2, "neither": 1, "all": 17,
    }  # fmt: skip
    assert pair["agreement"]["value"] == pytest.approx(15 / 17)
    low, high = pair["agreement"]["interval"]
    assert low <= 15 / 17 <= high
    assert pair["kappa"]["value"] == pytest.approx(0.4513, abs=1e-3)
    assert set(pair["l1"]) == {"entity", "attribute", "relation"}
    assert pair["l2"]["attribute - color"]["counts"]["only_second"] == 1
    assert pair["p_yes"]["questions"] == 17
    assert comparison["fleiss"] is None
    assert comparison["human"] is None
    # c lacks an answer about it5: only the other items tell what the choice does to the score
    assert comparison["judges"][1]["grids_scored"] == 5
    score = pair["score"]
    assert score["grids"] == 5
    assert score["first"] == pytest.approx(100 * (0 + 2 / 3 + 2 / 3 + 2) / 5)
    assert score["second"] == pytest.approx(80)
    assert score["difference"] == pytest.approx(score["first"] - score["second"])
    assert score["interval"] is None  # five items say too little


def test_where_they_differ(run: Run, made: Path, tmp_path: Path) -> None:
    comparison = compare(run, "b", "c", "replay", "--run", made, "--out", "d.csv")
    assert [(d["item_id"], d["qid"]) for d in comparison["differences"]] == [
        ("it0", 1), ("it1", 2), ("it2", 3),
    ]  # fmt: skip
    first = comparison["differences"][0]
    assert first["model"] == "painter"
    assert (first["l1"], first["l2"]) == ("entity", "entity - whole")
    assert first["question"] == "Is there thing 1?"
    assert first["answers"] == {"b": "no", "c": "no", "replay": "yes"}
    assert first["p_yes"]["replay"] is None
    with (tmp_path / "d.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["item_id"] for row in rows] == ["it0", "it1", "it2"]
    assert rows[1] | {"b": "no", "c": "yes", "replay": "yes", "p_yes c": "0.8"} == rows[1]
    assert [pair["judges"] for pair in comparison["pairs"]] == [
        ["b", "c"], ["b", "replay"], ["c", "replay"],
    ]  # fmt: skip
    assert comparison["fleiss"]["questions"] == 17
    assert comparison["pairs"][1]["p_yes"] is None


def test_printed_for_people(run: Run, made: Path) -> None:
    ended = run("judges", "compare", "b", "c", "replay", "--differences", "2")
    assert ended.code == 0, ended.err
    assert "b against c: 17 questions; only b answered 1 more, only c 0 more" in ended.out
    assert "attribute - color" in ended.out
    assert "all 3 judges: 17 questions" in ended.out
    assert "2 of 3 questions that differ:" in ended.out
    assert "b: no (0.10), c: yes (0.80), replay: yes" in ended.out
    assert "corrected-v1 on 5 grids" in ended.out


def test_answer_files(run: Run, made: Path, bench: Path, tmp_path: Path) -> None:
    by_name = compare(run, "b", "c", "--run", made)
    by_path = compare(run, made / "answers/b.jsonl", made / "answers/c.jsonl")
    assert by_path["pairs"] == by_name["pairs"]
    other = answers_csv(tmp_path / "other.csv", answers({(3, 1)}))
    mixed = compare(run, "b", other, "--run", made)
    assert mixed["pairs"][0]["judges"] == ["b", "other"]
    assert mixed["pairs"][0]["counts"]["all"] == 18
    files = compare(run, tmp_path / "painter.csv", other, "--bench", bench)
    assert files["pairs"][0]["counts"]["only_first"] == 1
    assert files["models"] == [""]
    assert files["runs"] == []


def test_several_runs_are_pooled(run: Run, made: Path, bench: Path, tmp_path: Path) -> None:
    file = answers_csv(tmp_path / "drawer.csv", answers(set()))
    run("score", "--bench", bench, "--answers", file, "--out", "runs/s")
    record(tmp_path / "runs/s/answers/b.jsonl", answers({(4, 2)}))
    comparison = compare(run, "b", "replay", "--run", made, "--run", "runs/s")
    assert comparison["models"] == ["painter", "drawer"]
    assert comparison["pairs"][0]["counts"]["all"] == 36
    assert comparison["pairs"][0]["score"]["grids"] == 12
    assert [d["model"] for d in comparison["differences"]] == ["painter"] * 3 + ["drawer"]


def test_what_cannot_be_compared(run: Run, made: Path, bench: Path, tmp_path: Path) -> None:
    ended = run("judges", "compare", "b", "nobody")
    assert ended.code == 2
    assert "unknown judge 'nobody'; known: b, c, replay" in ended.error
    assert run("judges", "compare", "b", "b").code == 2
    ended = run("judges", "compare", "b")
    assert ended.code == 2
    assert "name two, or give --human" in ended.error
    assert run("judges", "compare", "b", "c", "--run", "nowhere").code == 3
    assert run("judges", "compare", "b", "nowhere.csv").code == 3
    assert run("judges", "compare", "b", "c", "--rule", "nope").code == 2
    record(made / "answers/far.jsonl", [("it0", 7, 1, "yes")])
    ended = run("judges", "compare", "b", "far")
    assert ended.code == 3
    assert "judges b and far have no question in common" in ended.error
    record(made / "answers/alien.jsonl", [("it99", 0, 1, "yes")])
    assert run("judges", "compare", "b", "alien").code == 3
    assert run("judges", "compare", "b", "c", "--bench", "shapes").code == 5


def test_people(run: Run, made: Path, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    ratings = [("it0", 1), ("it0", 2), ("it1", 3), ("it2", 3), ("it3", 5), ("it4", 5), ("it5", 4)]
    lines = [f"{item},painter,{score},x" for item, score in ratings]
    lines += ["it1,another,5,x", "it77,painter,1,x", "it5,painter,1,bad"]
    people.write_text("item,model,score,note\n" + "\n".join(lines) + "\n")
    words = ("b", "replay", "--run", made, "--human", people, "--human-where", "note=x")
    human = compare(run, *words)["human"]
    assert (human["samples"], human["items"], human["ratings"]) == (6, 6, 9)
    assert human["left_out"] == {
        "of_other_models": 1, "of_other_items": 1, "without_a_score": 0,
    }  # fmt: skip
    # b: 0, 2/3, 2/3, 1, 1, 1; people: 1.5, 3, 3, 5, 5, 4
    spearman = human["judges"]["b"]["spearman"]
    assert spearman["value"] == pytest.approx(15 / (15 * 16.5) ** 0.5)
    assert spearman["interval"][0] <= spearman["value"] <= spearman["interval"][1]
    assert human["judges"]["b"]["kendall"]["value"] == pytest.approx(11 / (11 * 13) ** 0.5)
    assert human["judges"]["replay"]["spearman"] == {"value": None, "interval": None}
    assert human["models"]["painter"]["human"] == pytest.approx(21.5 / 6)
    # one judge is enough, items may be called item_id, and a missing model is the only one
    people.write_text("item_id,score\n" + "\n".join(f"{i},{s}" for i, s in ratings) + "\n")
    alone = compare(run, "b", "--human", people)["human"]
    assert alone["judges"]["b"] == human["judges"]["b"]
    # under a rule that leaves failed items out, an item without answers is no sample
    lacking = compare(run, "b", "c", "--human", people)["human"]
    assert lacking["left_out"]["without_a_score"] == 1
    assert lacking["differences"][0]["judges"] == ["b", "c"]
    printed = run("judges", "compare", "b", "c", "--human", people)
    assert "people (people.csv): 5 grids of 5 items; 1 left out (without a score)" in printed.out
    assert "b less c" in printed.out


def test_bad_human_scores(run: Run, made: Path, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text("item,model,score\nit0,painter,good\n")
    ended = run("judges", "compare", "b", "--human", people)
    assert ended.code == 3
    assert "row 2: score 'good' is not a number" in ended.error
    people.write_text("id,model,score\nit0,painter,1\n")
    ended = run("judges", "compare", "b", "--human", people)
    assert ended.code == 3
    assert "name it with --human-columns item=COLUMN" in ended.error
    words = ("judges", "compare", "b", "--human", people, "--human-columns")
    assert run(*words, "item:id").code == 2
    assert run(*words, "item=id").code == 3  # one image alone has no order
    people.write_text("item,model,score\nit0,x,1\nit1,y,2\n")
    ended = run("judges", "compare", "b", "--human", people)
    assert ended.code == 2
    assert "is about models x, y, the answers about painter" in ended.error


def test_listing_is_as_before(run: Run) -> None:
    listed = run("judges")
    assert listed.code == 0
    assert listed.out.startswith("mplug\n")
    names = [judge["name"] for judge in json.loads(run("judges", "--json").out)["judges"]]
    assert "tiny-mplug" in names


def test_tifa160_human_correlation_as_published(run: Run, shared: Path) -> None:
    """DSG (arXiv 2310.18235): Spearman 0.463, Kendall 0.380 on 800 images of TIFA-160."""
    data = shared / "data" / "dsg1k"
    comparison = compare(
        run, data / "mplug_dsg.csv", "--bench", data / "dsg-1k-anns.csv",
        "--model-column", "t2i_model", "--human", data / "tifa160-likert-anns.csv",
        "--human-columns", "item=item_id,model=t2i_model,score=answer", "--rule", "dsg",
    )  # fmt: skip
    human = comparison["human"]
    assert (human["samples"], human["items"], len(human["models"])) == (800, 160, 5)
    assert human["left_out"] == dict.fromkeys(human["left_out"], 0)
    of_judge = human["judges"]["mplug_dsg"]
    assert round(of_judge["spearman"]["value"], 3) == 0.463
    assert round(of_judge["kendall"]["value"], 3) == 0.380
    assert of_judge["spearman"]["interval"] == pytest.approx([0.396, 0.520], abs=0.002)
    assert of_judge["kendall"]["interval"] == pytest.approx([0.325, 0.427], abs=0.002)
