"""Rules about probabilities, through the command line: asked, recorded, resumed, refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.domain.benchmark import COLUMNS
from tests.helpers import Run, json_lines, row

LEVELS = (51, 153, 255)  # brightness of each item's image, of 255
TEMPLATE = "{question} Answer in one word."
SURE = "tests.cli.right_answers:Sure"
SILENT = "tests.cli.right_answers:Silent"


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Three items with a question of yes and one of a number each, and their pictures."""
    rows = []
    for number in range(len(LEVELS)):
        item = f"it{number}"
        counted = {"question_natural_language": "How many dogs are in the image?"}
        rows.append({**row(item, 1), "answer": "", "question_template": TEMPLATE})
        rows.append(
            {
                **row(item, 2, **counted, tuple="count (dogs)"),
                "answer": "two",
                "question_template": TEMPLATE,
            }
        )
    path = tmp_path / "b.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [*COLUMNS, "answer", "question_template"])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, level in enumerate(LEVELS):
        Image.new("RGB", (8, 8), (level, level, level)).save(folder / f"it{number}.png")
    return folder


def score_words(*more: object) -> list[Any]:
    return ["score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r", *more]


def result_of(ended: Any) -> Any:
    assert ended.code == 0, ended.err
    (result,) = json.loads(ended.out)["results"]
    return result


def test_asked_scored_and_scored_again(run: Run, bench: Path, pictures: Path) -> None:
    words = score_words("--judge", SURE, "--json")
    am = result_of(run(*words, "--rule", "soft-tifa-am"))
    bright = [level / 255 for level in LEVELS]
    assert am["overall"] == pytest.approx(100 * sum(b * 2 / 3 for b in bright) / 3)
    assert am["l1"]["count"]["score"] == pytest.approx(100 * sum(b / 3 for b in bright) / 3)
    before = Path("r/answers").glob("*.jsonl")
    (path,) = before
    content = path.read_bytes()
    assert [line["p_answer"] for line in json_lines(path)[:2]] == [0.2, 0.0666666667]
    gm = result_of(run(*words, "--rule", "soft-tifa-gm"))
    wanted = sum(b / 3**0.5 for b in bright) / 3
    assert gm["overall"] == pytest.approx(100 * wanted, abs=1e-6)
    assert path.read_bytes() == content
    path.write_bytes(content[: content.index(b"it1")] + b"")  # torn: asked again
    ended = run(*words, "--rule", "soft-tifa-gm")
    assert result_of(ended)["overall"] == gm["overall"]
    assert path.read_bytes() == content
    assert run("verify", "r").code == 0
    assert run("report", "r", "--out", "page").code == 0
    assert "soft-tifa-gm" in Path("page/leaderboard.csv").read_text()


def test_the_whole_prompt_needs_no_questions(run: Run, bench: Path, pictures: Path) -> None:
    words = score_words("--judge", SURE, "--rule", "vqascore", "--json")
    result = result_of(run(*words))
    assert result["overall"] == pytest.approx(60.0)
    assert result["judge"] == f"{SURE}:vqascore"
    (questions,) = Path("r/questions").glob("*.jsonl")
    assert json_lines(questions)[0]["question"] == (
        'Does this figure show "a prompt for it0"? Please answer yes or no.'
    )
    kept = {path: path.read_bytes() for path in Path("r").rglob("*.jsonl")}
    assert result_of(run(*words))["overall"] == result["overall"]
    assert {path: path.read_bytes() for path in Path("r").rglob("*.jsonl")} == kept
    other = result_of(run(*score_words("--judge", SURE, "--rule", "soft-tifa-am", "--json")))
    assert other["judge"] == SURE
    assert run("verify", "r").code == 0
    Path("p.txt").write_text("a dog\na cat\na car\n")
    listed = ["score", "pictures", "--bench", "p.txt", "--num-images", 1, "--out", "r2", "--json"]
    for number, path in enumerate(sorted(pictures.iterdir())):
        path.rename(pictures / f"p_{number:03d}.png")
    named = run(*listed, "--judge", SURE, "--rule", "vqascore", "--partial")
    assert named.code in (0, 3), named.err
    ended = run("report", "r", "--out", "page")
    assert ended.code == 0, ended.err
    assert "vqascore" in Path("page/leaderboard.csv").read_text()
    compared = run("compare", "r", "r", "--rule", "vqascore")
    assert "Traceback" not in compared.err


def test_a_judge_without_probabilities_is_named(run: Run, bench: Path, pictures: Path) -> None:
    for rule in ("soft-tifa-am", "soft-tifa-gm", "vqascore"):
        ended = run(*score_words("--judge", SILENT, "--rule", rule))
        assert ended.code == 3
        assert SILENT in ended.error
        assert "gives none" in ended.error
        ended = run(*score_words("--judge", "ensemble:mplug,tiny-mplug", "--rule", rule))
        assert ended.code == 2
        assert "ensemble:mplug,tiny-mplug gives no probabilities" in ended.error
    ended = run(*score_words("--judge", "clipscore", "--rule", "vqascore"))
    assert ended.code == 2
    words = ("--rule", "vqascore", "--rule", "dsg")
    ended = run(*score_words("--judge", SURE, *words))
    assert ended.code == 2
    assert "in a command of its own" in ended.error


