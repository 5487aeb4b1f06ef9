"""What a reader sees while a file or a folder is replaced, and lines that are no answers."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from dpgbench.errors import DataError, StorageError
from dpgbench.store.files import (
    locked_folder,
    mended,
    read_json,
    replace_folder,
    write_atomic,
    write_json,
)
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import Manifest, open_manifest, read_manifest


def test_a_file_is_replaced_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")
    with path.open() as reader:
        write_atomic(path, "new")
        assert reader.read() == "old"  # what was open is another file
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_write_that_fails_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_atomic(path, "old")

    def refuse(self: Path, target: Path) -> Path:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(StorageError, match=r"a\.txt: Permission denied; what was written before"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_reader_in_another_thread_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [0] * 20_000)
    done = threading.Event()
    seen: list[set[int]] = []

    def read() -> None:
        while not done.is_set():
            content = read_json(path)
            assert len(content) == 20_000
            seen.append(set(content))

    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            read()
        except BaseException as error:  # noqa: BLE001 - the test raises it again
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    for number in range(1, 30):
        write_json(path, [number] * 20_000)
    done.set()
    thread.join()
    assert not failed
    assert seen and all(len(values) == 1 for values in seen)


def test_the_part_of_a_write_lies_where_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[Path] = []
    real = Path.replace

    def watch(self: Path, target: Path) -> Path:
        places.append(self.parent)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    write_atomic(tmp_path / "inner" / "a.txt", "x", scratch=tmp_path)
    write_atomic(tmp_path / "inner" / "b.txt", "x")
    assert places == [tmp_path, tmp_path / "inner"]


def test_a_switch_of_folders_that_fails_brings_the_old_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "dpg"
    with locked_folder(target):
        replace_folder(target, {"prompts/a.txt": b"old"})
    real, calls = Path.rename, []

    def second_fails(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(self, other)

    monkeypatch.setattr(Path, "rename", second_fails)
    with locked_folder(target), pytest.raises(StorageError):
        replace_folder(target, {"prompts/a.txt": b"new", "b.csv": b"new"})
    assert len(calls) == 3
    assert (target / "prompts/a.txt").read_bytes() == b"old"
    assert not (target / "b.csv").exists()
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["dpg"]


GOOD = {"item_id": "a", "tile": 0, "qid": 1, "answer": "yes"}


@pytest.mark.parametrize(
    "line",
    [
        {"item_id": 5},
        {"item_id": "a"},
        {"item_id": "a", "tile": 0, "qid": 1},
        {**GOOD, "item_id": 5},
        {**GOOD, "tile": "0"},
        {**GOOD, "tile": True},
        {**GOOD, "qid": 1.0},
        {**GOOD, "qid": None},
        {**GOOD, "answer": True},
        {**GOOD, "p_yes": "0.5"},
        {**GOOD, "p_yes": 1.01},
        {**GOOD, "p_yes": -0.01},
        {**GOOD, "p_yes": True},
    ],
)
def test_a_line_that_is_no_answer_is_named(tmp_path: Path, line: dict[str, object]) -> None:
    run = RunDir(tmp_path)
    path = run.answers("j")
    path.parent.mkdir()
    path.write_text("".join(json.dumps(record) + "\n" for record in (GOOD, line)))
    with pytest.raises(DataError, match=r"line 2 is not an answer \(item_id, tile, qid, answer\)"):
        read_answer_file(run.answers("j"))


def test_lines_that_are_answers(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    path = run.answers("j")
    path.parent.mkdir()
    lines = [{**GOOD, "qid": 3, "p_yes": 0}, {**GOOD, "qid": 2, "p_yes": 1.0, "invalid": True}]
    path.write_text("".join(json.dumps(record) + "\n" for record in lines))
    first, second = read_answer_file(run.answers("j"))
    assert (first.qid, first.p_yes, first.invalid) == (3, 0, False)
    assert (second.qid, second.p_yes, second.invalid) == (2, 1.0, True)


def manifest(**fields: object) -> Manifest:
    values: dict[str, object] = {
        "kind": "answers",
        "model": "m",
        "identity": {"a": 1},
        "items": ["x"],
        "benchmark": {},
        "num_images": 1,
    }
    return Manifest(**{**values, **fields})  # type: ignore[arg-type]


def test_when_a_run_was_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDir(tmp_path)
    times = iter(["2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"])
    monkeypatch.setattr("dpgbench.store.run.manifest.now", lambda: next(times))
    manifest().write(run.manifest)
    again = open_manifest(run.manifest, manifest())
    again.write(run.manifest)
    assert read_manifest(run.manifest).created == "2026-01-01T00:00:00+00:00"


def test_json_is_on_disk_before_the_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[object] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(handle: int) -> None:
        order.append(os.fstat(handle).st_size)
        real_sync(handle)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(
        Path, "replace", lambda self, other: (order.append("name"), real_replace(self, other))[1]
    )
    write_json(tmp_path / "a.json", {"a": 1})
    assert order == [len('{\n "a": 1\n}\n'), "name"]  # whole by then


def test_a_folder_that_nobody_made_is_not_locked_to_be_mended(tmp_path: Path) -> None:
    assert mended(tmp_path / "cache" / "dpg") == tmp_path / "cache" / "dpg"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "dpg").mkdir()
    (tmp_path / ".dpg-old-x").mkdir()
    mended(tmp_path / "dpg")  # a reader leaves what another process may be about to remove
    assert sorted(p.name for p in tmp_path.iterdir()) == [".dpg-old-x", "dpg"]


def test_old_files_whose_switch_was_done_are_swept_by_the_next_writer(tmp_path: Path) -> None:
    target = tmp_path / "dpg"
    target.mkdir()
    (target / "a.csv").write_text("new")
    old = tmp_path / ".dpg-old-x"
    old.mkdir()
    (old / "a.csv").write_text("old")
    with locked_folder(target):
        assert sorted(p.name for p in tmp_path.iterdir()) == [".dpg.lock", "dpg"]
    assert (target / "a.csv").read_text() == "new"
    with locked_folder(target):
        replace_folder(target, {"b.csv": b"newest"})
    assert sorted(p.name for p in tmp_path.iterdir()) == [".dpg.lock", "dpg"]
    assert [p.name for p in target.iterdir()] == ["b.csv"]
