"""Run folders: where everything lies, which runs are found, what their lines must be."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError
from dpgbench.store.files import (
    PART,
    JsonLines,
    json_text,
    parse_json,
    read_json,
    read_jsonl,
    sweep_parts,
    write_json,
)
from dpgbench.store.hashes import sha256_file
from dpgbench.store.paths import file_name
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import (
    RunDir,
    default_run,
    find_runs,
    is_run,
    newest_run,
    runs_by_age,
)
from dpgbench.store.run.image_log import read_image_log
from dpgbench.store.run.manifest import old_names


def made(folder: Path, scored: bool = True, when: int = 0, **record: Any) -> RunDir:
    run = RunDir(folder)
    write_json(run.manifest, record)
    if when:
        os.utime(run.manifest, (when, when))
    if scored:
        write_json(run.scores("j", "dsg"), {})
    return run


def test_where_things_lie(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    places = {
        run.manifest: "manifest.json",
        run.images: "images",
        run.images_log: "images.jsonl",
        run.image("a1"): "images/a1.png",
        run.answers("mplug"): "answers/mplug.jsonl",
        run.scores("mplug", "dsg"): "scores/mplug/dsg.json",
        run.scores("mplug", "dsg", "@0123"): "scores/mplug/dsg@0123.json",
        run.item_scores("mplug", "dsg"): "scores/mplug/dsg.items.csv",
        run.item_scores("mplug", "dsg", "@0123"): "scores/mplug/dsg@0123.items.csv",
    }
    assert {path.relative_to(run.path).as_posix(): text for path, text in places.items()} == {
        text: text for text in places.values()
    }
    assert run.name == "r"
    # golden: a judge's name with a mark keeps its file
    assert file_name("mplug:first-token") == "mplug-first-token~7c3e8e55"
    assert run.answers("hf:Org/Model").name == "hf-Org-Model~728e909f.jsonl"
    assert file_name("a" * 64) == "a" * 64
    assert file_name("a" * 65) == "a" * 40 + "~635361c4"
    assert file_name("con.x") == "_con.x~9c23cea3"


def test_result_files_in_order_and_no_others(tmp_path: Path) -> None:
    run = made(tmp_path / "r")
    write_json(run.scores("a", "dsg"), {})
    write_json(run.scores("j", "corrected-v1"), {})
    (run.path / "scores/j/.hidden.json").write_text("")
    (run.path / "scores/j/dsg.items.csv").write_text("")
    names = [path.relative_to(run.path / "scores").as_posix() for path in run.score_files()]
    assert names == ["a/dsg.json", "j/corrected-v1.json", "j/dsg.json"]


def test_runs_that_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for find in (newest_run, runs_by_age):
        with pytest.raises(UsageError, match="no run under runs/"):
            find()
    with pytest.raises(UsageError, match="no scored run under runs/"):
        find_runs([])
    made(Path("runs/c"), when=1000)
    made(Path("runs/a"), when=3000, scored=False)
    made(Path("runs/b"), when=2000)
    (tmp_path / "runs/empty").mkdir()
    assert [run.name for run in runs_by_age()] == ["c", "b", "a"]
    assert newest_run().name == "a"
    assert [run.name for run in find_runs([])] == ["b", "c"]
    assert [run.name for run in find_runs([Path("runs/a"), Path("runs/c")])] == ["a", "c"]
    assert is_run(Path("runs/a"))
    assert not is_run(Path("runs/empty"))
    with pytest.raises(DataError, match="runs/x is not there"):
        find_runs([Path("runs/a"), Path("runs/x")])
    with pytest.raises(UsageError, match="runs/empty is not a run"):
        find_runs([Path("runs/empty")])


def test_the_run_of_a_model_that_was_given_none(tmp_path: Path) -> None:
    assert default_run("m", "0123", tmp_path) == RunDir(tmp_path / "m-0123")
    new = tmp_path / f"{file_name('a/b')}-0123"
    assert default_run("a/b", "0123", tmp_path).path == new
    made(tmp_path / "a-b-0123", model="a:b")
    assert default_run("a/b", "0123", tmp_path).path == new  # another model's
    made(tmp_path / "a-b-0123", model="a/b")
    assert default_run("a/b", "0123", tmp_path).path == tmp_path / "a-b-0123"
    made(new, model="a/b")
    assert default_run("a/b", "0123", tmp_path).path == new


def test_old_names_are_the_first_ones(tmp_path: Path) -> None:
    assert old_names(["mplug", "a:b", "a/b", "A:B"]) == {"a:b": "a-b"}
    assert old_names(["x" * 150 + ":y"]) == {"x" * 150 + ":y": "x" * 150 + "-y"}
    assert old_names(["x" * 197 + ":y"]) == {"x" * 197 + ":y": "x" * 197 + "-y"}
    assert old_names(["x" * 198 + ":y"]) == {}
    assert old_names([("x" * 200) + ":"]) == {}


def lines(run: RunDir, *records: Any) -> RunDir:
    run.path.mkdir(exist_ok=True)
    run.images_log.write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


IMAGE = {"item_id": "a", "sha256": None, "error": "x", "seconds": 1}


def test_records_of_images(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert read_image_log(run.images_log) == {}
    later = {"item_id": "a", "sha256": "0", "error": None}
    assert read_image_log(lines(run, IMAGE, {"item_id": "b"}, later).images_log) == {
        "a": later,
        "b": {"item_id": "b"},
    }
    for wrong in ({}, {**IMAGE, "item_id": 5}, {**IMAGE, "sha256": 5}, {**IMAGE, "error": 5}):
        with pytest.raises(DataError, match="line 2 is not a record of an image"):
            read_image_log(lines(run, IMAGE, wrong).images_log)


def test_contradicting_answers_are_named(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.answers("j").parent.mkdir()
    one = {"item_id": "a", "tile": 0, "qid": 1, "answer": "yes"}

    def put(*records: Any) -> list[Answer]:
        text = "".join(json.dumps(record) + "\n" for record in records)
        run.answers("j").write_text(text)
        return read_answer_file(run.answers("j"))

    apart = [one, {**one, "tile": 1, "answer": "no"}, {**one, "qid": 2, "answer": "no"}]
    apart.append({**one, "item_id": "b", "answer": "no"})
    assert [answer.answer for answer in put(*apart, one)] == ["yes", "no", "no", "no", "yes"]
    for other in ({**one, "answer": "no"}, {**one, "invalid": True}):
        with pytest.raises(DataError, match="lines 1 and 5 contradict each other: item a tile 0"):
            put(*apart, other)


def test_a_run_is_held_by_one_and_swept(tmp_path: Path) -> None:
    run = made(tmp_path / "r")
    left = [run.path / place / f"{PART}x" for place in ("", "images", "answers", "scores/j")]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    with run.locked():
        assert not any(path.exists() for path in left)
        with pytest.raises(UsageError, match=r"is in use by process \d+ on "), run.locked():
            pass
    with run.locked():
        pass
    fresh = RunDir(tmp_path / "deep" / "fresh")
    with fresh.locked():
        assert fresh.path.is_dir()


def test_old_parts_of_other_machines_are_swept(tmp_path: Path) -> None:
    old, young = tmp_path / f"{PART}00000000-1-a", tmp_path / f"{PART}00000000-1-b"
    strange = tmp_path / f"{PART}x"
    for path in (old, young, strange):
        path.write_text("")
    past = young.stat().st_mtime - 25 * 3600
    os.utime(old, (past, past))
    os.utime(young, (past + 2 * 3600, past + 2 * 3600))
    sweep_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([young.name, strange.name])
    sweep_parts(tmp_path, all_=True)
    assert not list(tmp_path.iterdir())


def test_json_text(tmp_path: Path) -> None:
    assert json_text({"b": [1, "é"], "a": None}) == '{\n "b": [\n  1,\n  "é"\n ],\n "a": null\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        json_text(float("nan"))
    assert parse_json('{"a": ["é", 1.5, null]}'.encode()) == {"a": ["é", 1.5, None]}
    for bad in (b"{", b"NaN", b"[Infinity]", b"-Infinity", b"\xff", b"[" * 100_000):
        with pytest.raises(ValueError):
            parse_json(bad)
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match="is missing; is this a run directory"):
        read_json(path)
    path.write_text("{")
    with pytest.raises(DataError, match="is not valid JSON"):
        read_json(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_json(tmp_path)


@pytest.mark.parametrize("size", [0, 10, 65_530, 65_536, 65_540, 200_000])
def test_a_torn_line_of_any_length_is_cut(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.jsonl"
    whole = b'{"n": 1}\n{"n": "' + b"y" * 70_000 + b'"}\n'
    path.write_bytes(whole + b"x" * size)
    assert len(list(read_jsonl(path))) == 2
    with JsonLines(path) as log:
        log.append({"n": 3}, {"n": 4})
        log.append()
    assert path.read_bytes() == whole + b'{"n": 3}\n{"n": 4}\n'


def test_a_part_of_a_line_is_a_full_disk(tmp_path: Path) -> None:
    from dpgbench.errors import StorageError

    class Half:
        def write(self, data: bytes) -> int:
            return len(data) // 2

        def fileno(self) -> int:
            return read

        def close(self) -> None: ...

    read, write = os.pipe()  # which cannot be synced
    os.close(write)
    with JsonLines(tmp_path / "a.jsonl") as log:
        log._file.close()
        log._file = Half()  # type: ignore[assignment]
        with pytest.raises(StorageError, match="the disk is full"):
            log.append({"n": 1})


def test_lines_that_are_no_objects_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert list(read_jsonl(path)) == []
    for bad in ("[1]", "5", "", "{"):
        path.write_text(f'{{"n": 1}}\n{bad}\n')
        with pytest.raises(DataError, match="line 2 is not a JSON object"):
            list(read_jsonl(path))


def test_a_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1_000_003)
    assert sha256_file(path) == hashlib.sha256(b"x" * 1_000_003).hexdigest()


@pytest.mark.parametrize("text", [None, "{", "[]", "5", "{}", '{"judges": 5}', '{"judges": {}}'])
def test_a_manifest_that_tells_nothing_leaves_names_as_they_are(
    tmp_path: Path, text: str | None
) -> None:
    run = RunDir(tmp_path)
    if text is not None:
        run.manifest.write_text(text)
    assert run.answers("a:b").name == f"{file_name('a:b')}.jsonl"
    assert run.answers("mplug").name == "mplug.jsonl"
