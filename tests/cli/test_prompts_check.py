"""`prompts check`: what is an error, what a warning, what a note; and that scoring agrees."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.helpers import Run, answers_csv, row, write_csv

REAL = "data/dpg_bench_100/dpg_bench_100.csv"


def test_the_real_file_has_warnings_and_notes_and_passes(run: Run, shared: Path) -> None:
    ended = run("prompts", "check", shared / REAL, "--json")
    assert ended.code == 0
    checked = json.loads(ended.out)
    assert checked["severities"] == {"error": 0, "warning": 10, "note": 8}
    assert checked["counts"] == {
        "category_columns": 7,
        "cycle_edge": 1,
        "forward_parent": 7,
        "repeated_question": 1,
        "self_parent": 2,
    }
    assert len(checked["problems"]) == 18
    assert run("prompts", "check", shared / REAL, "--strict").code == 3


@pytest.mark.parametrize(
    ("rows", "severity", "kind", "says"),
    [
        ([row("a", 1, "2"), row("a", 2)], "note", "forward_parent", "stands after its child"),
        ([row("a", 1, "1")], "warning", "self_parent", "corrected-v1 leaves that parent out"),
        ([row("a", 1, "2"), row("a", 2, "1")], "warning", "cycle_edge", "dsg each parent's own"),
        ([row("a", 1, "7")], "warning", "unknown_parent", "dsg can lose the item"),
        ([row("a", 1, "x")], "error", "dependency_word", "ella-reference refuses the file"),
        ([row("a", 1), row("a", 1)], "error", "duplicate_question", "question 1 appears again"),
        ([row("a", 1), row("a", 2, text="b")], "error", "conflicting_text", "prompt differs"),
        ([row("a", 1, text=" ")], "error", "empty_text", "prompt is empty"),
        ([row("a", 1, text="nan")], "warning", "missing_text", "the word 'nan'"),
        ([row("a", 1, text="None")], "warning", "missing_text", "the word 'None'"),
        ([row("a", 0)], "warning", "question_number", "question number 0"),
        ([row("a", -2)], "warning", "question_number", "question number -2"),
        ([row("a", 123456)], "warning", "question_number", "question number 123456"),
        ([row("A1", 1), row("a1", 1)], "warning", "ids_alike", "'A1'"),
        ([row("é", 1), row("e\u0301", 1)], "warning", "ids_alike", "are one file"),
        ([row("aux.txt", 1)], "warning", "windows_name", "Windows refuses"),
        ([row("con", 1)], "warning", "windows_name", "Windows refuses"),
        ([row("a.", 1)], "warning", "windows_name", "Windows refuses"),
        (
            [row("a", 1), row("a", 2, question_natural_language="is  there THING 1?")],
            "note",
            "repeated_question",
            "question 2 asks what 1 asks",
        ),
        (
            [row("a", 1, category_broad="relation", category_detailed="spatial")],
            "warning",
            "category_columns",
            "ulmeval reads the columns",
        ),
        *(
            ([row("a", 1, tuple=text)], "warning", "category_spelling", "corrected-v1 reads")
            for text in (
                "entity – whole (x)",
                "entity — whole (x)",
                "entity − whole (x)",
                "Entity - whole (x)",
            )
        ),
        (
            [row("a", 1, category_broad="Entity")],
            "warning",
            "category_spelling",
            "columns write category 'Entity - whole'",
        ),
    ],
)
def test_each_kind_has_its_severity_and_says_what_it_does(
    run: Run, tmp_path: Path, rows: list[dict[str, str]], severity: str, kind: str, says: str
) -> None:
    path = write_csv(tmp_path / "bench.csv", rows)
    ended = run("prompts", "check", path, "--json")
    problems = [one for one in json.loads(ended.out)["problems"] if one["kind"] == kind]
    assert [one["severity"] for one in problems] == [severity]
    assert says in problems[0]["message"]
    assert ended.code == (3 if severity == "error" else 0)
    assert run("prompts", "check", path, "--strict").code == 3
    plain = run("prompts", "check", path)
    assert f"{severity}: row {problems[0]['row']} (item {problems[0]['item_id']}): " in plain.out


def test_mixed_spellings_are_one_category_or_said_to_be_two(run: Run, tmp_path: Path) -> None:
    rows = [
        row("a", 1, category_broad="global"),
        row("a", 2),
        row("a", 3, tuple="Entity - whole (x)"),
        row("a", 4, tuple="entity – whole (x)"),
    ]
    bench = write_csv(tmp_path / "bench.csv", rows)
    answers = answers_csv(tmp_path / "a.csv", [("a", 0, q, "yes") for q in (1, 2, 3, 4)])
    words = ("score", "--bench", bench, "--answers", answers, "--json")
    ended = run(*words, "--rule", "corrected-v1", "--rule", "ella-reference", "--out", "r")
    corrected, reference = json.loads(ended.out)["results"]
    assert set(corrected["l2"]) == {"entity - whole"}
    assert corrected["l1"]["entity"]["questions"] == 4
    assert set(reference["l2"]) == {"entity - whole", "Entity - whole", "entity – whole"}
    (line,) = [line for line in ended.err.splitlines() if "capitals" in line]
    assert "2 rows" in line
    assert "ella-reference keeps 'Entity - whole' as a category of its own" in line
    assert "prompts check" in line


def test_scoring_tells_each_kind_of_dirt_in_one_line(run: Run, tmp_path: Path) -> None:
    rows = [row(f"i{n}", q, str(q)) for n in range(20) for q in (1, 2)]
    bench = write_csv(tmp_path / "bench.csv", rows)
    answers = answers_csv(
        tmp_path / "a.csv", [(f"i{n}", 0, q, "yes") for n in range(20) for q in (1, 2)]
    )
    ended = run(
        "score", "--bench", bench, "--answers", answers, "--rule", "corrected-v1", "--out", "r"
    )
    assert ended.code == 0
    (line,) = [line for line in ended.err.splitlines() if "left out" in line]
    assert "40 self-parents left out under corrected-v1, first row 2 (item i0)" in line
    assert f"prompts check {bench}" in line


EVIL = "a \x1b[31mred\x1b[0m\x9b2J \u202edog"


def test_control_characters_of_a_file_never_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    rows = [row("a", 1, "\x1b[2J", text=EVIL, tuple="\x1b]0;x (y)", question_natural_language=EVIL)]
    bench = write_csv(tmp_path / "bench.csv", rows)
    for words in (
        ("list", "--bench", bench),
        ("list", "--bench", bench, "--json"),
        ("show", "a", "--bench", bench),
        ("show", "a", "--bench", bench, "--json"),
        ("check", bench),
        ("check", bench, "--json"),
        ("stats", bench),
        ("stats", bench, "--json"),
    ):
        ended = run("prompts", *words)
        shown = (ended.out + ended.err).replace("\n", "").replace("\t", "")
        assert shown.isprintable(), (words, shown)
    listed = json.loads(run("prompts", "list", "--bench", bench, "--json").out)
    assert listed["items"][0]["text"] == EVIL


def test_log_lines_show_control_characters(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    run("prompts", "list")
    logging.getLogger("dpgbench").warning("seen %s", "\x1b[2J中文\u3000字")
    assert capfd.readouterr().err == "warning: seen \\x1b[2J中文\u3000字\n"
