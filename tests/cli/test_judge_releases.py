"""The releases that decide what a judge sees stand in its record, and a change of them is said."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

from PIL import Image

from tests.helpers import Run, row, write_csv


def test_releases_stand_in_the_record_of_the_judge(run: Run, tmp_path: Path) -> None:
    bench = write_csv(tmp_path / "b.csv", [row("a", 1), row("b", 1)])
    (tmp_path / "pictures").mkdir()
    for item in "ab":
        Image.effect_noise((8, 8), 50).save(tmp_path / f"pictures/{item}.png")
    words = ["score", "pictures", "--bench", bench, "--judge", "tests.cli.own_judges:MeanColor"]
    words += ["--out", "r", "--items"]
    assert run(*words, "a").code == 0
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    (record,) = manifest["judges"].values()
    assert record["releases"]["pillow"] == metadata.version("pillow")
    assert record["releases"].keys() >= {"pillow", "torch", "transformers"}
    record["releases"]["pillow"] = "9.5.0"
    (tmp_path / "r/manifest.json").write_text(json.dumps(manifest))
    again = run(*words, "b")
    assert again.code == 0
    assert 'pillow: "9.5.0" ->' in again.err
    (record,) = json.loads((tmp_path / "r/manifest.json").read_text())["judges"].values()
    assert record["releases"]["pillow"] == "9.5.0"
    del manifest["judges"][next(iter(manifest["judges"]))]["releases"]  # of an earlier version
    (tmp_path / "r/manifest.json").write_text(json.dumps(manifest))
    assert run(*words, "a").code == 0
    (record,) = json.loads((tmp_path / "r/manifest.json").read_text())["judges"].values()
    assert "releases" not in record
