"""Lines of answers and of images field by field, and answers that others have recorded."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError
from dpgbench.store import hashes
from dpgbench.store.hashes import digest, git_blob_id, hash_files, sha256_file
from dpgbench.store.recorded_answers import read_recorded_answers
from dpgbench.store.run.answers import (
    answer_line,
    answers_sha256,
    drop_invalid_answers,
    read_answer_file,
    read_answer_lines,
    read_answer_table,
    write_answer_file,
)
from dpgbench.store.run.image_log import changed_images, image_hashes, image_line, read_image_log

ANSWERS = [
    Answer("a", 0, 1, "yes"),
    Answer("a", 1, 2, "Maybe é", 0.25, True, 0.0),
    Answer("b", 0, 1, "", 0.0, False, 1.0),
]
LINES = [
    {"item_id": "a", "tile": 0, "qid": 1, "answer": "yes"},
    {
        "item_id": "a",
        "tile": 1,
        "qid": 2,
        "answer": "Maybe é",
        "p_yes": 0.25,
        "invalid": True,
        "p_answer": 0.0,
    },
    {"item_id": "b", "tile": 0, "qid": 1, "answer": "", "p_yes": 0.0, "p_answer": 1.0},
]


def put(path: Path, *records: Any) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_each_field_of_an_answer_is_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    assert (read_answer_file(path), read_answer_table(path)) == ([], {})
    write_answer_file(path, ANSWERS, scratch=tmp_path)
    assert [json.loads(line) for line in path.read_text().splitlines()] == LINES
    assert read_answer_lines(path) == LINES
    assert read_answer_file(path) == ANSWERS
    assert answer_line(ANSWERS[0], truncated=True) == {**LINES[0], "truncated": True}
    assert read_answer_table(path) == {
        ("a", 0): {1: "yes"}, ("a", 1): {2: "Maybe é"}, ("b", 0): {1: ""},
    }  # fmt: skip
    null = {**LINES[0], "answer": None, "p_yes": None, "truncated": None, "invalid": None}
    put(path, null, {**LINES[0], "qid": 2, "invalid": False, "truncated": False})
    assert read_answer_file(path) == [Answer("a", 0, 1, ""), Answer("a", 0, 2, "yes")]
    assert read_answer_table(path) == {("a", 0): {1: "", 2: "yes"}}


def test_the_hash_of_recorded_answers_stays() -> None:
    text = "a\t0\t1\tyes\na\t1\t2\tMaybe é\t0.0\nb\t0\t1\t\t1.0\n"
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert answers_sha256(ANSWERS) == answers_sha256(ANSWERS[::-1]) == expected


def test_answers_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    one = LINES[0]
    for read in (read_answer_lines, read_answer_table, read_answer_file):
        put(path, one, LINES[1], one)
        assert len(read(path)) in (2, 3)
        for other, says in ((("no", False), "'yes' and 'no'"), (("yes", True), "'yes' and 'yes'")):
            put(path, LINES[1], one, {**one, "answer": other[0], "invalid": other[1]})
            with pytest.raises(DataError) as raised:
                read(path)
            assert f"lines 2 and 3 contradict each other: item a tile 0 question 1 is {says}" in (
                str(raised.value)
            )
        put(path, one, {**one, "tile": "0"})
        with pytest.raises(DataError, match="line 2 is not an answer"):
            read(path)
    for p_yes in (1.01, -0.01):
        put(path, {**one, "p_yes": p_yes})
        with pytest.raises(DataError, match=r"line 1 is not an answer .*: p_yes is "):
            read_answer_file(path)


def test_answers_that_are_no_answers_are_taken_out(tmp_path: Path) -> None:
    path = put(tmp_path / "j.jsonl", LINES[0], LINES[1])
    before = path.stat().st_ino
    assert drop_invalid_answers(put(path, LINES[0]), scratch=tmp_path) == 0
    assert path.stat().st_ino == before  # nothing to do, nothing written
    empty = {**LINES[0], "qid": 5, "answer": None}
    assert drop_invalid_answers(put(path, LINES[1], LINES[0], empty), scratch=tmp_path) == 2
    assert read_answer_lines(path) == LINES[:1]


def test_each_field_of_an_image_is_written_and_read_again(tmp_path: Path) -> None:
    drawn = image_line("a", sha256="0", seeds=[1, 2], seconds=1.5)
    failed = image_line("b", error="out of memory")
    assert drawn == {"item_id": "a", "sha256": "0", "seeds": [1, 2], "seconds": 1.5, "error": None}
    assert failed == {
        "item_id": "b", "sha256": None, "seeds": None, "seconds": None, "error": "out of memory",
    }  # fmt: skip
    path = put(tmp_path / "images.jsonl", failed, drawn, {**drawn, "sha256": "1"})
    assert read_image_log(path) == {"a": {**drawn, "sha256": "1"}, "b": failed}
    assert changed_images(path, {"b": "5", "a": "0", "c": "7"}) == ["a"]
    assert changed_images(path, {"a": "1"}) == []
    put(path, drawn, drawn, {"item_id": 5})
    with pytest.raises(DataError, match="line 3 is not a record of an image"):
        read_image_log(path)


def test_the_hash_of_an_image_is_of_its_file_or_of_its_files_hashes(tmp_path: Path) -> None:
    one, two = tmp_path / "1.png", tmp_path / "2.png"
    one.write_bytes(b"one")
    two.write_bytes(b"two")
    of_one, of_two = (hashlib.sha256(data).hexdigest() for data in (b"one", b"two"))
    both = hashlib.sha256(f"{of_one}\n{of_two}\n".encode()).hexdigest()
    gone = tmp_path / "gone.png"
    images = {"b": two, "x": gone, "t": (one, two), "y": (one, gone), "a": one, "s": (one,)}
    assert list(image_hashes(images).items()) == [
        ("b", of_two), ("t", both), ("a", of_one), ("s", of_one),
    ]  # fmt: skip


def test_hashes_of_large_files_alone_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    memory = tmp_path / "cache/hashes.json"
    small, large = tmp_path / "w/b.bin", tmp_path / "w/a/a.bin"
    large.parent.mkdir(parents=True)
    for path, size in ((small, 16 * 2**20 - 1), (large, 16 * 2**20)):
        path.touch()
        with path.open("r+b") as file:
            file.truncate(size)
    right = {"a/a.bin": sha256_file(large), "b.bin": sha256_file(small)}
    assert list(hash_files([small], tmp_path / "w")) == ["b.bin"]
    assert not memory.exists()
    assert list(hash_files([small, large], tmp_path / "w").items()) == list(right.items())
    status = large.stat()
    key = f"{large.resolve()}|{16 * 2**20}|{status.st_mtime_ns}"
    assert json.loads(memory.read_text()) == {key: right["a/a.bin"]}
    written = memory.stat().st_mtime_ns, memory.stat().st_ino
    monkeypatch.setattr(hashes, "sha256_file", lambda path: "f" * 64)
    assert hash_files([large], tmp_path / "w") == {"a/a.bin": right["a/a.bin"]}
    assert (memory.stat().st_mtime_ns, memory.stat().st_ino) == written
    for damaged in ("[]", "{", json.dumps({key: 5}), json.dumps({key: "g" * 64}), '{"x": "0"}'):
        memory.write_text(damaged)
        assert hash_files([large], tmp_path / "w") == {"a/a.bin": "f" * 64}
        assert json.loads(memory.read_text())[key] == "f" * 64
    memory.unlink()
    memory.mkdir()  # a cache that cannot be written costs nothing but time
    assert hash_files([large], tmp_path / "w") == {"a/a.bin": "f" * 64}


def test_what_stands_for_a_set_of_files() -> None:
    one, two = {"a": "0", "b": "1"}, {"b": "1", "a": "0"}
    assert digest(one) == digest(two) == hashlib.sha256(b'{"a": "0", "b": "1"}').hexdigest()
    assert git_blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


def recorded(folder: Path, text: str, **where: str) -> list[Answer]:
    path = folder / "a.csv"
    path.write_text(text)
    return read_recorded_answers(path, where)


def test_recorded_answers_and_their_probabilities(tmp_path: Path) -> None:
    header = "item_id,tile,qid,answer,p_yes,p_answer\n"
    assert recorded(tmp_path, header + "a,0,1,yes,0,1\na,9,2,no, 0.5 ,\na,,3,x,1,0\n") == [
        Answer("a", 0, 1, "yes", 0.0, False, 1.0),
        Answer("a", 9, 2, "no", 0.5, False, None),
        Answer("a", 0, 3, "x", 1.0, False, 0.0),
    ]
    for row, says in (
        ("a,0,1,yes,1.01,", "row 3: p_yes '1.01' is no probability from 0 to 1"),
        ("a,0,1,yes,,-0.01", "row 3: p_answer '-0.01' is no probability"),
        ("a,0,1,yes,nan,", "row 3: p_yes 'nan' is no probability"),
        ("a,0,1,yes,x,", "row 3: p_yes 'x' is no probability"),
        ("a,10,1,yes,,", "row 3: tile 10; tiles count from 0 to 9"),
        ("a,-1,1,yes,,", "row 3: tile -1; tiles count from 0 to 9"),
        ("a,x,1,yes,,", "row 3: tile 'x' or qid '1' is not a whole number"),
        ("a,0,x,yes,,", "row 3: tile '0' or qid 'x' is not a whole number"),
        ("z,0,1,no,,", "row 3: question 1 of item z, tile 0, is answered twice: 'yes' and 'no'"),
        ("z,0,1,yes,0.2,", "row 3: question 1 of item z, tile 0, has two values of p_yes: 0.1 and"),
        ("z,0,1,yes,,0.4", "tile 0, has two values of p_answer: 0.3 and 0.4; choose rows with"),
    ):
        with pytest.raises(DataError) as raised:
            recorded(tmp_path, header + "z,0,1,yes,0.1,0.3\n" + row + "\n")
        assert says in str(raised.value)
    twice = header + "z,0,1,yes,0.1,\nz,0,1,yes,,0.3\nz,0,1,yes,0.1,\n"
    assert recorded(tmp_path, twice) == [Answer("z", 0, 1, "yes", 0.1)]


def test_rows_that_are_chosen(tmp_path: Path) -> None:
    text = "item_id,proposition_id,qid,question_id,answer,m,n\na,1,2,3,yes,x,1\nb,1,2,3,no,x,2\n"
    assert recorded(tmp_path, text, m="x", n="2") == [Answer("b", 0, 3, "no")]
    without = text.replace("question_id", "other")
    assert recorded(tmp_path, without, n="1") == [Answer("a", 0, 2, "yes")]
    with pytest.raises(UsageError, match="has no row with m=x, n=3"):
        recorded(tmp_path, text, m="x", n="3")
    with pytest.raises(UsageError, match=r"--where o: .* has no such column; it has item_id, "):
        recorded(tmp_path, text, m="x", o="3")
    with pytest.raises(DataError, match="has no column for the question's number"):
        recorded(tmp_path, "item_id,answer\na,yes\n")


def test_recorded_answers_as_lines_of_json(tmp_path: Path) -> None:
    path = put(tmp_path / "a.JSONL", *LINES, {**LINES[0], "p_yes": 0.5}, LINES[0])
    assert read_recorded_answers(path, {}) == [
        *ANSWERS, Answer("a", 0, 1, "yes", 0.5), ANSWERS[0],
    ]  # fmt: skip
    with pytest.raises(UsageError, match="JSON lines have no columns"):
        read_recorded_answers(path, {"m": "x"})
    with pytest.raises(DataError, match="does not exist; name a file"):
        read_recorded_answers(tmp_path / "gone.jsonl", {})
    for content, says in ((b" \n", "is empty"), (b"{}", "has a last line without its end")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=says):
            read_recorded_answers(path, {})
    for line, says in (
        ({**LINES[0], "tile": 10}, "line 2: tile 10; tiles count from 0 to 9"),
        ({**LINES[1], "p_yes": 0.5}, "line 2: .* two values of p_yes: 0.25 and 0.5; remove"),
    ):
        put(path, LINES[1], line)
        with pytest.raises(DataError, match=says):
            read_recorded_answers(path, {})
    put(path, {**LINES[0], "tile": 9})
    assert read_recorded_answers(path, {})[0].tile == 9
