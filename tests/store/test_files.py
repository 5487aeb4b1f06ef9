"""Writing that survives kills, full disks and torn lines."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from dpgbench.errors import DataError, StorageError, UsageError
from dpgbench.store import hashes
from dpgbench.store.files import JsonLines, json_line, read_jsonl, write_atomic
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.paths import file_name
from dpgbench.store.run.directory import RunDir


def test_torn_last_line_is_ignored_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with JsonLines(path) as lines:
        lines.append({"n": 1}, {"n": 2})
    with path.open("ab") as file:
        file.write(b'{"n": 3')
    assert [record["n"] for record in read_jsonl(path)] == [1, 2]
    with JsonLines(path) as lines:
        lines.append({"n": 4})
    assert [record["n"] for record in read_jsonl(path)] == [1, 2, 4]


def test_a_torn_only_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"n": ' + b" " * 200_000)
    with JsonLines(path) as lines:
        lines.append({"n": 1})
    assert path.read_bytes() == b'{"n": 1}\n'


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 1}\nrubbish\n{"n": 2}\n')
    with pytest.raises(DataError, match="line 2 is not a JSON object"):
        list(read_jsonl(path))


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.json: the disk is full.*same command again"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_git_blob_id() -> None:
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_image_paths_stay_in_the_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert run.image("a1") == tmp_path / "images" / "a1.png"
    with pytest.raises(DataError):
        run.image("../a1")
    assert file_name("hf:org/re po").startswith("hf-org-re-po~")
    assert file_name("../..").startswith("unnamed~")


def test_a_run_is_for_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        RunDir(tmp_path).locked(),
        pytest.raises(UsageError, match="in use"),
        RunDir(tmp_path).locked(),
    ):
        pass
    with RunDir(tmp_path).locked():
        pass


def test_a_large_file_is_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "_WORTH_REMEMBERING_BYTES", 4)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"first")
    before = hashes.hash_files([path], tmp_path)
    status = path.stat()
    path.write_bytes(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert hashes.hash_files([path], tmp_path) == before  # size and time are the same
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
    assert hashes.hash_files([path], tmp_path) != before


def test_a_line_of_json_keeps_its_letters() -> None:
    assert json_line({"answer": "é 漢"}) == '{"answer": "é 漢"}\n'
