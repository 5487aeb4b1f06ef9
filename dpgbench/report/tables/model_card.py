"""A run's results as Markdown that is pasted into the card of its model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dpgbench.analysis.board import Board
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.report.beside_published import BesidePublished
from dpgbench.report.tables.frame import category_names
from dpgbench.report.tables.markdown import beside_text, escaped, table
from dpgbench.report.text import (
    category_title,
    in_field_order,
    remarks,
    rule_summary,
    with_interval,
)
from dpgbench.store.paths import file_name
from dpgbench.store.published import BENCHMARK
from dpgbench.store.run import manifest_summary
from dpgbench.store.run.manifest import toolkit_version


def model_cards(board: Board, beside: Sequence[BesidePublished] = ()) -> dict[str, str]:
    """Return the card of each run by a file name.

    Args:
        beside: published scores of the runs' models.
    """
    cards: dict[str, str] = {}
    for index, record in enumerate(board.records):
        name = file_name(record.run.name)
        while f"{name}.md" in cards:
            name += "-2"
        cards[f"{name}.md"] = model_card(board, index, beside)
    return cards


def model_card(board: Board, index: int, beside: Sequence[BesidePublished] = ()) -> str:
    """Return what the card of the report's `index`-th run may say of its results.

    Args:
        beside: published scores of the runs' models.
    """
    rows = [row for row in board.rows if row.index == index]
    benchmarks = dict.fromkeys(row.benchmark for row in rows)
    parts = []
    for benchmark in benchmarks:
        of_benchmark = [row for row in rows if row.benchmark == benchmark]
        parts += _part(benchmark, of_benchmark)
    manifest = board.records[index].manifest
    settings = manifest_summary.generation_settings(manifest)
    lines = [f"Drawn with {escaped(_listed(settings))}."] if settings else []
    lines += [_published(one) for one in beside if one.row.index == index]
    named = board.named.get(index)
    if named is not None:
        lines.append(f"Prompts and questions: {escaped(f'{named.title} ({named.terms})')}.")
    commands = "; ".join(f"`{_code(command)}`" for command in manifest.commands)
    by = f"Measured with the DPG-Bench toolkit {toolkit_version()}"
    lines.append(f"{by}: {commands}." if commands else f"{by}.")
    return "\n\n".join([*parts, "\n".join(f"- {line}" for line in lines)]) + "\n"


def _part(benchmark: str, rows: Sequence[LeaderboardRow]) -> list[str]:
    title = "DPG-Bench" if benchmark == BENCHMARK else benchmark
    names = in_field_order(category_names(row.l1 for row in rows))
    header = ["Judge", "Rule", "Overall", *(escaped(category_title(name)) for name in names)]
    cells = [
        [
            escaped(row.judge),
            escaped(row.rule),
            with_interval(row.overall, row.interval),
            *(
                with_interval(row.l1[name].score, row.l1[name].interval) if name in row.l1 else "—"
                for name in names
            ),
        ]
        for row in rows
    ]
    lines = list(_measured(rows))
    lines += [
        f"Rule {escaped(rule)}: {escaped(rule_summary(rule))}"
        for rule in dict.fromkeys(row.rule for row in rows)
    ]
    lines += [f"**{escaped(text)}**" for text in dict.fromkeys(_remarks(rows))]
    lines.append("Mean times 100; brackets: 95% bootstrap intervals over prompts.")
    return [
        f"### {escaped(title)}",
        table(header, cells),
        "\n".join(f"- {line}" for line in lines),
    ]


def _remarks(rows: Iterable[LeaderboardRow]) -> Iterable[str]:
    for row in rows:
        yield from remarks(row)


def _measured(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Yield what was measured, and of which scores that holds where it is not the same of all."""
    by_fact: dict[str, list[LeaderboardRow]] = {}
    for row in rows:
        by_fact.setdefault(_facts(row), []).append(row)
    for fact, alike in by_fact.items():
        scores = (f"{escaped(row.rule)} by {escaped(row.judge)}" for row in alike)
        yield f"{fact}." if len(by_fact) == 1 else f"Under {', '.join(scores)}: {fact}."


def _facts(row: LeaderboardRow) -> str:
    """Return what was measured, over what."""
    size = f" of {row.image_size} px" if row.image_size else ""
    images = f"{row.num_images} image{'' if row.num_images == 1 else 's'}{size} an item"
    seeds = f", seeds {row.seed_rule} from {row.base_seed}" if row.seed_rule else ""
    items = f"{row.items_scored:,} of {row.items_covered:,} items"
    return escaped(f"{items}, {images}{seeds}")


def _published(one: BesidePublished) -> str:
    return f"Under {escaped(one.row.rule)} by {escaped(one.row.judge)}: {beside_text(one)}"


def _listed(settings: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings)


def _code(text: str) -> str:
    return " ".join(text.replace("`", "'").split())
