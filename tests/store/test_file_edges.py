"""Files at the edges: odd disks, odd ends of files, who may sweep what, what is tried again.

Each test here takes milliseconds. What an operating system answers is played where a sound disk
never answers so.
"""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest

from dpgbench.errors import DataError, StorageError, UsageError
from dpgbench.store.files import (
    PART,
    JsonLines,
    drop_zeroed_lines,
    is_alive,
    json_line,
    json_text,
    locked_folder,
    mended,
    parse_json,
    read_foreign_jsonl,
    read_json,
    read_jsonl,
    replace_folder,
    replacing,
    sweep_parts,
    utf8,
    write_atomic,
    write_json,
    writing,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited; none really are."""
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    return waited


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Make renames of files answer with errors first; one that is "done" happened none the less."""
    real = Path.replace

    def plan(*codes: int, done: bool = False) -> None:
        left = list(codes)

        def replace(part: Path, path: Path) -> Path:
            if left:
                code = left.pop(0)
                if done:
                    real(part, path)
                raise OSError(code, os.strerror(code))
            return real(part, path)

        monkeypatch.setattr(Path, "replace", replace)

    return plan


def test_what_to_do_about_each_refusal() -> None:
    remedies = {
        errno.ENOSPC: "the disk is full; what was written before is kept: make room or",
        errno.EDQUOT: "the disk is full; what was written before is kept: make room or",
        errno.EFBIG: "the disk is full; what was written before is kept: make room or",
        errno.EROFS: "Read-only file system; what was written before is kept: make it writable or",
        errno.EACCES: "Permission denied; what was written before is kept: make it writable or",
        errno.EPERM: "what was written before is kept: make it writable or choose another folder",
        errno.ENOENT: "what was written before is kept: name the folder where it is now, if it",
        errno.EIO: "what was written before is kept: mend the disk or choose another folder",
    }
    for code, says in remedies.items():
        with pytest.raises(StorageError) as raised, writing(Path("a.txt")):
            raise OSError(code, os.strerror(code))
        assert f"cannot write a.txt: {os.strerror(code)};" in str(raised.value) or "full" in says
        assert says in str(raised.value)
        assert str(raised.value).endswith(", then run the same command again")
    with (
        pytest.raises(StorageError, match=r"cannot write a\.txt: gone wrong; "),
        writing(Path("a.txt")),
    ):
        raise OSError("gone wrong")


def test_a_new_file_has_its_folders_and_everybody_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "one/two/a.txt"
    write_atomic(path, "é\ud800")
    assert path.read_bytes() == b"\xc3\xa9?" == utf8("é\ud800")
    assert path.stat().st_mode & 0o7777 == 0o644
    open_files = Path("/proc/self/fd")
    before = len(names(open_files)) if open_files.is_dir() else 0
    for _ in range(5):
        write_atomic(path, b"\xff")
    assert path.read_bytes() == b"\xff"
    assert before == (len(names(open_files)) if before else 0)
    inner = tmp_path / "three/four/b.json"
    write_json(inner, {"é": [1]}, scratch=tmp_path)
    assert inner.read_bytes() == '{\n "é": [\n  1\n ]\n}\n'.encode()
    assert json_text({"é": [1]}) == inner.read_text()
    assert names(tmp_path) == ["one", "three"]
    with pytest.raises(ValueError):
        json_text([float("inf")])
    with pytest.raises(StorageError, match="name the folder where it is now"):
        write_atomic(tmp_path / "five/a.txt", "x", scratch=tmp_path / "five")
    assert not (tmp_path / "five").exists()  # a run that was moved away is not begun anew


def test_an_error_while_writing_is_the_writers_own(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(KeyError), replacing(path) as part:
        assert part.parent == tmp_path
        assert part.name.startswith(PART)
        part.unlink()
        raise KeyError("x")
    with pytest.raises(KeyError), replacing(path) as part:
        raise KeyError("x")
    assert names(tmp_path) == []


def test_a_disk_that_cannot_sync_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(code: int) -> None:
        def sync(handle: int) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", sync)

    for code in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
        answer(code)
        write_atomic(tmp_path / "a.txt", str(code))
        assert (tmp_path / "a.txt").read_text() == str(code)
    answer(errno.EIO)
    with pytest.raises(StorageError, match="mend the disk"):
        write_atomic(tmp_path / "a.txt", "new")
    with pytest.raises(StorageError, match="mend the disk"), JsonLines(tmp_path / "b.jsonl") as log:
        log.append({"n": 1})
    assert log._file.closed
    with pytest.raises(KeyError), JsonLines(tmp_path / "b.jsonl") as log:  # the first error counts
        log.append({"n": 2})
        raise KeyError("x")
    assert log._file.closed
    assert read_jsonl(tmp_path / "b.jsonl") == [{"n": 1}, {"n": 2}]


def test_what_a_network_disk_answers_in_passing_is_tried_again(
    tmp_path: Path, refuse: Callable[..., None], pauses: list[float]
) -> None:
    path = tmp_path / "a.txt"
    passing = (errno.ESTALE, errno.EBUSY, errno.EAGAIN)
    refuse(*passing)
    write_atomic(path, "third time")
    assert (path.read_text(), pauses) == ("third time", [0.1, 0.4, 1.5])
    refuse(*passing, errno.ETIMEDOUT)
    with pytest.raises(StorageError, match=r"a\.txt: .*timed out"):
        write_atomic(path, "never")
    assert (path.read_text(), pauses[3:]) == ("third time", [0.1, 0.4, 1.5])
    refuse(errno.EACCES)
    with pytest.raises(StorageError, match="Permission denied"):
        write_atomic(path, "refused")
    refuse(errno.ENOENT, done=True)  # its first answer, that it was done, was lost
    write_atomic(path, "done")
    assert (path.read_text(), len(pauses)) == ("done", 6)
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_on_another_disk_gets_a_copy(
    tmp_path: Path, refuse: Callable[..., None], pauses: list[float]
) -> None:
    path = tmp_path / "images/a.png"
    refuse(errno.EXDEV)
    write_atomic(path, "picture", scratch=tmp_path)
    assert path.read_text() == "picture"
    assert path.stat().st_mode & 0o7777 == 0o644
    assert (names(tmp_path), names(path.parent)) == (["images"], ["a.png"])
    for code, scratch in ((errno.EXDEV, path.parent), (errno.EACCES, tmp_path)):
        refuse(code)
        with pytest.raises(StorageError):
            write_atomic(path, "other", scratch=scratch)
        assert path.read_text() == "picture"
    assert (names(tmp_path), names(path.parent), pauses) == (["images"], ["a.png"], [])


def test_whose_parts_are_swept(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as part:
        ours = part.name
    machine, process = ours.removeprefix(PART).split("-")[:2]
    assert process == str(os.getpid())
    child = subprocess.Popen(["true"])
    child.wait()
    day = 24 * 3600
    ages = {
        f"{PART}{machine}-{os.getpid()}-x": 2 * day,
        f"{PART}{machine}-{child.pid}-x": 0,
        f"{PART}{machine}-name-x": 0,
        f"{PART}{machine}-name-y": 2 * day,
        f"{PART}0badcafe-{child.pid}-x": day - 15,
        f"{PART}0badcafe-{child.pid}-y": day + 15,
        f"{PART}0badcafe-{os.getpid()}-z": day + 15,
        "other": 2 * day,
    }
    now = time.time()
    for name, age in ages.items():
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (now - age, now - age))
    (tmp_path / f"{PART}folder").mkdir()  # cannot be unlinked
    os.utime(tmp_path / f"{PART}folder", (0, 0))
    sweep_parts(tmp_path)
    left = {
        f"{PART}{machine}-{os.getpid()}-x", f"{PART}{machine}-name-x",
        f"{PART}0badcafe-{child.pid}-x", f"{PART}folder", "a.txt", "other",
    }  # fmt: skip
    assert set(names(tmp_path)) == left
    sweep_parts(tmp_path, all_=True)
    assert set(names(tmp_path)) == {f"{PART}folder", "a.txt", "other"}


def test_the_next_write_sweeps_what_a_killed_one_left(tmp_path: Path) -> None:
    left = tmp_path / f"{PART}0badcafe-1-x"
    for target, scratch in (("a.txt", None), ("inner/a.txt", tmp_path)):
        left.write_text("")
        os.utime(left, (0, 0))
        write_atomic(tmp_path / target, "x", scratch=scratch)
        assert not left.exists()


def test_a_process_that_may_not_be_asked_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_alive(os.getpid()) is True
    child = subprocess.Popen(["true"])
    child.wait()
    assert is_alive(child.pid) is False

    def forbidden(process: int, signal: int) -> None:
        assert (process, signal) == (1, 0)
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "kill", forbidden)
    assert is_alive(1) is True


def test_json_that_is_read_can_be_written_again(tmp_path: Path) -> None:
    assert parse_json(rb'{"a": "\ud83d\ude00"}') == {"a": "\N{GRINNING FACE}"}
    assert parse_json(rb'["x\uD800y", "\udfff"]') == ["x?y", "?"]
    assert parse_json(rb'["\u00e9", 1e300, -0.5]') == ["é", 1e300, -0.5]
    for bad in (b"1e999", b"[-1e400]", b"NaN", b'{"a": Infinity}', b"[" * 5000 + b"]" * 5000):
        with pytest.raises(ValueError):
            parse_json(bad)
    path = tmp_path / "a.json"
    for nothing in (b"", b"\0\0\0\n", b" \n"):
        path.write_bytes(nothing)
        with pytest.raises(DataError, match=r"a\.json is empty, as a power cut"):
            read_json(path)
    path.write_bytes(b"\0{}")
    with pytest.raises(DataError, match="is not valid JSON"):
        read_json(path)
    path.write_bytes(b" [1]\n")
    assert read_json(path) == [1]
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_json(tmp_path)


def test_when_lines_are_checked_and_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, checks, syncs = [100.0], [], []
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(os, "fsync", lambda handle: syncs.append(clock[0]))
    path = tmp_path / "one/two/a.jsonl"
    with JsonLines(
        path, check=lambda: checks.append(clock[0]), sync_seconds=2, check_seconds=1
    ) as log:
        for moment in (100.5, 101.0, 101.9, 102.0, 102.5, 103.9, 104.0):
            clock[0] = moment
            log.append({"at": moment}, {"é": 1})
            assert path.read_text().endswith(json_line({"at": moment}) + '{"é": 1}\n')
        assert checks == [101.0, 102.0, 103.9]
        assert syncs == [102.0, 104.0]
        log.append()
    assert syncs == [102.0, 104.0]  # nothing new at the end
    with JsonLines(path):
        pass
    assert syncs == [102.0, 104.0]
    with JsonLines(path) as log:
        log.append({"n": 1})
        log.append()
        assert syncs == [102.0, 104.0]
    assert syncs == [102.0, 104.0, 104.0]
    assert len(read_jsonl(path)) == 15


def test_lines_that_the_disk_takes_piece_by_piece_are_whole(tmp_path: Path) -> None:
    taken = []

    class Slow:
        def write(self, data: bytes) -> int:
            taken.append(bytes(data[:3]))
            return len(taken[-1])

    with JsonLines(tmp_path / "a.jsonl") as log:
        real, log._file = log._file, Slow()  # type: ignore[assignment]
        log.append({"n": 1}, {"n": 2})
        log._file = real
    assert b"".join(taken) == b'{"n": 1}\n{"n": 2}\n'


def test_only_what_comes_after_the_last_line_end_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    long = b'{"n": "' + b"x" * 140_000 + b'"}\n'
    for whole, torn in (
        (b"", b""), (b"", b"{"), (b"", b"x" * 140_000), (b"{}\n", b""), (b"{}\n", b"{"),
        (long, b""), (long, b"x" * 65_535), (b"{}\n", b"x" * 65_536), (long, b"x" * 140_000),
        (b"\n", b"x"), (b"\n\n", b""),
    ):  # fmt: skip
        path.write_bytes(whole + torn)
        with JsonLines(path):
            assert path.read_bytes() == whole


def test_lines_of_zeros_are_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert drop_zeroed_lines(path, scratch=tmp_path) == 0
    for before, number, after in (
        (b'{"n": 1}\n', 0, b'{"n": 1}\n'),
        (b'{"n": 1}\n\0\0\n{"n": 2}\n', 1, b'{"n": 1}\n{"n": 2}\n'),
        (b'\0\n{"n": 1}\n\0{"n": 2}\n', 2, b'{"n": 1}\n'),
        (b'\0\n{"n": 1', 1, b""),
        (b'{"n": 1}\n\0\0', 0, b'{"n": 1}\n\0\0'),  # a torn end is for who appends next
        (b'{"n": "\0"}\n{"n"', 0, b'{"n": "\0"}\n{"n"'),
    ):
        path.write_bytes(before)
        assert (drop_zeroed_lines(path, scratch=tmp_path), path.read_bytes()) == (number, after)


def test_objects_of_lines_and_nothing_that_is_one_over_several(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert read_jsonl(path) == []
    mark = b"\xef\xbb\xbf"
    path.write_bytes(mark + b'{"a": 1}\n {"b": 2} \n{"c"')
    assert read_jsonl(path) == [{"a": 1}, {"b": 2}]
    path.write_bytes(b'{"a": 1}\n{"b": {}}\n')
    assert read_jsonl(path) == [{"a": 1}, {"b": {}}]
    for content, number in (
        (b'{"a": 1}, {"b": 2}\n', 1),
        (b'{"a": 1\n"b": 2}, {"c": 3}\n', 1),
        (b'{"a": 1}\n{"b": 2}, {"c": 3}\n', 2),
        (b'{"a": 1}\n[{"b": 2}]\n', 2),
        (b'{"a": 1}\n\n', 2),
        (b'{"a": 1}\n{"b": 1e999}\n', 2),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"line {number} is not a JSON object"):
            read_jsonl(path)
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_jsonl(tmp_path)


def test_lines_of_others_may_lack_the_last_end(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n \r\n{"b": 2}')
    assert read_foreign_jsonl(path) == [{"a": 1}, {"b": 2}]
    path.write_bytes(b'{"a": 1}\n\n5')
    with pytest.raises(DataError, match="line 3 is not a JSON object"):
        read_foreign_jsonl(path)
    for nowhere in (tmp_path / "gone.jsonl", tmp_path):
        with pytest.raises(DataError, match="cannot be read: "):
            read_foreign_jsonl(nowhere)


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "cache/here/dpg"
    for content in ("old", "new"):
        with locked_folder(target):
            replace_folder(target, {f"a/b/{n}.txt": content.encode() for n in (content, "x")})
        assert names(target / "a/b") == sorted([f"{content}.txt", "x.txt"])
        assert target.stat().st_mode & 0o7777 == 0o755
        assert names(target.parent) == [".dpg.lock", "dpg"]
    (target.parent / ".dpg-old-x").mkdir()
    (target.parent / ".dpg.lock").unlink()
    assert mended(target) == target  # who reads leaves alone what another may be removing
    assert names(target.parent) == [".dpg-old-x", "dpg"]


def test_a_first_switch_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, other: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as once:
        once.setattr(Path, "rename", full)
        with pytest.raises(StorageError, match="the disk is full"), locked_folder(tmp_path / "dpg"):
            replace_folder(tmp_path / "dpg", {"a.txt": b"x"})
    assert names(tmp_path) == [".dpg.lock"]
    real, calls = Path.rename, []

    def full_at(number: int) -> None:
        calls.clear()

        def rename(self: Path, other: Path) -> Path:
            calls.append(self)
            return full(self, other) if len(calls) == number else real(self, other)

        monkeypatch.setattr(Path, "rename", rename)

    full_at(1)
    with pytest.raises(StorageError, match="the disk is full"), locked_folder(tmp_path / "dpg"):
        replace_folder(tmp_path / "dpg", {"a.txt": b"x"})
    assert names(tmp_path) == [".dpg.lock"]
    with locked_folder(tmp_path / "dpg"):
        replace_folder(tmp_path / "dpg", {"a.txt": b"old"})
        for number in (1, 2):
            full_at(number)
            with pytest.raises(StorageError, match="the disk is full"):
                replace_folder(tmp_path / "dpg", {"a.txt": b"new"})
            assert (tmp_path / "dpg/a.txt").read_bytes() == b"old"
            assert names(tmp_path) == [".dpg.lock", "dpg"]


def test_a_killed_switch_is_mended(tmp_path: Path) -> None:
    target = tmp_path / "dpg"
    for name in (".dpg-old-1", ".dpg-old-2", ".dpg-new-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
    (tmp_path / ".dpg-new-2").write_text("no folder, and no obstacle")
    assert mended(target) == target
    assert (target / "a.txt").read_text() == ".dpg-old-1"
    assert names(tmp_path) == [".dpg-new-2", ".dpg.lock", "dpg"]


def test_a_folder_that_another_holds_is_refused_at_once(
    tmp_path: Path, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "dpg"
    real, locks = filelock.FileLock, []

    def lock(path: Path) -> filelock.BaseFileLock:
        locks.append(real(path))  # kept, so that only a release gives them back
        return locks[-1]

    monkeypatch.setattr(filelock, "FileLock", lock)
    refused = pytest.raises(UsageError, match="dpg is being written by another process")
    with locked_folder(target), refused, locked_folder(target):
        pass
    assert pauses == []
    (tmp_path / ".dpg-old-x").mkdir()
    with locked_folder(target):
        assert names(target) == []
