"""`dpgbench compare`: two runs side by side, on the same items."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpgbench.cli.console import echo, print_json, print_table
from dpgbench.cli.options import AsJson, Verify, complete_rule


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
    from dpgbench.analysis.versus import compare_runs, sentences, table
    from dpgbench.domain.rules import find_rule
    from dpgbench.errors import DataError
    from dpgbench.store.run.directory import find_runs

    wanted = find_rule(rule).name if rule else None
    one, other = find_runs([first, second])
    found = compare_runs(one, other, wanted, verify=verify)
    if as_json:
        print_json({"results": [versus.as_json() for versus in found]})
    else:
        for number, versus in enumerate(found):
            if number:
                echo("")
            for sentence in sentences(versus):
                echo(sentence)
            header, *rows = table(versus)
            if rows:
                print_table(header, rows)
    if all(versus.comparison.overall is None for versus in found):
        reasons = dict.fromkeys(str(r) for v in found for r in v.comparison.reasons if r.decides)
        why = "; ".join(reasons) or "no item has a score in both"
        raise DataError(f"{first} and {second} cannot be compared ({why}); score both alike")
