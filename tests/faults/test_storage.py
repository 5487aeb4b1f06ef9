"""A disk that is full, read-only or broken at any call: one line, nothing lost, it goes on."""

from __future__ import annotations

import errno
import random
import shutil
from pathlib import Path

import pytest

from tests.cli.processes import content
from tests.faults.commands import is_one_line, is_whole, prepare
from tests.helpers import json_lines
from tests.warm import ALWAYS, DONE_ALL_THE_SAME, HALF_DONE, Fault, Warm

COMMANDS = ("generate", "score", "report")
LASTING = [
    ("write", errno.ENOSPC), ("write", errno.EIO), ("fsync", errno.EIO), ("rename", errno.EIO),
    ("rename", errno.EROFS), ("open", errno.EROFS), ("open", errno.EACCES), ("mkdir", errno.ENOSPC),
]  # fmt: skip
NUM_TRIED = {"generate": 1, "score": 1, "report": 1}  # of each kind; the slow test tries all


def result(folder: Path, command: str) -> dict[str, object]:
    return content(folder / ("rep" if command == "report" else "r"))


def wanted(undisturbed: Path, warm: Warm, command: str) -> dict[str, object]:
    """Return what an undisturbed command leaves."""
    folder = undisturbed / ("drawn" if command == "generate" else "scored")
    if command == "report" and not (folder / "rep").exists():
        assert warm.run(("report", "r", "--out", "rep", "-q"), folder).code == 0
    return result(folder, command)


def check_lasting(
    warm: Warm, undisturbed: Path, tmp_path: Path, command: str, faults: list[tuple[str, int, int]]
) -> None:
    good = wanted(undisturbed, warm, command)
    for number, (kind, code, when) in enumerate(faults):
        folder = tmp_path / str(number)
        words = prepare(folder, undisturbed, command)
        before = {path: path.read_bytes() for path in folder.rglob("images/*")}
        how = HALF_DONE if kind == "write" and when % 2 else 0
        ended = warm.run(words, folder, Fault(str(folder), kind, code, when, ALWAYS, how))
        if ended.code:
            is_one_line(ended, 6)
        is_whole(folder / "r")
        assert all(path.read_bytes() == data for path, data in before.items())
        again = warm.run(words, folder)
        assert again.code == 0, again.err
        assert result(folder, command) == good, (kind, code, when)
        shutil.rmtree(folder)


def calls(warm: Warm, undisturbed: Path, folder: Path, command: str) -> dict[str, int]:
    return warm.count(prepare(folder, undisturbed, command), folder, folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_fails_from_some_call_on(
    warm: Warm, undisturbed: Path, tmp_path: Path, command: str
) -> None:
    numbers = calls(warm, undisturbed, tmp_path / "count", command)
    chosen = random.Random(command)
    faults = [
        (kind, code, when)
        for kind, code in LASTING
        for when in sorted(
            chosen.sample(range(1, numbers[kind] + 1), min(numbers[kind], NUM_TRIED[command]))
        )
    ]
    assert len(faults) >= len(LASTING) * NUM_TRIED[command] - 2
    check_lasting(warm, undisturbed, tmp_path, command, faults)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_disk_that_fails_from_any_call_on(
    warm: Warm, undisturbed: Path, tmp_path: Path, command: str
) -> None:
    numbers = calls(warm, undisturbed, tmp_path / "count", command)
    faults = [(kind, code, when) for kind, code in LASTING for when in range(1, numbers[kind] + 1)]
    check_lasting(warm, undisturbed, tmp_path, command, faults)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_only_a_network_file_system_answers(
    warm: Warm, undisturbed: Path, tmp_path: Path, command: str
) -> None:
    good = wanted(undisturbed, warm, command)
    numbers = calls(warm, undisturbed, tmp_path / "count", command)
    last = numbers["rename"]
    cases = [
        Fault("", "rename", errno.ENOENT, 1, ALWAYS, DONE_ALL_THE_SAME),  # each answer was lost
        Fault("", "rename", errno.ESTALE, last, 2),
        Fault("", "rename", errno.EBUSY, 1, 1),
        Fault("", "fsync", errno.EINVAL, 1),  # it has none
        Fault("", "unlink", errno.EBUSY, 1),  # open on another machine
    ]
    for number, case in enumerate(cases):
        folder = tmp_path / str(number)
        words = prepare(folder, undisturbed, command)
        fault = Fault(str(folder), case.kind, case.code, case.when, case.times, case.how)
        ended = warm.run(words, folder, fault)
        assert ended.code == 0, ended.err
        # What could not be removed is hidden, and goes when the run is next worked in.
        got = {name: data for name, data in result(folder, command).items() if name[0] != "."}
        assert got == good, case


def test_the_parts_of_a_run_on_disks_of_their_own(
    warm: Warm, undisturbed: Path, tmp_path: Path
) -> None:
    """A rename between disks fails: `images` and `answers` may be links to another one."""
    folder, elsewhere = tmp_path / "a", Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("/dev/shm is no disk of its own")
    words = prepare(folder, undisturbed, "generate")
    other = elsewhere / f"dpgbench-{tmp_path.name}"
    other.mkdir()
    try:
        assert warm.run(words, folder).code == 0
        shutil.rmtree(folder / "r/images")
        (folder / "r/images").symlink_to(other)
        ended = warm.run(words, folder)
        assert ended.code == 0, ended.err
        grids = {path.name: path.read_bytes() for path in other.iterdir()}
    finally:
        shutil.rmtree(other)
    images = (undisturbed / "drawn/r/images").iterdir()
    assert grids == {path.name: path.read_bytes() for path in images}
    assert not list(folder.rglob(".part-*"))


def test_a_calendar_that_goes_back(warm: Warm, undisturbed: Path, tmp_path: Path) -> None:
    year = 365 * 24 * 3600
    for command in COMMANDS:
        folder = tmp_path / command
        words = prepare(folder, undisturbed, command)
        for shift in (-year, -2 * year):
            ended = warm.run(words, folder, Fault(str(folder), "clock", shift, when=20))
            assert ended.code == 0, ended.err
        assert result(folder, command) == wanted(undisturbed, warm, command)
        lines = json_lines(folder / "r/images.jsonl")
        assert all((line["seconds"] or 0) >= 0 for line in lines)
