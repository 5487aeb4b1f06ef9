"""Tables in other forms than a CSV with commas: read, or refused with the cause in one line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpgbench.errors import DataError, DpgBenchError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.files import read_jsonl
from dpgbench.store.human_scores import read_human_scores
from dpgbench.store.published import read_published
from dpgbench.store.recorded_answers import read_recorded_answers
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir
from tests.helpers import COLUMNS, csv_text, row

BENCH = csv_text([row("a1", 1), row("a1", 2, "1")])
ANSWERS = "item_id,question_id,answer\na1,1,yes\na1,2,no\n"
HUMAN = "item_id,model,score\na1,m,3\n"
PUBLISHED = "model,average,global,entity,attribute,relation,other,source,note\nm,80,,,,,,s,n\n"
READERS: list[tuple[str, Callable[[Path], object]]] = [
    (BENCH, load_benchmark),
    (ANSWERS, lambda path: read_recorded_answers(path, {})),
    (HUMAN, read_human_scores),
    (PUBLISHED, read_published),
]


def separated(text: str, separator: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator="\n").writerows(
        csv.reader(io.StringIO(text))
    )
    return buffer.getvalue()


def with_empty_row(text: str) -> str:
    lines = text.splitlines(keepends=True)
    return text + "," * lines[0].count(",") + "\n"


def with_column_twice(text: str) -> str:
    lines = text.splitlines()
    return "".join(f"{line},{line.split(',')[0]}\n" for line in lines)


@pytest.mark.parametrize(("text", "read"), READERS)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: separated(text, ";").encode(), "separated by semicolons"),
        (lambda text: separated(text, "\t").encode(), "separated by tabs"),
        (lambda text: b"sep=;\n" + separated(text, ";").encode(), "Excel's line 'sep=;'"),
        (lambda text: b"sep=,\n" + text.encode(), "Excel's line"),
        (lambda text: with_empty_row(text).encode(), "empty row of a spreadsheet"),
        (lambda text: with_column_twice(text).encode(), "twice"),
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: b"PK\x03\x04" + text.encode(), "workbook of a spreadsheet"),
    ],
)
def test_the_cause_is_named(
    tmp_path: Path,
    text: str,
    read: Callable[[Path], object],
    change: Callable[[str], bytes],
    says: str,
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(change(text))
    with pytest.raises(DataError, match=says):
        read(path)


@pytest.mark.parametrize(("text", "read"), READERS)
def test_other_forms_read_the_same(
    tmp_path: Path, text: str, read: Callable[[Path], object]
) -> None:
    def of(name: str, content: bytes) -> str:
        folder = tmp_path / name
        folder.mkdir()
        path = folder / ("table.tsv" if name == "tabs" else "table.csv")
        path.write_bytes(content)
        content = read(path)
        return str(getattr(content, "prompts", getattr(content, "scores", content)))

    plain = of("plain", text.encode())
    assert of("bom", b"\xef\xbb\xbf" + text.encode()) == plain
    assert of("crlf", text.replace("\n", "\r\n").encode()) == plain
    assert of("blank", text.replace("\n", "\n\n").encode()) == plain
    assert of("tabs", separated(text, "\t").encode()) == plain


CELLS = st.text(alphabet='a1,;"\t\r\n=-\0 é\u2028', max_size=8)
TABLES = st.binary(max_size=80) | st.builds(
    lambda columns, rows: (
        ",".join(columns) + "\n" + "\n".join(",".join(cells) for cells in rows)
    ).encode(),
    st.lists(
        st.sampled_from([*COLUMNS, "answer", "question_id", "score", "model", "prompt", "id"]),
        max_size=12,
    ),
    st.lists(st.lists(CELLS, max_size=12), max_size=4),
)


LINES = st.lists(
    st.binary(max_size=20)
    | st.sampled_from([b'{"item_id":"a","tile":0,"qid":1,"answer":"yes"}', b"[1]", b"\\ud800"])
    | st.fixed_dictionaries(
        {},
        optional={
            "item_id": st.text(max_size=3) | st.none(),
            "tile": st.integers() | st.text(max_size=2) | st.floats(),
            "qid": st.integers() | st.booleans(),
            "answer": st.text(max_size=3) | st.lists(st.none(), max_size=1),
            "p_yes": st.floats() | st.text(max_size=1),
        },
    ).map(lambda record: json.dumps(record).encode()),
    max_size=4,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES)
def test_records_of_a_run_give_nothing_but_our_own_errors(
    tmp_path: Path, lines: list[bytes]
) -> None:
    run = RunDir(tmp_path / "r")
    path = run.answers("replay")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    for read in (lambda: list(read_jsonl(path)), lambda: read_answer_file(run.answers("replay"))):
        try:
            read()
        except DpgBenchError as error:
            assert len(str(error).splitlines()) == 1


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=TABLES, suffix=st.sampled_from([".csv", ".tsv", ".txt", ".jsonl"]))
def test_nothing_but_our_own_errors_comes_out(tmp_path: Path, data: bytes, suffix: str) -> None:
    path = tmp_path / f"table{suffix}"
    path.write_bytes(data)
    for _, read in READERS:
        try:
            content = read(path)
        except DpgBenchError as error:
            assert len(str(error).splitlines()) == 1
            assert str(error).isprintable() or "\u3000" in str(error)
        else:
            assert content
