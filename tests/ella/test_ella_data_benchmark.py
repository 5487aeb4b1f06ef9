"""`benchmarks/data_index.py` with few rows: memory does not grow with what was read."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.data_index import main


def test_an_index_is_opened_at_once_and_read_without_memory(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    figures = main(["--rows", "20000", "--read", "30000", "--out", str(out)])
    assert json.loads(out.read_text()) == figures
    assert figures["rows"] == 20_000
    assert figures["letters"] > 30_000 * 80
    assert figures["seconds to start"] < 5
    assert figures["MiB that starting takes"] < 100
    assert figures["MiB that reading takes"] < 5
