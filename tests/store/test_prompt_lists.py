"""Lists of prompts: read from text, JSON lines and tables; drawn, resumed, and never scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpgbench.errors import DataError, DpgBenchError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.paths import check_item_id
from tests.helpers import Run


@pytest.mark.parametrize(
    ("name", "text", "prompts"),
    [
        ("p.txt", "a red dog\n\n two boats \r\n", {"00001": "a red dog", "00003": "two boats"}),
        ("p.txt", "\ufeffa\u2028b", {"00001": "a\u2028b"}),
        (
            "p.jsonl",
            '{"prompt":"a red dog","tag":"x"}\n\n"b"',
            {"00001": "a red dog", "00003": "b"},
        ),
        ("p.jsonl", '{"caption":"c","id":7}\n{"text":"d","id":"x"}\n', {"7": "c", "x": "d"}),
        ("p.csv", "prompt\na red dog\n", {"00002": "a red dog"}),
        ("p.csv", 'item_id,text\na1,"a, b"\n', {"a1": "a, b"}),
        ("p.csv", "Challenge,Prompt,ID\nx,a,1\ny,b,2\n", {"1": "a", "2": "b"}),
        ("p.tsv", "id\tprompt\n1\ta, b\n", {"1": "a, b"}),
    ],
)
def test_forms(tmp_path: Path, name: str, text: str, prompts: dict[str, str]) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    benchmark = load_benchmark(tmp_path / name)
    assert benchmark.prompts == prompts
    assert benchmark.is_list
    assert not benchmark.has_graphs


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("p.txt", "\n \n", "holds no prompt"),
        ("p.jsonl", "{", "line 1 is not JSON"),
        ("p.jsonl", "[1]", "not a JSON object"),
        ("p.jsonl", '{"words":"a"}', "its keys are words"),
        ("p.jsonl", '{"prompt":"a","id":"1"}\n{"prompt":"b","id":1}', "stands at line 1 already"),
        ("p.jsonl", '{"prompt":" "}', "the prompt is empty"),
        ("p.csv", "id,prompt\n../x,a\n", "cannot name an image file"),
        ("p.csv", "id,prompt\n1,a\n1,b\n", "stands at row 2 already"),
        ("p.csv", "id;prompt\n1;a\n", "separated by semicolons"),
        ("none.txt", None, "does not exist"),
        ("none.jsonl", None, "does not exist"),
        ("none.tsv", None, "does not exist"),
    ],
)
def test_what_cannot_be_drawn_is_named(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        load_benchmark(tmp_path / name)


def test_a_list_is_drawn_resumed_and_not_scored(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a red dog\ntwo boats\nthree\n")
    words = ("generate", "--model", "tiny-sd15", "--steps", 2, "--bench", "p.txt", "--out", "r")
    assert run(*words, "--limit", 1).code == 0
    assert run(*words).code == 0
    assert sorted(path.name for path in (tmp_path / "r/images").glob("*.png")) == [
        "00001.png",
        "00002.png",
        "00003.png",
    ]
    assert json.loads((tmp_path / "r/manifest.json").read_text())["items"] == [
        "00001",
        "00002",
        "00003",
    ]
    ended = run("score", "r", "--judge", "tiny-mplug")
    assert ended.code == 4
    assert "a list of 3 prompts without questions" in ended.error
    assert run("prompts", "list", "--bench", "p.txt").out.startswith("00001\ta red dog\n")
    assert run("prompts", "show", "00002", "--bench", "p.txt").out == "two boats\n"
    checked = run("prompts", "check", "p.txt")
    assert (checked.code, checked.err) == (0, "3 items, 0 questions: no problem\n")


def test_a_folder_of_text_files_is_drawn_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/a1.txt").write_text("a dog\n")
    assert load_benchmark(tmp_path).prompts == {"a1": "a dog"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(
        st.sampled_from(["prompt", "text", "id", "key", "x"]), inner, max_size=3
    ),
    max_leaves=4,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(JSON, min_size=1, max_size=4))
def test_any_json_gives_safe_ids_or_one_line(tmp_path: Path, values: list[object]) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(map(json.dumps, values)))
    try:
        benchmark = load_benchmark(path)
    except DpgBenchError as error:
        assert len(str(error).splitlines()) == 1
    else:
        for item_id, prompt in benchmark.prompts.items():
            check_item_id(item_id, "")
            prompt.encode()
