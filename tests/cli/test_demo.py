"""`dpgbench demo`: the whole path, offline."""

from __future__ import annotations

import json
from pathlib import Path

from tests.helpers import Run


def test_demo(run: Run, tmp_path: Path) -> None:
    ended = run("demo", "--limit", 3)
    assert ended.code == 0, ended.err
    assert "mean nothing" not in ended.err
    assert "Loading" not in ended.err  # bars of other libraries
    page = Path(ended.out.strip().splitlines()[-1].removeprefix("report: "))
    html = page.read_text()
    assert "tiny-sd15" in html
    assert "tiny-ella-sd15" in html
    for model in ("tiny-sd15", "tiny-ella-sd15"):
        result = json.loads(
            (tmp_path / f"runs/demo/{model}/scores/tiny-mplug/corrected-v1.json").read_text()
        )
        assert result["items_scored"] == 3
        assert result["sources"].keys() == {"few", "many", "nested"}
        assert f"{model}/images/few_033.png" in html
        assert f"{result['overall']:.2f}" in html
    again = run("demo", "--limit", 3)
    assert again.code == 0
