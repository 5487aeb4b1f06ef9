"""Ctrl-C ends a command with 130, within seconds, with one line, at whatever moment it comes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dpgbench.interrupts import MESSAGE
from tests.cli.own_parts import GENERATE, ITEMS, SCORE, write_parts
from tests.cli.processes import begin, is_whole

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="finds out from /proc when a process listens"
)
WITHIN_SECONDS = 5


def interrupt(process: subprocess.Popen[str], *, after: float, times: int = 1) -> str:
    """Send Ctrl-C to a command, see that it ends as it should, and return its stderr."""
    time.sleep(after)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.01 * (times > 1))
    _, err = process.communicate(timeout=WITHIN_SECONDS)
    assert process.returncode == 130, err
    assert err.count(MESSAGE) == 1, err
    assert "Traceback" not in err
    assert "ignored" not in err
    return err


def test_at_any_moment_of_start_and_work(tmp_path: Path) -> None:
    moments = random.Random(7)
    for number in range(12):
        folder = tmp_path / str(number)
        write_parts(folder, pause=1.5)
        process = begin(folder, (*GENERATE, "--bench", "b.csv"))
        interrupt(process, after=moments.uniform(0, 1.0))
        is_whole(folder / "r")


def test_what_was_done_is_kept_and_gone_on_with(tmp_path: Path) -> None:
    write_parts(tmp_path, pause=0.3)
    process = begin(tmp_path, (*GENERATE, "--bench", "b.csv"))
    while not list(tmp_path.glob("r/images/*")):
        time.sleep(0.01)
    interrupt(process, after=0)
    drawn = len(list(tmp_path.glob("r/images/*")))
    assert 0 < drawn < len(ITEMS)
    _, err = begin(tmp_path, (*GENERATE, "--bench", "b.csv")).communicate(timeout=20)
    assert len(list(tmp_path.glob("r/images/*"))) == len(ITEMS), err
    process = begin(tmp_path, SCORE)
    while not list(tmp_path.glob("r/answers/*")):
        time.sleep(0.01)
    interrupt(process, after=0.1)
    is_whole(tmp_path / "r")


@pytest.mark.parametrize(
    "swallowing",
    [
        "try:\n    time.sleep(60)\nexcept BaseException:\n    pass\ntime.sleep(60)",
        "try:\n    time.sleep(60)\nexcept BaseException:\n    raise RuntimeError('failed')",
        "class Sleepy:\n    def __del__(self): time.sleep(60)\nSleepy()\ntime.sleep(60)",
        "import threading\nthreading.Thread(target=time.sleep, args=(60,)).start()\ntime.sleep(60)",
    ],
    ids=["swallowed", "turned into an error", "in a destructor", "with a thread at work"],
)
def test_an_interrupt_that_a_library_swallows_counts(tmp_path: Path, swallowing: str) -> None:
    write_parts(tmp_path)
    started = "open('started', 'w').close()\n"
    model = tmp_path / "own_model.py"
    model.write_text("import time\n" + started + swallowing + "\n" + model.read_text())
    process = begin(tmp_path, (*GENERATE, "--bench", "b.csv"))
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    interrupt(process, after=0.1)


def test_a_second_interrupt_ends_at_once(tmp_path: Path) -> None:
    write_parts(tmp_path)
    slow_end = "import time\ntry:\n    time.sleep(60)\nfinally:\n    time.sleep(60)\n"
    (tmp_path / "own_model.py").write_text("open('started', 'w').close()\n" + slow_end)
    process = begin(tmp_path, (*GENERATE, "--bench", "b.csv"))
    while not (tmp_path / "started").exists():
        time.sleep(0.01)
    start = time.monotonic()
    interrupt(process, after=0.05, times=2)
    assert time.monotonic() - start < 2


def test_an_interrupt_while_the_interpreter_shuts_down(tmp_path: Path) -> None:
    write_parts(tmp_path)
    model = tmp_path / "own_model.py"
    late = (
        "import atexit, time\n"
        "def late():\n    open('late', 'w').close()\n    time.sleep(60)\n"
        "atexit.register(late)\n"
    )
    model.write_text(late + model.read_text())
    process = begin(tmp_path, (*GENERATE, "--bench", "b.csv"))
    while not (tmp_path / "late").exists():
        time.sleep(0.01)
    interrupt(process, after=0.05)


def test_a_program_that_imports_the_package_keeps_its_own_handling(tmp_path: Path) -> None:
    code = (
        "import signal; before = signal.getsignal(signal.SIGINT); import dpgbench, dpgbench.cli;"
        "print(signal.getsignal(signal.SIGINT) is before)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "dpgbench"], capture_output=True, text=True, check=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert ended.stdout == "True\n"


@pytest.mark.slow
def test_fifty_interrupts_while_networks_are_imported_and_work(tmp_path: Path) -> None:
    moments = random.Random(11)
    words = ("generate", "--model", "tiny-sd15", "--bench", "shapes", "--limit", "40")
    for number in range(50):
        process = begin(tmp_path, (*words, "--out", f"r{number}"))
        interrupt(process, after=moments.uniform(0, 6))
        is_whole(tmp_path / f"r{number}")
