"""SIGTERM: the batch under way is finished, nothing new is begun, the exit code is 143."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dpgbench.interrupts import TERMINATED_MESSAGE
from tests.cli.own_parts import GENERATE, ITEMS, SCORE, write_parts
from tests.cli.processes import begin, is_whole

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="finds out from /proc when a process listens"
)
DRAW = (*GENERATE, "--bench", "b.csv")


def terminate(process: subprocess.Popen[str], *, within: float = 5, times: int = 1) -> None:
    """Send SIGTERM to a command and see that it ends as it should."""
    for _ in range(times):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05 * (times > 1))
    _, err = process.communicate(timeout=within)
    assert process.returncode == 143, err
    assert err.count(TERMINATED_MESSAGE) == 1, err
    assert "Traceback" not in err


def wait_for(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def begin_a_long_grid(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start to draw, and return when the generator is at a grid that takes a minute."""
    write_parts(folder, pause=60)
    model = folder / "own_model.py"
    model.write_text(model.read_text().replace("time.sleep", "open('at it', 'w'); time.sleep"))
    process = begin(folder, (*DRAW, *words))
    wait_for((folder / "at it").exists)
    return process


def test_the_grid_under_way_is_finished_and_no_other_begun(tmp_path: Path) -> None:
    write_parts(tmp_path, pause=0.7)
    process = begin(tmp_path, DRAW)
    wait_for(lambda: list(tmp_path.glob("r/images/*")))
    time.sleep(0.2)  # the second is being drawn
    terminate(process, times=2)  # whoever passes a signal on may double it
    assert len(list(tmp_path.glob("r/images/*"))) == 2
    assert len((tmp_path / "r/images.jsonl").read_text().splitlines()) == 2
    is_whole(tmp_path / "r")
    write_parts(tmp_path)  # the rest in no time
    _, err = begin(tmp_path, DRAW).communicate(timeout=30)
    assert len(list(tmp_path.glob("r/images/*"))) == len(ITEMS), err


def test_the_tiles_under_way_are_judged_and_no_others(tmp_path: Path) -> None:
    write_parts(tmp_path)
    _, err = begin(tmp_path, DRAW).communicate(timeout=30)
    assert list(tmp_path.glob("r/images/*")), err
    write_parts(tmp_path, pause=0.7)
    process = begin(tmp_path, SCORE)
    answers = tmp_path / "r/answers"
    wait_for(lambda: [path for path in answers.glob("*") if path.stat().st_size])
    time.sleep(0.2)
    terminate(process)
    lines = next(answers.glob("*")).read_text().splitlines()
    assert len(lines) == 6  # of two tiles, three questions each
    is_whole(tmp_path / "r")


def test_a_batch_that_is_not_done_in_time_is_broken_off(tmp_path: Path) -> None:
    process = begin_a_long_grid(tmp_path, "--grace", "0.3")
    start = time.monotonic()
    terminate(process)
    assert 0.25 < time.monotonic() - start < 3.5
    assert not list(tmp_path.glob("r/images/*"))


def test_interrupts_while_sigterm_waits_end_at_once(tmp_path: Path) -> None:
    process = begin_a_long_grid(tmp_path)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert process.poll() is None  # it waits for the batch
    start = time.monotonic()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    process.communicate(timeout=3)
    assert time.monotonic() - start < 2
    assert process.returncode == 143


def test_at_any_moment_of_start_and_work(tmp_path: Path) -> None:
    moments = random.Random(5)
    for number in range(6):
        folder = tmp_path / str(number)
        write_parts(folder, pause=0.3)
        process = begin(folder, DRAW)
        time.sleep(moments.uniform(0, 1.0))
        terminate(process)
        is_whole(folder / "r")


@pytest.mark.parametrize(
    "words",
    [
        ("import time, signal, sys", "open('started', 'w').close()", "time.sleep(60)"),
        (
            "import time, signal, sys",
            "signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))",
            "open('started', 'w').close()",
            "time.sleep(60)",
        ),
        (
            "import time",
            "open('started', 'w').close()",
            "try:",
            "    time.sleep(60)",
            "except BaseException:",
            "    time.sleep(60)",
        ),
    ],
    ids=["while a model is loaded", "a library took the signal", "swallowed"],
)
def test_outside_of_a_batch_it_breaks_off(tmp_path: Path, words: tuple[str, ...]) -> None:
    write_parts(tmp_path)
    model = tmp_path / "own_model.py"
    model.write_text("\n".join(words) + "\n" + model.read_text())
    process = begin(tmp_path, DRAW)
    wait_for((tmp_path / "started").exists)
    terminate(process)


def test_a_program_that_imports_the_package_keeps_its_own_handling() -> None:
    code = (
        "import signal; before = signal.getsignal(signal.SIGTERM); import dpgbench, dpgbench.cli;"
        "print(signal.getsignal(signal.SIGTERM) is before)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "dpgbench"], capture_output=True, text=True, check=True
    )
    assert ended.stdout == "True\n"
