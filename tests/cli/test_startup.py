"""`dpgbench --help` must be instant: nothing heavy is imported for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    *("torch", "pandas", "diffusers", "transformers", "numpy", "PIL", "modelscope"),
    *("jinja2", "tqdm", "safetensors", "huggingface_hub", "accelerate"),
)
PROGRAM = """
import sys
sys.argv = ["dpgbench", *{words!r}]
from dpgbench.cli import main
try:
    main()
except SystemExit as stop:
    code = stop.code
print("CODE", code, "LOADED", sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["generate", "--help"], ["score", "--help"], ["prompts", "--help"],
     ["report", "--help"], ["models"], ["judges"]],
    ids=" ".join,
)  # fmt: skip
def test_nothing_heavy_is_imported(words: list[str], tmp_path: Path) -> None:
    program = PROGRAM.format(words=words, heavy=HEAVY)
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "CODE 0 LOADED []" in ended.stderr, ended.stderr


def test_the_package_itself_is_light(tmp_path: Path) -> None:
    program = (
        "import sys, dpgbench, ella; dpgbench.DpgBenchError; ella.__all__;"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"
