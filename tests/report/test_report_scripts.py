"""The page's scripts under Node, without a page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dpgbench.report import review
from dpgbench.report.page.render import SCRIPTS
from dpgbench.store.paths import data_folder

NODE = shutil.which("node")
TESTS = sorted((Path(__file__).parent / "scripts").glob("*.test.mjs"))


@pytest.mark.skipif(NODE is None, reason="no Node on this machine")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_scripts_do_what_they_say(path: Path) -> None:
    assert NODE is not None
    done = subprocess.run([NODE, "--test", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]


def test_every_script_is_in_the_page_and_small() -> None:
    folder = data_folder("reports")
    assert {path.name for path in folder.glob("*.js")} == set(SCRIPTS)
    of_review = {f"review/{path.name}" for path in folder.glob("review/*.js")}
    assert of_review <= set(review.SCRIPTS) <= of_review | set(SCRIPTS)
    for name in (*SCRIPTS, *of_review):
        text = (folder / name).read_text(encoding="utf-8")
        assert text.startswith("// ")
        assert "innerHTML" not in text
        assert "eval(" not in text
        assert len(text.splitlines()) <= 300
