"""What can happen to a run's folder: two writers, dead locks, copies, moves, power cuts, mounts."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dpgbench.errors import StorageError
from dpgbench.store.hashes import git_blob_id
from dpgbench.store.pull import Upstream, pull
from tests.cli.own_parts import GENERATE, ITEMS, write_parts
from tests.cli.processes import begin, content
from tests.faults.commands import DRAW, is_one_line, is_whole, judge, prepare
from tests.helpers import REPOSITORY, json_lines, row, run_process, write_csv
from tests.warm import ALWAYS, DONE_ALL_THE_SAME, Fault, Warm

LOCKED = (*GENERATE, "--bench", "b.csv")


def wait_for_grids(folder: Path, number: int = 1) -> None:
    deadline = time.monotonic() + 30
    while len(list(folder.glob("images/*"))) < number:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_two_writers_on_one_machine(warm: Warm, tmp_path: Path) -> None:
    write_parts(tmp_path, pause=3)  # nothing but sleep, and not to its end
    first = begin(tmp_path, LOCKED)
    wait_for_grids(tmp_path / "r")
    second = warm.run(DRAW, tmp_path)
    first.terminate()
    assert end(first)[0] == 143
    is_one_line(second, 2)
    assert f"in use by process {first.pid} on {os.uname().nodename}" in second.error


def test_two_writers_where_the_file_system_keeps_no_locks(warm: Warm, tmp_path: Path) -> None:
    write_parts(tmp_path, pause=2.25)
    nothing = Fault(str(tmp_path), "flock", 0, 1, ALWAYS, DONE_ALL_THE_SAME)
    warm.start(DRAW, tmp_path, nothing)
    wait_for_grids(tmp_path / "r")
    write_parts(tmp_path)  # the second is quick
    second = begin(tmp_path, LOCKED)
    first = warm.wait()
    is_one_line(first, 6)
    assert f"process {second.pid} on" in first.error or "another process works" in first.error
    code, err = end(second)
    assert code == 0, err
    is_whole(tmp_path / "r")
    assert sorted({line["item_id"] for line in json_lines(tmp_path / "r/images.jsonl")}) == [*ITEMS]
    assert not (tmp_path / "r/.owner").exists()


def test_a_lock_that_is_only_a_file(warm: Warm, tmp_path: Path) -> None:
    write_parts(tmp_path)
    no_locks = Fault(str(tmp_path), "flock", errno.ENOSYS, 1)
    ended = warm.run(DRAW, tmp_path, no_locks)
    assert ended.code == 0, ended.err
    assert not (tmp_path / "r/.lock").exists()
    (tmp_path / "r/.lock").write_text("4711\nnode7\n")  # killed on another machine
    ended = warm.run(DRAW, tmp_path, no_locks)
    is_one_line(ended, 2)
    assert ended.error.endswith("if it is dead, remove r/.lock")
    (tmp_path / "r/.lock").write_text(f"{dead_process()}\n{os.uname().nodename}\n")
    ended = warm.run(DRAW, tmp_path, no_locks)
    assert ended.code == 0, ended.err


def dead_process() -> int:
    with subprocess.Popen(["true"]) as process:
        pass
    return process.pid


def test_the_lock_and_owner_that_a_kill_left_are_nobodys(
    warm: Warm, undisturbed: Path, tmp_path: Path
) -> None:
    write_parts(tmp_path, pause=0.3)
    process = warm.start(DRAW, tmp_path)
    wait_for_grids(tmp_path / "r")
    os.kill(process, signal.SIGKILL)
    assert warm.wait().code == -signal.SIGKILL
    owner = tmp_path / "r/.owner"
    assert json.loads(owner.read_text())["process"] == process
    owner.write_text(json.dumps({"host": "node7", "process": 1, "token": "x"}))
    ended = warm.run(DRAW, tmp_path)
    assert ended.code == 0, ended.err
    name = "images.jsonl"
    assert content(tmp_path / "r")[name] == content(undisturbed / "drawn/r")[name]


def test_a_copy_made_while_it_was_written_goes_on(
    warm: Warm, undisturbed: Path, tmp_path: Path
) -> None:
    write_parts(tmp_path, pause=0.2)
    warm.start(DRAW, tmp_path)
    wait_for_grids(tmp_path / "r", 2)
    shutil.copytree(tmp_path / "r", tmp_path / "copy")  # with its lock and its owner
    assert warm.wait().code == 0
    copy = tmp_path / "copy"
    with (copy / "images.jsonl").open("ab") as log:
        log.write(b'{"item_id": "b')  # torn, as rsync may see it
    (copy / "images/b1.png").write_bytes((tmp_path / "r/images/b1.png").read_bytes()[:80])
    words = ["copy" if word == "r" else word for word in DRAW]
    ended = warm.run(words, tmp_path)
    assert ended.code == 0, ended.err
    assert content(copy) == content(tmp_path / "r")
    shutil.rmtree(copy / "images")  # and one without its images can be scored again
    scored = prepare(tmp_path / "s", undisturbed, "score")
    assert warm.run(scored, tmp_path / "s").code == 0
    shutil.rmtree(tmp_path / "s/r/images")
    again = warm.run((*scored, "--partial"), tmp_path / "s")
    assert again.code == 0, again.err


@pytest.mark.parametrize("command", ["generate", "score"])
def test_a_run_that_is_moved_while_it_is_written(
    warm: Warm, undisturbed: Path, tmp_path: Path, command: str
) -> None:
    write_parts(tmp_path)
    if command == "score":
        assert warm.run(DRAW, tmp_path).code == 0
    write_parts(tmp_path, pause=0.4)
    words = DRAW if command == "generate" else judge(undisturbed / "drawn")
    warm.start(words, tmp_path)
    if command == "generate":
        wait_for_grids(tmp_path / "r")
    else:
        answers = tmp_path / "r/answers"
        while not (answers.is_dir() and any(path.stat().st_size for path in answers.iterdir())):
            time.sleep(0.01)
    (tmp_path / "r").rename(tmp_path / "moved")
    ended = warm.wait()
    is_one_line(ended, 6)
    assert "moved" in ended.error
    assert not (tmp_path / "r").exists()  # no second run that has the other half
    is_whole(tmp_path / "moved")
    write_parts(tmp_path)
    ended = warm.run(["moved" if word == "r" else word for word in words], tmp_path)
    assert ended.code == 0, ended.err
    other = content(undisturbed / ("drawn/r" if command == "generate" else "scored/r"))
    name = next(n for n in other if n.endswith(("dsg.json", "images.jsonl")[command == "generate"]))
    assert content(tmp_path / "moved")[name] == other[name]


def test_lines_that_a_power_cut_has_zeroed(warm: Warm, undisturbed: Path, tmp_path: Path) -> None:
    words = prepare(tmp_path / "a", undisturbed, "score")
    folder = tmp_path / "a"
    assert warm.run(words, folder).code == 0
    answers = next((folder / "r/answers").iterdir())
    for path in (answers, folder / "r/images.jsonl"):
        data = path.read_bytes()
        lines = data.splitlines(keepends=True)
        start = len(lines[0])
        hole = b"\0" * (len(lines[1]) + 10)  # a line, and the beginning of the next
        path.write_bytes(data[:start] + hole + data[start + len(hole) :] + b"\0" * 50)
    ended = warm.run([word for word in words if word != "-q"], folder)
    assert ended.code == 0, ended.err
    assert ended.err.count("as a power cut leaves them") == 2
    drawn = (*GENERATE, "--bench", str(undisturbed / "drawn/b.csv"))
    assert warm.run(drawn, folder).code == 0
    got, good = content(folder / "r"), content(undisturbed / "scored/r")
    assert {n: v for n, v in got.items() if "scores" in n} == {
        n: v for n, v in good.items() if "scores" in n
    }
    assert sorted(answers.read_bytes().splitlines()) == sorted(
        good[answers.relative_to(folder / "r").as_posix()].splitlines()
    )
    assert {line["item_id"] for line in got["images.jsonl"]} == {*ITEMS}


def test_an_empty_manifest(warm: Warm, undisturbed: Path, tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"\0" * 300)):
        folder = tmp_path / str(number)
        words = prepare(folder, undisturbed, "score")
        (folder / "r/manifest.json").write_bytes(data)
        for command in (words, (*GENERATE, "--bench", str(undisturbed / "drawn/b.csv"))):
            ended = warm.run(command, folder)
            is_one_line(ended, 3)
            assert "manifest.json is empty" in ended.error
        assert len(list((folder / "r/images").iterdir())) == len(ITEMS)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount: 'sudo make test' tries it")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("command", ["generate", "score", "report"])
def test_a_disk_that_is_really_full(
    warm: Warm, undisturbed: Path, mount: Path, command: str
) -> None:
    for room in (2, 10):
        folder = mount / str(room)
        words = prepare(folder, undisturbed, command)
        ballast = mount / "ballast"
        free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
        ballast.write_bytes(b"x" * max(0, free - room * 4096))
        ended = warm.run(words, folder)
        if ended.code:
            is_one_line(ended, 6)
            assert "the disk is full" in ended.error
        else:
            assert room > 2
        is_whole(folder / "r")
        ballast.unlink()
        ended = warm.run(words, folder)
        assert ended.code == 0, ended.err
        assert content(folder / "r") == content(
            undisturbed / ("drawn/r" if command == "generate" else "scored/r")
        )
        shutil.rmtree(folder)


def test_a_disk_that_fills_up_while_a_benchmark_is_pulled(mount: Path, tmp_path: Path) -> None:
    """Its old files are there as they were, and with room the same call goes on."""
    texts = {f"p{number}": f"prompt {number} ".encode() * 500 for number in range(40)}
    source, target = tmp_path / "dpg_bench", mount / "cache/dpg"
    (source / "prompts").mkdir(parents=True)
    for name, text in texts.items():
        (source / f"prompts/{name}.txt").write_bytes(text)
    upstream = Upstream("http://127.0.0.1:9/none", git_blob_id(b""), blobs_of(texts))
    few = {name: texts[name] for name in ("p0", "p1")}
    first = Upstream(upstream.url, upstream.questions_blob, blobs_of(few))
    (tmp_path / "few/prompts").mkdir(parents=True)
    for name, text in few.items():
        (tmp_path / f"few/prompts/{name}.txt").write_bytes(text)
    pull(str(tmp_path / "few"), target, first)
    before = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    free = os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize
    for room in (1, 3, 20):
        ballast = mount / "ballast"
        ballast.write_bytes(b"x" * max(0, free - room * 4096))
        with pytest.raises(StorageError, match="the disk is full"):
            pull(str(source), target, upstream)
        ballast.unlink()
        after = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
        assert after == before
        assert [path.name for path in target.parent.iterdir() if "-new-" in path.name] == []
    assert pull(str(source), target, upstream).num_prompts == 40


def test_prompts_pull_on_a_disk_that_is_too_small(mount: Path, tmp_path: Path) -> None:
    source = REPOSITORY.parent / "shared/data/dpg_bench"
    if not source.is_dir():
        pytest.skip("../shared is not there: it has the real prompts")
    words = ("prompts", "pull", "--from", source)
    small = {**os.environ, "DPGBENCH_CACHE": str(mount / "cache")}
    ended = run_process(*words, cwd=tmp_path, env=small)
    assert ended.returncode == 6, ended.stderr
    assert "the disk is full" in ended.stderr
    assert len([ln for ln in ended.stderr.splitlines() if ln.startswith("error: ")]) == 1
    assert "Traceback" not in ended.stderr
    assert not (mount / "cache/benchmarks/dpg").exists()
    ended = run_process(*words, cwd=tmp_path, env={**small, "DPGBENCH_CACHE": str(tmp_path / "c")})
    assert ended.returncode == 0, ended.stderr


def blobs_of(texts: dict[str, bytes]) -> dict[str, str]:
    return {name: git_blob_id(text) for name, text in texts.items()}


def test_a_file_system_that_is_really_read_only(warm: Warm, undisturbed: Path, mount: Path) -> None:
    for command in ("generate", "score", "report"):
        words = prepare(mount / command, undisturbed, command)
        subprocess.run(["mount", "-o", "remount,ro", str(mount)], check=True)
        try:
            ended = warm.run(words, mount / command)
            is_one_line(ended, 6)
            assert "Read-only file system" in ended.error
            if command == "report":  # a run can be read all the same
                other = mount.parent / "rep"
                assert warm.run(("report", "r", "--out", other), mount / command).code == 0
        finally:
            subprocess.run(["mount", "-o", "remount,rw", str(mount)], check=True)
        assert warm.run(words, mount / command).code == 0
        shutil.rmtree(mount / command)


def test_a_file_system_that_ignores_capitals(warm: Warm, tmp_path: Path) -> None:
    write_parts(tmp_path)
    write_csv(tmp_path / "b.csv", [row(item, 1) for item in ("a1", "A1")])
    assert warm.run((*DRAW, "--limit", 1), tmp_path).code == 0
    (tmp_path / "r/.LOCK").symlink_to(".lock")  # as such a file system answers
    ended = warm.run(DRAW, tmp_path)
    is_one_line(ended, 2)
    assert "items a1 and A1 would be one file" in ended.error
    (tmp_path / "r/.LOCK").unlink()
    assert warm.run(DRAW, tmp_path).code == 0
