"""Published scores: quoted figures with their sources, never ranked, never averaged."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from dpgbench.errors import DataError
from dpgbench.store.csv_rows import read_table
from dpgbench.store.paths import data_folder

BENCHMARK = "dpg"
CATEGORIES = ("global", "entity", "attribute", "relation", "other")
_COLUMNS = ("model", "average", *CATEGORIES, "source", "note")
_ADDRESS = re.compile(r"https://[^\s<>\"']+")
_SEARCH = "https://arxiv.org/search/?searchtype=all&query="


@dataclass(frozen=True)
class PublishedScore:
    """One model's scores as somebody published them.

    Attributes:
        average: the overall, with the digits of its source.
        l1: by category, with the digits of its source; empty text where none was seen.
        address: of the source; None where it is not in the table of sources.
        is_search: whether `address` only searches for the source, whose page is not known.
        settings: what is known of how it was measured, by the names of published_sources.toml.
    """

    model: str
    average: str
    l1: dict[str, str]
    source: str
    note: str
    address: str | None = None
    is_search: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


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
        scores.append(_score(cells))
    return scores


def _score(cells: Mapping[str, str]) -> PublishedScore:
    source = _sources().get(cells["source"], {})
    address = source.get("address")
    if address is None and _ADDRESS.fullmatch(cells["source"]):
        address = cells["source"]
    search = source.get("search")
    return PublishedScore(
        cells["model"],
        cells["average"],
        {name: cells[name] for name in CATEGORIES},
        cells["source"],
        cells["note"],
        address=_SEARCH + quote_plus(search) if search else address,
        is_search=bool(search),
        settings={
            **source.get("settings", {}),
            **source.get("models", {}).get(cells["model"], {}),
        },
    )


@functools.cache
def _sources() -> Mapping[str, Mapping[str, Any]]:
    """Return what is known of each source, by its name."""
    with (data_folder("reports") / "published_sources.toml").open("rb") as file:
        return tomllib.load(file)


def _is_figure(text: str) -> bool:
    return not text or bool(re.fullmatch(r"\d{1,3}(\.\d+)?", text))
