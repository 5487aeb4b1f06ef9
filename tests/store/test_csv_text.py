"""CSVs that the toolkit writes: no cell that a spreadsheet runs, and every text comes back."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.store.csv_rows import as_written, csv_text, harmless

STARTS = ("=", "+", "-", "@", "\t", "\r")


@pytest.mark.parametrize("start", STARTS)
def test_a_formula_becomes_text_and_numbers_stay_numbers(start: str) -> None:
    text = csv_text(["name", "score"], [[f"{start}cmd|' /C calc'!A0", -1.5], ["plain", None]])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1] == [f"'{start}cmd|' /C calc'!A0", "-1.5"]
    assert rows[2] == ["plain", ""]


@given(st.text(alphabet="'=+-@\t\r\na ,\"") | st.text())
def test_every_text_comes_back(text: str) -> None:
    cell = harmless(text)
    assert not cell.startswith(STARTS)
    assert as_written(cell) == text
