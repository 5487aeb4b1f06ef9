"""Commands in forks of a process that has everything imported: tens of starts a second.

A fork is a process of its own, with signals and files of its own, which can be killed. Where the
library of `tests/faults/shim.c` is loaded, system calls of a fork can be made to fail.

    python -m tests.warm MODULE...    serves on stdin and stdout; `Warm` is its client
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import site
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from dpgbench import interrupts
from dpgbench.cli import _command, main
from tests.helpers import REPOSITORY, Ended
from tests.killing import kill_at_rename

KINDS = ("write", "fsync", "rename", "open", "mkdir", "flock", "truncate", "unlink")
FAILS, DONE_ALL_THE_SAME, HALF_DONE = 0, 1, 2
ALWAYS = 10**9


@dataclass(frozen=True)
class Fault:
    """System calls of one kind, on files below one folder, that fail.

    Attributes:
        kind: one of `KINDS`, or `clock`: the calendar's time goes `code` seconds on.
        code: `errno`.
        when: number of the first call that fails, from 1.
        times: how many fail.
        how: the call fails; is done and says that it failed; or is half done.
    """

    under: str
    kind: str = ""
    code: int = 0
    when: int = 0
    times: int = ALWAYS
    how: int = FAILS


class Warm:
    """A process that forks for each command; to be used in a ``with``."""

    def __init__(self, *modules: str, preload: Path | None = None) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        if preload is not None:
            environment["LD_PRELOAD"] = str(preload)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=REPOSITORY,
            env=environment,
        )

    def __enter__(self) -> Warm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def start(
        self,
        words: Sequence[object],
        folder: Path,
        fault: Fault | None = None,
        *,
        kill_at_rename: int | None = None,
    ) -> int:
        """Start a command in `folder`, killed at that rename, from 1; return its process."""
        request = {
            "words": [str(word) for word in words],
            "folder": str(folder),
            "fault": asdict(fault) if fault else None,
            "kill_at_rename": kill_at_rename,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._reply())

    def wait(self) -> Ended:
        """Return how the command that was started has ended; a signal's number is negative."""
        reply = self._reply()
        return Ended(reply["code"], reply["out"], reply["err"])

    def run(self, words: Sequence[object], folder: Path, fault: Fault | None = None) -> Ended:
        """Run a command to its end."""
        self.start(words, folder, fault)
        return self.wait()

    def count(self, words: Sequence[object], folder: Path, under: Path) -> dict[str, int]:
        """Run a command, which must end well, and return how many calls of each kind it made."""
        self.start(words, folder, Fault(str(under)))
        reply = self._reply()
        assert reply["code"] == 0, reply["err"]
        return dict(reply["counts"])

    def _reply(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return json.loads(line)


def serve(modules: Sequence[str]) -> None:
    """Fork for each request, a line of JSON; reply with its process, then with how it ended."""
    for module in modules:
        importlib.import_module(module)
    _command()
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        request = json.loads(line)
        files = [_nameless_file() for _ in ("out", "err", "counts")]
        process = os.fork()
        if process == 0:
            _become_command(request, files)
        replies.write(f"{process}\n")
        _, status = os.waitpid(process, 0)
        texts = []
        for file in files:
            os.lseek(file, 0, os.SEEK_SET)
            with os.fdopen(file, "rb") as content:
                texts.append(content.read().decode("utf-8", "replace"))
        reply = {
            "code": os.waitstatus_to_exitcode(status),
            "out": texts[0],
            "err": texts[1],
            "counts": json.loads(texts[2] or "null"),
        }
        replies.write(json.dumps(reply) + "\n")


def _nameless_file() -> int:
    """Return a file that goes with whoever has it open."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _become_command(request: Mapping[str, Any], files: Sequence[int]) -> None:
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(files[0], 1)
    os.dup2(files[1], 2)
    code = 70
    try:
        os.chdir(request["folder"])
        site.addsitedir(request["folder"])  # as `python -m` has it
        sys.argv = ["dpgbench", *request["words"]]
        sys.dont_write_bytecode = True  # its renames are not ours
        interrupts.install()
        if request["kill_at_rename"]:
            kill_at_rename(request["kill_at_rename"])
        if request["fault"]:
            _set(Fault(**request["fault"]))
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        if request["fault"]:
            os.write(files[2], json.dumps(_counts()).encode())
    except BaseException:  # noqa: BLE001 - a fork must never go on as what it was forked from
        traceback.print_exc()
    finally:
        os._exit(code)


def _set(fault: Fault) -> None:
    library = ctypes.CDLL(None)
    if fault.kind == "clock":
        library.fault_clock(ctypes.c_long(fault.when), ctypes.c_long(fault.code))
        return
    library.fault_set(
        fault.under.encode(),
        fault.kind.encode(),
        ctypes.c_int(fault.code),
        ctypes.c_long(fault.when),
        ctypes.c_long(fault.times),
        ctypes.c_int(fault.how),
    )


def _counts() -> dict[str, int]:
    library = ctypes.CDLL(None)
    library.fault_count.restype = ctypes.c_long
    return {kind: library.fault_count(kind.encode()) for kind in KINDS}


if __name__ == "__main__":
    serve(sys.argv[1:])
