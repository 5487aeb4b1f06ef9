"""Fixtures that all tests share: a private cache, the command line, small benchmarks."""

from __future__ import annotations

import csv
import io
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from dpgbench.domain.benchmark import COLUMNS

# The same examples each time: what a change breaks, it breaks for everyone.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

# A shell's background jobs ignore Ctrl-C; tests that send it need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _private_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """No test sees or changes the user's own caches, and none reaches a hub."""
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DPGBENCH_CACHE", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    yield


@pytest.fixture
def shared() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real data (../shared) is not beside this checkout")
    return SHARED


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that tells the error."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


Run = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Ended:
        from dpgbench.cli import main

        monkeypatch.setattr(sys, "argv", ["dpgbench", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        return Ended(int(stop.value.code or 0), out, err)

    return call


def run_process(*words: object, cwd: Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "dpgbench", *map(str, words)],
        cwd=cwd,
        text=True,
        capture_output=True,
        check=False,
        **options,  # type: ignore[call-overload]
    )


def row(item: str, qid: object, dependency: str = "0", **cells: str) -> dict[str, str]:
    """Return one row of a benchmark file."""
    return {
        "item_id": item,
        "text": f"a prompt for {item}",
        "keywords": "",
        "proposition_id": str(qid),
        "dependency": dependency,
        "category_broad": "entity",
        "category_detailed": "whole",
        "tuple": f"entity - whole (thing {qid})",
        "question_natural_language": f"Is there thing {qid}?",
        **cells,
    }


def csv_text(rows: Sequence[dict[str, str]], columns: Sequence[str] = COLUMNS) -> str:
    """Return rows as CSV with a header."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def write_csv(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write a benchmark file and return its path."""
    path.write_text(csv_text(rows), encoding="utf-8")
    return path


def answers_csv(path: Path, answers: Sequence[tuple[str, int, int, str]]) -> Path:
    """Write recorded answers (item, tile, question, answer) and return their path."""
    lines = ["item_id,tile,question_id,answer"]
    lines += [f"{item},{tile},{qid},{answer}" for item, tile, qid, answer in answers]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
