"""T2I-CompBench's scores as the ELLA paper prints them: quoted, never ranked, never averaged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dpgbench.errors import DataError
from dpgbench.store.csv_rows import read_table
from dpgbench.store.paths import data_folder

CATEGORIES = ("color", "shape", "texture", "spatial", "non-spatial")
"""In the order of the paper's Table 3."""
_FIGURE = re.compile(r"[01]\.\d+")


@dataclass(frozen=True)
class PublishedCompbench:
    """One model's scores, 0 to 1, with the digits of their source, by category."""

    model: str
    scores: dict[str, str]
    source: str
    note: str


def read_published_compbench(path: Path | None = None) -> list[PublishedCompbench]:
    """Return the published scores in the file's order.

    Raises:
        DataError: the file lacks a column, or a row has no source or a figure that is none.
    """
    path = path or data_folder("reports") / "published_t2i_compbench.csv"
    scores = []
    for number, cells in read_table(path, ("model", *CATEGORIES, "source", "note")):
        figures = {name: cells[name] for name in CATEGORIES}
        if not cells["source"].strip() or not all(map(_FIGURE.fullmatch, figures.values())):
            raise DataError(
                f"{path} row {number} ({cells['model']}): a published score needs a source, and "
                "figures of 0 to 1"
            )
        scores.append(PublishedCompbench(cells["model"], figures, cells["source"], cells["note"]))
    return scores
