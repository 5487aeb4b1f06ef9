"""Large files: readers stay within their bounds of memory and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.examine import examine
from tests.fuzz.large import large_inputs
from tests.fuzz.readers import READERS

SIZE = 2**17
"""Bytes: where time grows with the square of the size, it shows."""


# Of folders of networks, the libraries read what is large.
_NAMES = [name for name in READERS if not name.startswith(("text enc", "vision"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", _NAMES)
def test_large_files_take_no_more_than_they_may(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    reader.warm(tmp_path / "sound")
    for _, data in large_inputs(reader.kind, reader.samples()[0], SIZE):
        examine(reader, tmp_path / "large", data)
