"""The leaderboard as one HTML file: styles and scripts inlined, nothing fetched but its images."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import coverage_text
from dpgbench.domain.rules import ALL_RULES
from dpgbench.domain.statistics.bootstrap import CONFIDENCE, LEAST_ITEMS, NUM_DRAWS
from dpgbench.report.benchmark_terms import benchmark_terms
from dpgbench.report.beside_published import BesidePublished, count_mark
from dpgbench.report.page.colours import colour_style, coloured_runs
from dpgbench.report.page.data import (
    benchmark_names,
    page_json,
    script_json,
    sets_of_groups,
)
from dpgbench.report.page.gallery import gallery
from dpgbench.report.page.images import Pictures
from dpgbench.report.page.views import (
    common_views,
    group_view,
    notices,
    rule_lines,
    run_view,
)
from dpgbench.report.plots.drawing import page_svg
from dpgbench.report.plots.figures import length_drawing
from dpgbench.report.plots.learning import learning_drawing
from dpgbench.report.tables.bibtex import citations
from dpgbench.report.tables.model_card import model_card
from dpgbench.report.text import (
    BESIDE_WARNING,
    PUBLISHED_ELSEWHERE,
    PUBLISHED_WARNING,
    compbench_notes,
    compbench_text,
    extremes,
    interval_text,
    label,
    labels,
    number_text,
    rank_text,
    rule_summary,
    score_text,
    shown,
)
from dpgbench.store.csv_rows import read_text
from dpgbench.store.paths import data_folder
from dpgbench.store.published import CATEGORIES
from dpgbench.store.published_compbench import CATEGORIES as COMPBENCH_CATEGORIES

if TYPE_CHECKING:
    from jinja2 import Environment

_NOTHING: Mapping[str, str] = {}
TEMPLATE = "leaderboard.html"
STYLE = "style.css"
SCRIPTS = (
    "dom.js",
    "unpack.js",
    "address.js",
    "model.js",
    "pictures.js",
    "spans.js",
    "graph.js",
    "sort.js",
    "views.js",
    "choose.js",
    "board.js",
    "failures.js",
    "items.js",
    "item.js",
    "matrix.js",
    "compare.js",
    "judges.js",
    "models.js",
    "download.js",
    "start.js",
)


def leaderboard_html(
    board: Board,
    pictures: Pictures,
    *,
    beside: Sequence[BesidePublished] = (),
    downloads: Sequence[str] = (),
    inside: Mapping[str, str] = _NOTHING,
) -> str:
    """Return the page.

    Args:
        beside: published scores of the models that were measured.
        pictures: gives images the addresses that they have where the page will lie.
        downloads: names of files beside the page that hold the same in other forms.
        inside: tables to be put into the page, by the name that they are saved under.
    """
    folder = data_folder("reports")
    style = read_text(folder / STYLE) + colour_style(coloured_runs(board))
    script = "\n".join(read_text(folder / name) for name in SCRIPTS)
    rules = {group.key.rule for group in board.groups}
    benchmarks = benchmark_names(board)
    of_group = [benchmarks[place] for place in sets_of_groups(board)]
    named = {group.key: name for group, name in zip(board.groups, of_group, strict=True)}
    elsewhere = "" if board.is_on_published_benchmark else PUBLISHED_ELSEWHERE
    return (
        _environment(folder)
        .get_template(TEMPLATE)
        .render(
            policy=content_policy(style, [script]),
            style=_trusted(style),
            script=_trusted(script),
            data=_trusted(script_json(page_json(board, pictures))),
            groups=[group_view(board, index, name) for index, name in enumerate(of_group)],
            commons=common_views(board, of_group.__getitem__),
            runs=[run_view(record, index) for index, record in enumerate(board.records)],
            notices=notices(board.rows),
            galleries=[gallery(items, pictures) for items in board.item_sets],
            lengths=[(view, named[view.group.key]) for view in board.prompt_lengths],
            learning=board.learning,
            rewritten=board.rewritten,
            rows=board.rows,
            published=[(quote, count_mark(quote)) for quote in board.published],
            beside=[(one, named[one.row.key]) for one in beside],
            beside_warning=BESIDE_WARNING,
            bibtex=citations(board),
            terms=benchmark_terms(board),
            cards=[model_card(board, index, beside) for index in range(len(board.records))],
            compbench=board.compbench,
            compbench_published=board.compbench_published,
            compbench_categories=COMPBENCH_CATEGORIES,
            compbench_notes=compbench_notes(board.compbench),
            published_categories=CATEGORIES,
            published_warning=PUBLISHED_WARNING,
            published_elsewhere=elsewhere,
            rules=[rule for name, rule in ALL_RULES.items() if name in rules],
            downloads=downloads,
            inside=[(name, _data_address(name, text)) for name, text in inside.items()],
            differences=rule_lines(board.groups),
        )
    )


def content_policy(style: str, scripts: Sequence[str]) -> str:
    """Return the content security policy: these very styles and scripts run, nothing else."""
    allowed = " ".join(map(_source_hash, scripts))
    return "; ".join(
        [
            "default-src 'none'",
            "img-src 'self' file: data:",
            f"style-src {_source_hash(style)}",
            f"script-src {allowed}" if allowed else "script-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _data_address(name: str, text: str) -> str:
    kind = "application/json" if name.endswith(".json") else "text/csv"
    content = base64.b64encode(text.encode(errors="replace")).decode()
    return f"data:{kind};charset=utf-8;base64,{content}"


def _source_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _trusted(text: str) -> Any:
    """Return packaged text to be put in as it is; never anything that a user wrote."""
    from markupsafe import Markup

    return Markup(text)


@cache
def _environment(folder: Path) -> Environment:
    """Return the templates of a folder; each is compiled once in a process."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(folder / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "score": score_text,
        "interval": interval_text,
        "number": number_text,
        "shown": shown,
        "rule_summary": rule_summary,
        "compbench_figure": compbench_text,
        "capital": lambda name: name[:1].upper() + name[1:],
        "extremes": extremes,
        "label": label,
        "labels": labels,
        "learning_chart": lambda curve: _trusted(page_svg(learning_drawing(curve))),
        "length_chart": lambda chart, group, *size: _trusted(
            page_svg(length_drawing(chart, group, *size))
        ),
    }
    environment.globals |= {
        "CONFIDENCE": CONFIDENCE,
        "NUM_DRAWS": NUM_DRAWS,
        "LEAST_ITEMS": LEAST_ITEMS,
        "coverage_text": coverage_text,
        "rank_text": rank_text,
    }
    return environment
