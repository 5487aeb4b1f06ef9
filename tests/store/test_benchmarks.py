"""Reading benchmarks: what is a benchmark, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgbench.errors import DataError, SetupError, UsageError
from dpgbench.store.benchmarks import load_benchmark, packaged_names
from tests.helpers import csv_text, row, write_csv


def test_shapes_ships_with_clean_graphs() -> None:
    benchmark = load_benchmark("shapes")
    assert "shapes" in packaged_names()
    assert len(benchmark.prompts) >= 24
    assert benchmark.problems() == []
    for item_id, rows in benchmark.items.items():
        assert 6 <= len(rows) <= 14, item_id
        assert 40 <= len(benchmark.prompts[item_id].split()) <= 110, item_id


def test_prompts_are_read_as_text(tmp_path: Path) -> None:
    text = 'None, "NA" and\n1,5 é 🦊 ' + "\u2028x"
    path = write_csv(tmp_path / "b.csv", [row("a1", 1, text=text, keywords="null")])
    benchmark = load_benchmark(path)
    assert benchmark.prompts == {"a1": text}
    assert benchmark.items["a1"][0].keywords == "null"


def test_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    path.write_bytes(b"\xef\xbb\xbf" + csv_text([row("a1", 1)]).replace("\n", "\r\n").encode())
    assert load_benchmark(path).num_questions == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"item_id,text,tuple\n", "has no column keywords"),
        (b"item_id,text,tuple\na,b,c\n", "has no column keywords"),
        (csv_text([]).encode(), "has a header but no rows"),
        (csv_text([row("a1", 1, text="caf\xe9")]).encode("latin-1"), "is not UTF-8"),
        (csv_text([row("a1", "one")]).encode(), "row 2 (item a1): proposition_id 'one'"),
        (csv_text([row("a1", 1)]).encode() + b"a1,x\n", "row 3 has 2 cells"),
        (csv_text([row("a1", 1)]).encode() + b'"a1,x\n', "is not valid CSV"),
        (b"a\0b", "NUL"),
    ],
)
def test_refused_files(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "b.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_benchmark(path)
    assert says in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "item_id", ["../evil", "a/b", "..", "", " a", ".hidden", "a\nb", "C:x", "a\\b", "é" * 101]
)
def test_ids_that_could_escape_a_folder(tmp_path: Path, item_id: str) -> None:
    with pytest.raises(DataError, match="item id"):
        load_benchmark(write_csv(tmp_path / "b.csv", [row(item_id, 1)]))


def test_missing_benchmarks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load_benchmark(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="did you mean shapes"):
        load_benchmark("shape")
    with pytest.raises(SetupError, match="dpgbench prompts pull"):
        load_benchmark("dpg")


def test_select(tmp_path: Path) -> None:
    items = ["COCOval1", "COCOval2", "12", "whoops3"]
    benchmark = load_benchmark(write_csv(tmp_path / "b.csv", [row(item, 1) for item in items]))
    assert benchmark.select() == items
    assert benchmark.select(limit=2) == items[:2]
    assert benchmark.select(limit=1) == items[:1]
    assert benchmark.select(sources=["COCOval"]) == items[:2]
    assert benchmark.select(sources=["web"]) == ["12"]
    assert benchmark.select(items=["whoops3", "12"]) == ["12", "whoops3"]
    with pytest.raises(UsageError, match="unknown item 'whoop3'; did you mean whoops3"):
        benchmark.select(items=["whoop3"])
    with pytest.raises(UsageError, match="sources: COCOval, web, whoops"):
        benchmark.select(sources=["nothing"])
    with pytest.raises(UsageError, match="at least 1"):
        benchmark.select(limit=0)


def test_hash_of_questions_ignores_what_a_judge_does_not_see(tmp_path: Path) -> None:
    one = load_benchmark(write_csv(tmp_path / "1.csv", [row("a", 1), row("a", 2, "1")]))
    two = load_benchmark(write_csv(tmp_path / "2.csv", [row("a", 1), row("a", 2, "0")]))
    assert one.questions_sha256 == two.questions_sha256
    assert one.graphs_sha256 != two.graphs_sha256
    assert one.prompts_sha256 == two.prompts_sha256


def test_dsg_1k(shared: Path) -> None:
    benchmark = load_benchmark(shared / "data" / "dsg1k" / "dsg-1k-anns.csv")
    assert (len(benchmark.prompts), benchmark.num_questions) == (1060, 8182)
    kinds = [problem.kind for problem in benchmark.problems()]
    assert kinds.count("dependency_word") == 10
    assert kinds.count("self_parent") == 44
    assert kinds.count("unknown_parent") == 8


def test_another_question_is_another_benchmark_to_a_judge(tmp_path: Path) -> None:
    plain = [row("a", 1), row("a", 2, "1"), row("b", 1)]
    changes = [
        {"question_natural_language": "Is there thing 7?"},
        {"proposition_id": "3"},
        {"item_id": "c"},
    ]
    hashes = [load_benchmark(write_csv(tmp_path / "0.csv", plain)).questions_sha256]
    for number, change in enumerate(changes, 1):
        rows = [*plain[:2], {**plain[2], **change}]
        path = write_csv(tmp_path / f"{number}.csv", rows)
        hashes.append(load_benchmark(path).questions_sha256)
    assert len(set(hashes)) == 4
    turned = load_benchmark(write_csv(tmp_path / "t.csv", [plain[2], *plain[:2]]))
    assert turned.questions_sha256 == hashes[0]  # a judge does not see the order


def test_another_prompt_is_another_benchmark_to_a_generator(tmp_path: Path) -> None:
    one = load_benchmark(write_csv(tmp_path / "1.csv", [row("a", 1)]))
    two = load_benchmark(write_csv(tmp_path / "2.csv", [row("a", 1, text="another prompt")]))
    assert one.prompts_sha256 != two.prompts_sha256
    assert one.questions_sha256 == two.questions_sha256
    three = load_benchmark(write_csv(tmp_path / "3.csv", [row("a", 1, tuple="global - (x)")]))
    assert three.graphs_sha256 != one.graphs_sha256


def test_a_folder_in_upstreams_layout(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    (folder / "prompts").mkdir(parents=True)
    for name, text in {"a": " from the file\n", "c": "only here"}.items():
        (folder / f"prompts/{name}.txt").write_text(text)
    prompts = load_benchmark(folder)
    assert (prompts.name, prompts.path, prompts.has_graphs) == ("mine", folder, False)
    assert prompts.prompts == {"a": "from the file", "c": "only here"}
    write_csv(folder / "dpg_bench.csv", [row("b", 1), row("a", 1), row("a", 2)])
    whole = load_benchmark(folder)
    assert (whole.name, whole.path, whole.num_questions) == ("mine", folder, 3)
    assert list(whole.prompts) == ["b", "a", "c"]
    assert whole.prompts == {"b": "a prompt for b", "a": "from the file", "c": "only here"}


@pytest.mark.parametrize("word", [".", "prompts/..", "../here"])
def test_a_folder_is_named_after_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    (tmp_path / "here/prompts").mkdir(parents=True)
    (tmp_path / "here/prompts/a1.txt").write_text("a prompt")
    monkeypatch.chdir(tmp_path / "here")
    assert load_benchmark(word).name == "here"


def test_a_name_that_nothing_answers_to_is_told_from_a_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="did you mean shapes"):
        load_benchmark("shape")
    for missing in ("shape.csv", "here/shape", "shape.txt"):
        with pytest.raises(DataError, match="does not exist"):
            load_benchmark(missing)


def test_a_prompt_without_questions_has_no_graph(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a red cube\n")
    benchmark = load_benchmark(tmp_path / "p.txt")
    with pytest.raises(SetupError, match="question"):
        benchmark.graph(next(iter(benchmark.prompts)))
