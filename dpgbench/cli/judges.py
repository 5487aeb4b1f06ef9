"""`dpgbench judges`: which judges can be named; `judges compare`: how far they can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from dpgbench.cli.console import echo, print_json
from dpgbench.cli.judges_text import print_comparison
from dpgbench.cli.options import AsJson, Bench, complete_rule

app = typer.Typer(
    help="The judges: list them (no command), or compare them.", invoke_without_command=True
)


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="judges")


@app.callback()
def judges(context: typer.Context, as_json: AsJson = False) -> None:
    """List the judges and the weights that each needs by role; or compare them."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command()
def compare(
    judge: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C...]", help="Judges whose answers a run has, or files of answers."
        ),
    ],
    run: Annotated[
        list[Path] | None,
        typer.Option(
            "--run", metavar="RUN", help="Where judges are looked up (repeatable); else the newest."
        ),
    ] = None,
    bench: Bench = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Rows of answer CSVs (repeatable)."),
    ] = None,
    model_column: Annotated[
        str | None,
        typer.Option("--model-column", help="Column of answer CSVs that names the image's model."),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            help="Scoring rule of scores and of the correlation.",
            autocompletion=complete_rule,
        ),
    ] = "corrected-v1",
    human: Annotated[
        Path | None,
        typer.Option("--human", metavar="FILE.csv", help="Human scores: item, model, score."),
    ] = None,
    human_columns: Annotated[
        str | None,
        typer.Option(
            "--human-columns", metavar="item=COLUMN,...", help="Other names of these columns."
        ),
    ] = None,
    human_where: Annotated[
        list[str] | None,
        typer.Option("--human-where", metavar="COLUMN=VALUE", help="Rows of --human (repeatable)."),
    ] = None,
    differences: Annotated[
        int, typer.Option("--differences", min=0, help="How many questions to print.")
    ] = 10,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.csv", help="Write all questions that differ."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare judges' answers to the same questions, with each other and with people.

    Agreement, Cohen's kappa (Fleiss' for three), by category, where they differ, and what it does
    to the score. One judge is enough with --human.
    """
    from dpgbench.analysis.judges.answers import JudgesRequest, read_judged
    from dpgbench.analysis.judges.compare import compare_judges, differences_csv
    from dpgbench.store.files import write_atomic
    from dpgbench.store.human_scores import parse_columns, read_human_scores
    from dpgbench.store.recorded_answers import parse_where

    people = None
    if human:
        chosen = parse_where(human_where or [])
        people = read_human_scores(human, parse_columns(human_columns), chosen)
    request = JudgesRequest(judge, run or (), bench, parse_where(where or []), model_column)
    found = compare_judges(read_judged(request), rule, people)
    if out:
        write_atomic(out, differences_csv(found))
    if as_json:
        print_json(found)
    else:
        print_comparison(found, num_differences=differences)
        if out:
            echo(f"differences: {out}")


def _list(*, as_json: bool) -> None:
    from dpgbench.backends.judges.table import FORMS, JUDGES

    if as_json:
        print_json(
            {
                "judges": [_plain(entry) for entry in JUDGES.values()],
                "forms": {**FORMS, "--answers FILE.csv": "recorded answers, replayed"},
            }
        )
        return
    for entry in JUDGES.values():
        echo(f"{entry.name}\n  {entry.summary}")
        for role in entry.roles:
            echo(f"  --weights {role.name}=PATH   {role.what}; else {role.source}")
        if entry.world:
            echo(f"  knows the world of {entry.world} alone: elsewhere scores mean nothing")
    for form, meaning in FORMS.items():
        echo(f"{form}\n  {meaning}")
    echo("--answers FILE.csv\n  recorded answers instead of a judge")


def _plain(entry: Any) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "world": entry.world,
        "weights": {role.name: role.source for role in entry.roles},
    }
