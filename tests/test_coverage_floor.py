"""`scripts/coverage_floor.py`: a package below the floor fails, whatever the other has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import coverage_floor


def measured(path: Path, **missing: int) -> str:
    """A file as SlipCover writes it: 100 lines a package, so many of them not executed."""
    files = {
        f"{package}/code.py": {
            "executed_lines": list(range(100 - number)),
            "missing_lines": list(range(number)),
        }
        for package, number in missing.items()
    }
    path.write_text(json.dumps({"files": files}))
    return str(path)


@pytest.mark.parametrize(
    ("missing", "code"),
    [({"dpgbench": 10, "ella": 0}, 0), ({"dpgbench": 0, "ella": 11}, 1)],
)
def test_each_package_has_the_floor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: dict[str, int], code: int
) -> None:
    assert coverage_floor.main([measured(tmp_path / "coverage.json", **missing)]) == code
    out, err = capsys.readouterr()
    assert f"dpgbench: tests execute {100 - missing['dpgbench']}.0% of 100 lines" in out
    assert err == ("error: below 90%: ella\n" if code else "")


def test_a_package_that_was_not_measured_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file of ella"):
        coverage_floor.main([measured(tmp_path / "coverage.json", dpgbench=0)])
