"""The commands that faults are tried on, and what they must leave."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from tests.cli.own_parts import GENERATE, SCORE, write_parts
from tests.helpers import Ended

DRAW = (*GENERATE, "--bench", "b.csv", "-q")
MODULES = (
    "PIL.Image", "PIL.PngImagePlugin", "PIL.JpegImagePlugin", "filelock", "numpy", "pandas", "tqdm",
    "zoneinfo", "dpgbench.backends.generators.own_class",
    "dpgbench.backends.generators.image_checks", "dpgbench.cli.generate", "dpgbench.cli.report",
    "dpgbench.cli.score", "dpgbench.jobs.find_target", "dpgbench.jobs.generate",
    "dpgbench.jobs.merge.run", "dpgbench.jobs.score", "dpgbench.jobs.verify.run", "dpgbench.report",
    "tests.faults.page_templates",
)  # fmt: skip


def judge(made: Path) -> tuple[str, ...]:
    """Return the command that scores a run of the benchmark in `made`."""
    return (*SCORE, "--bench", str(made / "b.csv"), "-q")


def prepare(folder: Path, undisturbed: Path, command: str) -> tuple[str, ...]:
    """Make `folder` what a command starts from, and return the command."""
    if command == "generate":
        write_parts(folder)
        return (*GENERATE, "--bench", str(undisturbed / "drawn/b.csv"), "-q")
    shutil.copytree(undisturbed / "drawn", folder)
    if command == "score":
        return judge(undisturbed / "drawn")
    shutil.rmtree(folder)
    shutil.copytree(undisturbed / "scored", folder)
    return ("report", "r", "--out", "rep", "-q")


def is_one_line(ended: Ended, code: int) -> None:
    """See that a command ended with `code` and one line that tells why."""
    assert ended.code == code, ended.err
    assert ended.error.isprintable()


def is_whole(run: Path) -> None:
    """See that all that is in a run can be read: what is there is there as a whole."""
    for path in run.glob("images/*.png"):
        Image.open(path).load()
    for path in (*run.glob("manifest.json"), *run.glob("scores/*/*.json")):
        json.loads(path.read_bytes())
