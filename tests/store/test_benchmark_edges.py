"""Which files a benchmark is read from, cell by cell, and which are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.benchmark import COLUMNS, OriginalBenchmark
from dpgbench.errors import DataError, SetupError, UsageError
from dpgbench.store.benchmark_table import pulled_folder
from dpgbench.store.benchmarks import (
    flagged_rows,
    load_benchmark,
    load_csv,
    load_folder,
    packaged_names,
    questions_source,
)
from dpgbench.store.files import write_json
from tests.helpers import csv_text, row, write_csv


def written(path: Path, rows: list[dict[str, str]], *more: str) -> Path:
    """Write rows with further columns; where a row has none of these its cell is empty."""
    whole = [{**dict.fromkeys(more, ""), **cells} for cells in rows]
    path.write_text(csv_text(whole, (*COLUMNS, *more)), encoding="utf-8")
    return path


def test_each_cell_is_where_it_belongs(tmp_path: Path) -> None:
    first = row("a", 2, "1", text=" the prompt ", keywords="k", question_natural_language="Q?")
    first |= {"category_broad": "attribute", "category_detailed": "color", "tuple": "t (x)"}
    last = row(
        "a", "1.0", text="another text", answer=" Three ", question_template="So: {question} "
    )
    path = written(
        tmp_path / "b.csv",
        [first, row("b", 1, answer="No"), last],
        "answer", "question_template", "rewritten_from",
    )  # fmt: skip
    loaded = load_benchmark(path)
    assert (loaded.name, loaded.path, loaded.is_list) == ("b", path, False)
    assert loaded.prompts == {"a": "the prompt", "b": "a prompt for b"}
    assert loaded.rewritten_from is None
    one, two = loaded.items["a"]
    assert (one.row, one.position, one.qid, one.dependency, one.keywords) == (2, 0, 2, "1", "k")
    assert (one.category_broad, one.category_detailed, one.tuple) == ("attribute", "color", "t (x)")
    assert (one.item_id, one.text, one.question) == ("a", " the prompt ", "Q?")
    assert (one.expected, one.template, one.asked) == ("yes", "", "Q?")
    assert (two.row, two.position, two.qid, two.expected) == (4, 2, 1, "Three")
    assert (two.template, two.asked) == ("So: {question}", "So: Is there thing 1.0?")
    assert [each.expected for each in loaded.items["b"]] == ["no"]
    assert load_csv(path, "other").name == "other"
    assert [each.expected for each in load_csv(write_csv(path, [row("a", 1)]), "b").rows] == ["yes"]


def test_of_what_prompts_were_rewritten_is_on_the_first_row_that_tells(tmp_path: Path) -> None:
    rows = [row("a", 1), row("a", 2, rewritten_from="p q k the name"), row("b", 1)]
    rows[2]["rewritten_from"] = "x y z other"
    loaded = load_csv(written(tmp_path / "b.csv", rows, "rewritten_from"), "b")
    assert loaded.rewritten_from == OriginalBenchmark("p", "q", "k", "the name")


def test_cells_that_cannot_be_meant_are_refused(tmp_path: Path) -> None:
    for cells, says in (
        ({"answer": "None"}, "row 3 (item b): answer 'None' stands for nothing in tables"),
        ({"answer": " nan "}, "row 3 (item b): answer 'nan' stands for nothing in tables"),
        ({"question_template": "Why?"}, "row 3 (item b): question_template 'Why?' must have {"),
        ({"question_template": "{question} {question}"}, "must have {question} once"),
        ({"proposition_id": "x"}, "row 3 (item b): proposition_id 'x' is not a whole number of at"),
        ({"proposition_id": ""}, "row 3 (item b): proposition_id '' is not a whole number"),
        ({"item_id": "../b"}, "row 3: item id '../b' cannot name an image file"),
    ):
        rows: list[dict[str, Any]] = [row("a", 1), {**row("b", 1), **cells}]
        path = written(tmp_path / "b.csv", rows, "answer", "question_template")
        with pytest.raises(DataError) as raised:
            load_benchmark(path)
        assert says in str(raised.value)
    blank = [{**row("a", 1), "answer": "  ", "question_template": "  "}]
    (only,) = load_csv(written(tmp_path / "b.csv", blank, "answer", "question_template"), "b").rows
    assert (only.expected, only.template) == ("yes", "")


def test_rows_that_are_flagged(tmp_path: Path) -> None:
    path = written(
        tmp_path / "b.csv",
        [row("a", 1, review="look"), row("a", 2, review=" "), row("b", 1, review="x")],
        "review",
    )
    assert flagged_rows(path) == 2
    assert flagged_rows(write_csv(tmp_path / "c.csv", [row("a", 1)])) is None
    assert flagged_rows(tmp_path / "gone.csv") is None
    assert flagged_rows(tmp_path) is None


def test_a_folder_of_prompts_with_questions_or_without(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "prompts").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"benchmark x is not on this machine \(nothing in "):
        load_folder(folder, "x")
    for name, text in {"b": "text b ", "a-1": "1", "a": "text a\n"}.items():
        (folder / f"prompts/{name}.txt").write_text(text)
    (folder / "prompts/notes.md").write_text("not a prompt")
    alone = load_folder(folder, "x")
    assert (alone.name, alone.path, alone.items) == ("x", folder, {})
    assert list(alone.prompts.items()) == [("a", "text a"), ("a-1", "1"), ("b", "text b")]
    write_csv(folder / "dpg_bench.csv", [row("c", 1), row("b", 1)])
    whole = load_folder(folder, "x")
    assert (whole.name, whole.path, list(whole.items)) == ("x", folder, ["c", "b"])
    assert list(whole.prompts.items()) == [
        ("c", "a prompt for c"), ("b", "text b"), ("a", "text a"), ("a-1", "1"),
    ]  # fmt: skip
    (folder / "dpg_bench.csv").unlink()
    (folder / "prompts/ odd.txt").write_text("x")
    with pytest.raises(DataError, match=f"{folder}: item id ' odd' cannot name an image file"):
        load_folder(folder, "x")


def test_where_questions_came_from(tmp_path: Path) -> None:
    source = tmp_path / "source.json"
    assert questions_source(tmp_path) is None
    for record, origin in (
        ({"questions_from": "u"}, "u"),
        ({"questions_from": 5}, None),
        ([], None),
    ):
        write_json(source, record)
        assert questions_source(tmp_path) == origin
    source.write_text("{")
    assert questions_source(tmp_path) is None
    assert questions_source(source) is None


def test_what_a_word_after_bench_stands_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert packaged_names() == ["shapes"]
    assert load_benchmark("shapes").name == "shapes"
    for unknown in ("shapez", "index", "none"):
        with pytest.raises(UsageError, match=f"unknown benchmark '{unknown}'"):
            load_benchmark(unknown)
    for missing in ("here/shapez", "gone.csv", "gone.txt", "gone.TSV"):
        with pytest.raises(DataError, match="does not exist"):
            load_benchmark(missing)
    write_csv(tmp_path / "plain", [row("a", 1)])  # a file without a suffix is a table
    assert load_benchmark("plain").name == "plain"
    (tmp_path / "list.TXT").write_text("a cube\n")
    listed = load_benchmark("list.TXT")
    assert (listed.name, listed.is_list, listed.items) == ("list", True, {})
    assert listed.path == Path("list.TXT")
    assert listed.prompts == {"00001": "a cube"}
    table = load_benchmark(write_csv(tmp_path / "b.csv", [row("a", 1)]))
    assert (table.name, table.is_list) == ("b", False)
    (tmp_path / "colors").mkdir()
    (tmp_path / "colors/color_val.txt").write_text("a red cube\n")
    compbench = load_benchmark("colors")
    assert (compbench.name, compbench.prompts) == ("t2i-compbench", {"color_001": "a red cube"})
    (tmp_path / "mine/prompts").mkdir(parents=True)
    (tmp_path / "mine/prompts/a.txt").write_text("x")
    assert load_benchmark("mine").name == "mine"
    monkeypatch.chdir(tmp_path / "mine")
    assert load_benchmark(".").name == load_benchmark("prompts/..").name == "mine"


def test_a_pulled_benchmark_is_taken_unless_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, table in (("dpg", "dpg_bench.csv"), ("geneval2", "geneval2.csv")):
        with pytest.raises(SetupError, match=rf"benchmark {name} is not on this machine"):
            load_benchmark(name)
        folder = pulled_folder(name)
        folder.mkdir(parents=True)
        path = write_csv(folder / table, [row("a", 1)])
        for record in (
            {},
            {"sha256": 5},
            {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        ):
            write_json(folder / "source.json", record)
            assert (load_benchmark(name).name, list(load_benchmark(name).items)) == (name, ["a"])
        write_csv(path, [row("a", 1), row("b", 1)])
        with pytest.raises(DataError, match=rf"so it is not benchmark {name}: get it again"):
            load_benchmark(name)
        path.unlink()
        with pytest.raises(SetupError, match="is not on this machine"):
            load_benchmark(name)
    write_csv(tmp_path / "geneval2", [row("z", 1)])  # a file of the user's, where nothing is pulled
    assert list(load_benchmark("geneval2").items) == ["z"]
    write_csv(pulled_folder("geneval2") / "geneval2.csv", [row("a", 1)])
    write_json(pulled_folder("geneval2") / "source.json", {})
    assert list(load_benchmark("geneval2").items) == ["a"]
    folder = pulled_folder("t2i-compbench")
    folder.mkdir(parents=True)
    (folder / "color_val.txt").write_text("a red cube\n")
    assert load_benchmark("t2i-compbench").prompts == {"color_001": "a red cube"}
    (pulled_folder("geneval2") / "color_val.txt").write_text("no matter\n")
    assert list(load_benchmark("geneval2").items) == ["a"]
