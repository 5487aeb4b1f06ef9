"""Published scores: quoted figures with their sources, never ranked, never averaged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dpgbench.errors import DataError
from dpgbench.store.csv_rows import read_table
from dpgbench.store.paths import data_folder

BENCHMARK = "dpg"
CATEGORIES = ("global", "entity", "attribute", "relation", "other")
_COLUMNS = ("model", "average", *CATEGORIES, "source", "note")
_ADDRESS = re.compile(r"https://[^\s<>\"']+")


@dataclass(frozen=True)
class PublishedScore:
    """One model's scores as somebody published them.

    Attributes:
        average: the overall, with the digits of its source.
        l1: by category, with the digits of its source; empty text where none was seen.
    """

    model: str
    average: str
    l1: dict[str, str]
    source: str
    note: str

    @property
    def address(self) -> str | None:
        """The source, where it is a web address as it stands."""
        return self.source if _ADDRESS.fullmatch(self.source) else None


def read_published(path: Path | None = None) -> list[PublishedScore]:
    """Return the published scores in the file's order.

    Raises:
        DataError: the file lacks a column, or a row has no source or a figure that is no number.
    """
    path = path or data_folder("reports") / "published.csv"
    scores = []
    for number, cells in read_table(path, _COLUMNS):
        figures = [cells["average"], *(cells[name] for name in CATEGORIES)]
        if not cells["source"].strip() or not all(map(_is_figure, figures)):
            raise DataError(
                f"{path} row {number} ({cells['model']}): a published score needs a source, "
                "and figures of 0 to 100 or empty cells"
            )
        scores.append(
            PublishedScore(
                cells["model"],
                cells["average"],
                {name: cells[name] for name in CATEGORIES},
                cells["source"],
                cells["note"],
            )
        )
    return scores


def _is_figure(text: str) -> bool:
    return not text or bool(re.fullmatch(r"\d{1,3}(\.\d+)?", text))