def test_nothing_more_is_asked_of_a_silent_judge(run: Run, tmp_path: Path) -> None:
    lines = [",".join(COLUMNS)]
    for number in range(30):
        cells = row(f"n{number}", 1)
        lines.append(",".join(cells[column] for column in COLUMNS))
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "pictures").mkdir()
    for number in range(30):
        Image.new("RGB", (8, 8), (9 * (number % 20), 0, 0)).save(
            tmp_path / f"pictures/n{number}.png"
        )
    ended = run(*score_words("--judge", SILENT, "--rule", "soft-tifa-am"))
    assert ended.code == 3
    assert SILENT in ended.error
    (path,) = Path("r/answers").glob("*.jsonl")
    assert len(json_lines(path)) < 30


def recorded(**fields: Any) -> str:
    return "".join(
        json.dumps({"item_id": f"it{n}", "tile": 0, "qid": q, "answer": "yes", **fields}) + "\n"
        for n in range(len(LEVELS))
        for q in (1, 2)
    )


def test_recorded_probabilities(run: Run, bench: Path, tmp_path: Path) -> None:
    words: list[Any] = ["score", "--bench", "b.csv", "--rule", "soft-tifa-am", "--json"]
    (tmp_path / "a.jsonl").write_text(recorded(p_answer=0.25))
    assert result_of(run(*words, "--answers", "a.jsonl"))["overall"] == 25.0
    table = ["item_id,question_id,answer,p_answer"]
    table += [f"it{n},{q},yes,0.5" for n in range(len(LEVELS)) for q in (1, 2)]
    (tmp_path / "a.csv").write_text("\n".join(table) + "\n")
    assert result_of(run(*words, "--answers", "a.csv"))["overall"] == 50.0
    (tmp_path / "a.csv").write_text("\n".join([*table[:-1], "it2,2,yes,"]) + "\n")
    ended = run(*words, "--answers", "a.csv")
    assert ended.code == 6
    (result,) = json.loads(ended.out)["results"]
    assert (result["items_scored"], result["overall"]) == (2, 50.0)
    assert "has no probability" in result["failures"]["it2"]


@pytest.mark.parametrize("p", [1.5, -0.01, "0.5", True, [], "NaN", "Infinity"])
@pytest.mark.parametrize("field", ["p_yes", "p_answer"])
def test_other_recorded_numbers_are_refused(
    run: Run, bench: Path, tmp_path: Path, field: str, p: Any
) -> None:
    text = recorded(**{field: 0.123})
    text = text.replace("0.123", p if p in ("NaN", "Infinity") else json.dumps(p))
    (tmp_path / "a.jsonl").write_text(text)
    ended = run("score", "--bench", "b.csv", "--answers", "a.jsonl", "--rule", "soft-tifa-gm")
    assert ended.code == 3
    assert "a.jsonl line 1" in ended.error


@pytest.mark.parametrize("cell", ["1.5", "-1", "nan", "inf", "x"])
def test_other_cells_are_refused(run: Run, bench: Path, tmp_path: Path, cell: str) -> None:
    (tmp_path / "a.csv").write_text(f"item_id,question_id,answer,p_answer\nit0,1,yes,{cell}\n")
    ended = run("score", "--bench", "b.csv", "--answers", "a.csv", "--rule", "soft-tifa-gm")
    assert ended.code == 3
    assert "a.csv row 2: p_answer" in ended.error


@pytest.mark.parametrize("field", ["p_yes", "p_answer"])
def test_an_answer_that_is_there_twice_with_two_probabilities_is_refused(
    run: Run, bench: Path, tmp_path: Path, field: str
) -> None:
    words = ("score", "--bench", "b.csv", "--rule", "soft-tifa-am", "--answers")
    (tmp_path / "a.jsonl").write_text(recorded(**{field: 0.25}) + recorded(**{field: 0.5}))
    ended = run(*words, "a.jsonl")
    assert ended.code == 3
    assert (
        f"a.jsonl line 7: question 1 of item it0, tile 0, has two values of {field}" in ended.error
    )
    rows = "it0,1,yes,0.25\n" * 2 + "it0,1,yes,0.5\n"
    (tmp_path / "a.csv").write_text(f"item_id,question_id,answer,{field}\n{rows}")
    ended = run(*words, "a.csv")
    assert ended.code == 3
    assert f"a.csv row 4: question 1 of item it0, tile 0, has two values of {field}" in ended.error


def test_answers_to_a_benchmarks_questions_are_none_to_whole_prompts(
    run: Run, bench: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(recorded(p_yes=0.25))
    ended = run("score", "--bench", "b.csv", "--answers", "a.jsonl", "--rule", "vqascore")
    assert ended.code == 2
    assert "recorded answers are to the questions of b.csv" in ended.error


def test_an_image_without_a_probability_of_yes_is_missing(
    run: Run, bench: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_text(recorded(p_yes=0.5).replace(', "p_yes": 0.5', "", 1))
    ended = run("score", "--bench", "b.csv", "--answers", "a.jsonl", "--rule", "product")
    assert ended.code == 6
    assert "first it0: tile 0: the answer to question 1 has no probability" in ended.error
