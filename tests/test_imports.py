"""Every module can be the first that a program imports: no circle waits for another order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "diffusers", "pandas", "httpx2", "typer", "jinja2", "PIL.Image")


def modules() -> list[str]:
    """The modules of dpgbench's layers; what stands alone is left to the import rules."""
    files = (ROOT / "dpgbench").rglob("*.py")
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in sorted(files)]
    alone = ("dpgbench.mplug", "dpgbench.shapes", "dpgbench.__main__")
    return [n.removesuffix(".__init__") for n in names if not n.startswith(alone)]


_ALONE = """
import importlib, os, sys
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
        except BaseException as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
            os._exit(1)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_every_module_can_be_imported_first() -> None:
    heavy = f"import {', '.join(HEAVY)}\n"  # once; what is tried is our own modules' order
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", heavy + _ALONE, *modules()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert len(modules()) > 100
