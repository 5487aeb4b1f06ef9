"""What rows have beside their scores, as columns; said once where all rows have it alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow, coverage_text
from dpgbench.backends.generators.table import model_facts
from dpgbench.report.text import NOTHING
from dpgbench.store.run import manifest_summary as settings
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.scores import RunRecord

UNKNOWN = "unknown"


class Cell(NamedTuple):
    """What a row has: for sorting, and for people; `marked` where it asks for attention."""

    value: str | float
    text: str
    marked: bool = False


@dataclass(frozen=True)
class Column:
    """One fact of each row.

    Attributes:
        name: of one word, in addresses and classes.
        downwards: whether a click sorts the largest first.
        cells: of each row in order.
        alike: what to say once where all rows have it alike; else empty.
        shown: whether the table has it before the reader chooses.
    """

    name: str
    title: str
    downwards: bool
    cells: tuple[Cell, ...]
    alike: str
    shown: bool


class _Kind(NamedTuple):
    name: str
    title: str
    downwards: bool
    by_choice: bool
    cell: Callable[[LeaderboardRow, RunRecord], Cell | None]
    alike: Callable[[Cell], str]


def columns(
    rows: Sequence[LeaderboardRow],
    records: Sequence[RunRecord],
    seconds: Mapping[int, float],
) -> tuple[Column, ...]:
    """Return the facts that at least one of `rows` has, and all that the reader may choose.

    Args:
        records: of the board; a row's is at `LeaderboardRow.index`.
        seconds: that an image took, by the run's place.
    """
    kinds = (*_KINDS, _seconds(seconds))
    made = (_column(kind, rows, records) for kind in kinds)
    return tuple(column for column in made if column is not None)


def _column(
    kind: _Kind, rows: Sequence[LeaderboardRow], records: Sequence[RunRecord]
) -> Column | None:
    cells = [kind.cell(row, records[row.index]) for row in rows]
    if not any(cells) and not kind.by_choice:
        return None
    whole = tuple(cell or Cell("", UNKNOWN if kind.by_choice else NOTHING) for cell in cells)
    same = len({cell.text for cell in whole}) == 1 and not whole[0].marked
    alike = kind.alike(whole[0]) if same and any(cells) else ""
    return Column(
        kind.name, kind.title, kind.downwards, whole, alike, not same and not kind.by_choice
    )


def _coverage(row: LeaderboardRow, _: RunRecord) -> Cell:
    part = f"{row.items_scored:,} of {row.items_covered:,}"
    lacking = row.items_scored != row.items_covered
    share = coverage_text(row.items_scored, row.items_covered)
    return Cell(row.coverage, f"{share} {part}", lacking)


def _images(row: LeaderboardRow, _: RunRecord) -> Cell:
    return Cell(row.num_images, str(row.num_images))


def _size(row: LeaderboardRow, _: RunRecord) -> Cell | None:
    return Cell(row.image_size, f"{row.image_size} px") if row.image_size else None


def _seeds(row: LeaderboardRow, _: RunRecord) -> Cell | None:
    if not row.seed_rule:
        return None
    start = "" if row.base_seed is None else f" from {row.base_seed}"
    return Cell(row.seed_rule + start, row.seed_rule + start)


def _date(row: LeaderboardRow, _: RunRecord) -> Cell | None:
    return Cell(row.date[:10], row.date[:10]) if row.date else None


def _parameters(_: LeaderboardRow, record: RunRecord) -> Cell | None:
    number = sum(settings.parameters(record.manifest).values())
    return Cell(number, parameters_text(number)) if number else None


def _licence(_: LeaderboardRow, record: RunRecord) -> Cell | None:
    licence = licence_text(record.manifest)
    return Cell(licence, licence) if licence else None


def parameters_text(number: int) -> str:
    """Return a number of parameters as ``12.31 B`` or ``860 M``."""
    for size, sign in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.{2 if sign == 'B' else 0}f} {sign}"
    return str(number)


def licence_text(manifest: Manifest) -> str:
    """Return the licence of a run's model: as recorded, else as the table of models has it."""
    facts = model_facts(manifest.model)
    tabled = facts.value("licence") if facts else None
    return settings.licence(manifest) or (tabled or "")


def _images_alike(cell: Cell) -> str:
    return f"{cell.text} image{'' if cell.text == '1' else 's'} a prompt"


_KINDS = (
    _Kind("coverage", "Coverage", True, False, _coverage, lambda _: "all items scored"),
    _Kind("images", "Images", True, False, _images, _images_alike),
    _Kind("size", "Size", True, False, _size, lambda cell: f"{cell.text} each"),
    _Kind("seeds", "Seeds", False, False, _seeds, lambda cell: f"seeds {cell.text}"),
    _Kind("parameters", "Parameters", True, True, _parameters, lambda cell: cell.text),
    _Kind("licence", "Licence", False, True, _licence, lambda cell: f"licence {cell.text}"),
    _Kind("date", "Date", True, True, _date, lambda cell: f"dated {cell.text}"),
)


def _seconds(seconds: Mapping[int, float]) -> _Kind:
    def cell(row: LeaderboardRow, _: RunRecord) -> Cell | None:
        value = seconds.get(row.index)
        return None if value is None else Cell(value, f"{value:.2f} s")

    return _Kind(
        "seconds", "Seconds an image", False, True, cell, lambda each: f"{each.text} an image"
    )
