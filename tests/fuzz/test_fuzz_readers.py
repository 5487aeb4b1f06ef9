"""Every reader of files, shown damaged ones: it reads them or says in one line why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.damage import Damaged, damaged
from tests.fuzz.examine import examine
from tests.fuzz.readers import READERS


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_end_in_a_value_or_one_line(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    reader.warm(tmp_path / "sound")

    @settings(
        max_examples=max(5, reader.examples // 5),
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(data=damaged(reader.kind, reader.samples()))
    def look(data: Damaged) -> None:
        examine(reader, tmp_path / "damaged", data.content)

    look()
