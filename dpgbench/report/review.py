"""The page on which a person looks through question graphs: one HTML file that asks nobody.

What is decided there is kept by the browser and downloaded as a corrected CSV; nothing of it is
known here. The page is made of the report's own style and drawing and of `reports/review/`.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dpgbench.domain.benchmark import COLUMNS, QUESTIONS_FILE, Benchmark
from dpgbench.domain.benchmark_findings import BenchmarkFinding
from dpgbench.report.page.data import script_json
from dpgbench.report.page.render import content_policy
from dpgbench.store.csv_rows import read_table, read_text
from dpgbench.store.files import write_atomic
from dpgbench.store.paths import data_folder

TEMPLATE = "review.html"
STYLES = ("style.css", "review/review.css")
SCRIPTS = (
    "dom.js",
    "spans.js",
    "graph.js",
    "review/places.js",
    "review/state.js",
    "review/history.js",
    "review/list.js",
    "review/item.js",
    "review/start.js",
)
REVIEW_COLUMN = "review"
FLAG_SEPARATOR = " | "


class ReviewPage(NamedTuple):
    """A page that was written, and how much there is to look at."""

    path: Path
    items: int
    questions: int
    flags: int
    findings: int


@dataclass(frozen=True)
class _Table:
    """A question file as it is: its columns, and its rows by item with their numbers."""

    header: tuple[str, ...]
    items: Mapping[str, list[tuple[int, dict[str, str]]]]


def write_review_page(benchmark: Benchmark, out: Path | None = None) -> ReviewPage:
    """Write the page of a benchmark's questions.

    Args:
        benchmark: one with questions, from a CSV or a folder of upstream's layout.
        out: the page's file; `NAME-review.html` in the current folder where None.

    Raises:
        SetupError: there are no questions.
        DataError: the file cannot be read.
    """
    benchmark.require_graphs()
    source = benchmark.path
    if source.is_dir():
        source = source / QUESTIONS_FILE
    table = _read(source)
    path = out or Path(f"{benchmark.name}-review.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    findings = benchmark.findings()
    write_atomic(path, review_html(benchmark.name, source, table, findings))
    rows = [cells for item in table.items.values() for _, cells in item]
    flags = sum(len(_flags(cells)) for cells in rows)
    return ReviewPage(path, len(table.items), len(rows), flags, len(findings))


def review_html(
    name: str, source: Path, table: _Table, findings: Iterable[BenchmarkFinding]
) -> str:
    """Return the page; styles and scripts are inside, and nothing else is let run."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    folder = data_folder("reports")
    style = "".join(read_text(folder / part) for part in STYLES)
    script = "\n".join(read_text(folder / part) for part in SCRIPTS)
    download = f"{name}-reviewed.csv"
    data = _page_data(table, findings) | {
        "download": download,
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
    }
    environment = Environment(
        loader=FileSystemLoader(folder / "templates"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(
        name=name,
        download=download,
        policy=content_policy(style, [script]),
        style=Markup(style),
        script=Markup(script),
        data=Markup(script_json(data)),
    )


def _read(source: Path) -> _Table:
    items: defaultdict[str, list[tuple[int, dict[str, str]]]] = defaultdict(list)
    header: tuple[str, ...] = ()
    for number, cells in read_table(source, COLUMNS):
        header = tuple(cells)
        items[cells["item_id"]].append((number, cells))
    return _Table(header, items)


def _page_data(table: _Table, findings: Iterable[BenchmarkFinding]) -> dict[str, Any]:
    """Return what the page's scripts read (`reports/review/state.js` tells the form)."""
    columns = [column for column in table.header if column not in ("item_id", "text")]
    about: defaultdict[int | None, list[tuple[str, str]]] = defaultdict(list)
    for finding in findings:
        about[finding.row].append((finding.severity, finding.message))
    items = []
    for item_id, rows in table.items.items():
        text = rows[0][1]["text"]
        entries = [
            [
                *(cells[column] for column in columns),
                None if cells["text"] == text else cells["text"],
                *([about[number]] if about[number] else []),
            ]
            for number, cells in rows
        ]
        open_flags = sum(len(_flags(cells)) + len(about[number]) for number, cells in rows)
        items.append([item_id, text, entries, open_flags])
    return {"header": table.header, "columns": columns, "items": items}


def _flags(cells: Mapping[str, str]) -> list[str]:
    parts = cells.get(REVIEW_COLUMN, "").split(FLAG_SEPARATOR)
    return [part for part in parts if part.strip()]
