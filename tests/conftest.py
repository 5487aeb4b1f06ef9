"""Fixtures that all tests share: a private cache, the command line, small benchmarks."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.helpers import SHARED, Ended, Run

# The same examples each time: what a change breaks, it breaks for everyone.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.load_profile("same")

# A tenth of the tests' time went into looking for garbage after every 700 objects.
gc.set_threshold(20_000, 10, 10)

# A shell's background jobs ignore Ctrl-C; tests that send it need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files of this folder first: the longest tests of processes that run at once are there."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)


@pytest.fixture(autouse=True)
def _private_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """No test sees or changes the user's own caches, and none reaches a hub."""
    home = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DPGBENCH_CACHE", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    # Ray keeps for a process's life what it read when it was first imported: with a token for a
    # cluster of its own it could not join the clusters of later tests.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    # No test cuts the power; processes of their own, killed ones among them, wait for the disk.
    monkeypatch.setattr(os, "fsync", lambda file: None)
    yield


_MODULES_THAT_STAY: set[str] = set()  # were looked at after an earlier test: there are thousands


@pytest.fixture(autouse=True)
def _forgotten_modules(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """No test gets the classes of another's folder because its module has the same name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    written = f"{tmp_path_factory.getbasetemp()}/"
    for name in [name for name in sys.modules if name not in _MODULES_THAT_STAY]:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(written):
            del sys.modules[name]
        else:
            _MODULES_THAT_STAY.add(name)


@pytest.fixture
def shared() -> Path:
    """The folder of real data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real data (../shared) is not beside this checkout")
    return SHARED


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
