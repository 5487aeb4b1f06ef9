"""Output into a command that reads its beginning alone (`| head`) ends quietly."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.helpers import REPOSITORY


@pytest.mark.parametrize("words", [["--help"], ["score", "--help"], ["prompts", "list", "--json"]])
def test_nobody_hears_of_a_pipe_that_was_closed(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "dpgbench", *words],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")
