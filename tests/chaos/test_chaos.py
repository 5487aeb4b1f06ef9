"""Runs of the embedded models that are killed at random moments, for half a minute."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.chaos.disturb import Chaos, Cold, run_chaos
from tests.chaos.warm_modules import MODULES
from tests.warm import Warm

# SIGTERM and Ctrl-C beside kills: what they leave must hold as well.
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def test_runs_that_are_killed_are_as_undisturbed_ones(tmp_path: Path) -> None:
    with Warm(*MODULES) as warm:
        chaos = Chaos(warm, num_items=2, max_ends=3, signals=SIGNALS)
        figures = run_chaos(chaos, tmp_path, runs=2, seed=7)
    assert figures.runs == 2
    assert sum(figures.ends.values()) > 4  # two commands each, and some that were ended


@pytest.mark.slow
def test_processes_as_a_user_starts_them(tmp_path: Path) -> None:
    assert run_chaos(Chaos(Cold(), num_items=3), tmp_path, runs=2, seed=7).runs == 2
