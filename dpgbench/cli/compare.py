"""`dpgbench compare`: two runs side by side, on the same items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import echo, print_json, print_table
from dpgbench.cli.options import AsJson, Verify, complete_rule
from dpgbench.errors import DataError, counted

if TYPE_CHECKING:
    from dpgbench.analysis.comparison import RunComparison
    from dpgbench.domain.statistics.paired import PairedDifference


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare")(compare)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="A scored run.")],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Another one.")],
    rule: Annotated[
        str | None,
        typer.Option(
            "--rule",
            help="This rule only (default: all that both have).",
            autocompletion=complete_rule,
        ),
    ] = None,
    verify: Verify = True,
    as_json: AsJson = False,
) -> None:
    """Print paired differences with intervals and p-values, or why two runs are not comparable."""
    from dpgbench.analysis.comparison import compare_runs
    from dpgbench.domain.rules import find_rule
    from dpgbench.jobs.merge.unmerged import warn_of_unmerged
    from dpgbench.report.tables.json_table import comparison_json
    from dpgbench.store.run.directory import find_runs

    wanted = find_rule(rule).name if rule else None
    one, other = find_runs([first, second])
    warn_of_unmerged(dict.fromkeys([one, other]))
    compared = compare_runs(one, other, wanted, verify=verify)
    if as_json:
        print_json({"results": [comparison_json(*results) for results in compared]})
    else:
        for number, results in enumerate(compared):
            if number:
                echo("")
            for sentence in comparison_sentences(results):
                echo(sentence)
            header, *rows = comparison_table(results)
            if rows:
                print_table(header, rows)
    if all(results.comparison.overall is None for results in compared):
        reasons = [r for results in compared for r in results.comparison.reasons if r.decides]
        why = "; ".join(dict.fromkeys(map(str, reasons))) or "no item has a score in both"
        raise DataError(f"{first} and {second} cannot be compared ({why}); score both alike")


def comparison_table(results: RunComparison) -> list[list[str]]:
    """Return overall and categories as rows of text, a header first."""
    from dpgbench.report.text import shown

    names = [shown(row.run, 24) for row in (results.first, results.second)]
    lines = [["", *names, "difference", "95% interval", "p", "p (Holm)", "told apart", "items"]]
    comparison = results.comparison
    if comparison.overall is not None and comparison.scores is not None:
        cells = _cells(comparison.scores, comparison.overall)
        lines.append(["overall", *cells, f"{comparison.items:,}"])
    for category in (*comparison.l1, *comparison.l2):
        cells = _cells((category.first, category.second), category.difference)
        lines.append([shown(category.name, 40), *cells, f"{category.items:,}"])
    return lines


def _cells(scores: tuple[float, float], difference: PairedDifference) -> list[str]:
    interval = difference.interval
    verdict = "yes" if difference.significant else "no"
    return [
        *(f"{score:.2f}" for score in scores),
        f"{difference.difference:+.2f}",
        "" if interval is None else "[{:+.2f}, {:+.2f}]".format(*interval),
        _chance(difference.p_value),
        _chance(difference.p_holm),
        "too few" if interval is None else verdict,
    ]


def _chance(p_value: float | None) -> str:
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def comparison_sentences(results: RunComparison) -> Iterator[str]:
    """Yield what is not alike, and what the comparison shows."""
    from dpgbench.analysis.comparison import FEW_ITEMS
    from dpgbench.report.text import shown, too_few

    first, _, comparison = results
    overall = comparison.overall
    yield f"judge {shown(first.judge)}, rule {first.rule}"
    if any(reason.decides for reason in comparison.reasons):
        yield "not comparable, so no difference is computed:"
    elif comparison.reasons:
        yield "not strictly comparable:"
    yield from (f"  {shown(str(reason), 200)}" for reason in comparison.reasons)
    if overall is not None:
        wins, ties, losses = comparison.outcomes
        yield (
            f"{counted(comparison.items, 'item')} that both have: "
            f"{shown(first.run, 40)} is better on {wins}, equal on {ties}, worse on {losses}"
        )
    if overall is not None and overall.interval is None:
        yield too_few(comparison.items)
    elif 0 < comparison.items < FEW_ITEMS:
        yield "so few items: the intervals are too narrow and p is too small"
    if overall is not None and not comparison.l1 and first.l1:
        yield "no categories: the answers or questions at hand are not those that were scored"
    yield from _notes(results)


def _notes(results: RunComparison) -> Iterator[str]:
    """Yield what must be read beside the scores, with the run that it is about, each once."""
    from dpgbench.report.text import remarks, shown

    about: dict[str, list[str]] = {}
    for row in (results.first, results.second):
        for note in remarks(row):
            about.setdefault(note, []).append(shown(row.run, 40))
    for note, runs in about.items():
        name = "both" if len(runs) == 2 else runs[0]
        yield f"note: {name}: {shown(note, 300)}"
