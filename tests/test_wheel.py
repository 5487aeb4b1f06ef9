"""What is installed from a wheel: both packages and their data."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_wheel_has_packages_and_data_and_works(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling (dev group) is not installed")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "site")
    assert "dpgbench/_data/prompts/index.csv" in names
    assert "dpgbench/_data/prompts/shapes.csv" in names
    assert "dpgbench/_data/reports/published.csv" in names
    assert "ella/_recipes/paper.toml" in names
    assert "dpgbench/jobs/make/examples.csv" in names
    embedded = ROOT / "dpgbench" / "embedded"
    listed = [line.split()[1] for line in (embedded / "SHA256SUMS").read_text().splitlines()]
    for name in ("CARD.md", "SHA256SUMS", *listed):
        assert f"dpgbench/embedded/{name}" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "dpgbench", "ella",
    }  # fmt: skip
    ended = subprocess.run(
        [sys.executable, "-m", "dpgbench", "prompts", "check", "shapes"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    where = subprocess.run(
        [sys.executable, "-c", "import dpgbench; print(dpgbench.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in where.stdout


def test_the_source_archive_has_all_that_its_readme_names(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    readme = (unpacked / "README.md").read_text(encoding="utf-8")
    linked = [name for name in re.findall(r"\]\(([^)]+)\)", readme) if "://" not in name]
    assert len(linked) > 10
    named = [*linked, "constraints.txt", "pyproject.toml", "CONTRIBUTING.md", "LICENSE", ".ci/run"]
    assert [name for name in named if not (unpacked / name).exists()] == []
    targets = re.findall(r"^make ([\w-]+)", readme, re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:  # they would run: what they need is there
        plan = subprocess.run(
            ["make", "--dry-run", target], cwd=unpacked, capture_output=True, text=True, check=False
        )
        assert plan.returncode == 0, plan.stderr
