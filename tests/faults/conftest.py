"""A process that forks commands whose system calls can be made to fail, and runs to try it on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.own_parts import write_parts
from tests.faults.commands import DRAW, MODULES, judge
from tests.warm import Warm


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that has what commands import, and in whose forks system calls can fail."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler: 'apt-get install gcc libc6-dev' gets one")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    with Warm(*MODULES, preload=library) as process:
        yield process


@pytest.fixture(scope="session")
def undisturbed(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `drawn`, a run after `generate`, and `scored`, the same after `score`."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_parts(folder / "drawn")
    assert warm.run(DRAW, folder / "drawn").code == 0
    shutil.copytree(folder / "drawn", folder / "scored")
    assert warm.run(judge(folder / "drawn"), folder / "scored").code == 0
    return folder
