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


# A module that is imported brings others. Those there before need none of these, or they would have
# brought them: so only what comes together can wait for each other. Of that each is tried first.
_EACH_FIRST = """
import importlib, os, sys

def attempt(name):
    try:
        importlib.import_module(name)
    except BaseException as error:
        print(f"{name}: {type(error).__name__}: {error}", flush=True)
        return False
    return True

def forget(names):
    for name in names:
        del sys.modules[name]
        package, _, attribute = name.rpartition(".")
        vars(sys.modules.get(package, os)).pop(attribute, None)

for name in sys.argv[1:]:
    before = {*sys.modules}
    if name in before or not attempt(name):
        continue
    together = [new for new in sys.modules if new not in before and new.startswith("dpgbench")]
    for other in together:
        if other != name:
            child = os.fork()
            if not child:
                forget(together)
                os._exit(not attempt(other))
            os.waitpid(child, 0)
print(len(before), "tried", file=sys.stderr)
"""
LAYERS = ("errors", "interrupts", "embedded", "domain", "store", "backends", "analysis", "engine",
          "jobs", "report", "server", "api", "cli")  # fmt: skip


def layer(module: str) -> int:
    """Return how far up a module is; from below, few come together."""
    part = (module + ".").split(".")[1]
    return LAYERS.index(part) if part in LAYERS else -1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_every_module_can_be_imported_first() -> None:
    heavy = f"import {', '.join(HEAVY)}\n"  # once; what is tried is our own modules' order
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", heavy + _EACH_FIRST, *sorted(modules(), key=layer)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "tried" in done.stderr
    assert done.stdout == ""
    assert len(modules()) > 100
