"""`dpgbench judges`: which judges can be named, and what they need."""

from __future__ import annotations

import typer

from dpgbench.cli.console import print_json
from dpgbench.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("judges")(judges)


def judges(as_json: AsJson = False) -> None:
    """List the judges and the weights that each needs by role."""
    from dpgbench.backends.judges import FORMS, JUDGES

    if as_json:
        print_json(
            {
                "judges": [
                    {
                        "name": entry.name,
                        "summary": entry.summary,
                        "untrained": entry.untrained,
                        "weights": {role.name: role.source for role in entry.roles},
                    }
                    for entry in JUDGES.values()
                ],
                "forms": {**FORMS, "--answers FILE.csv": "recorded answers, replayed"},
            }
        )
        return
    for entry in JUDGES.values():
        typer.echo(f"{entry.name}\n  {entry.summary}")
        for role in entry.roles:
            typer.echo(f"  --weights {role.name}=PATH   {role.what}; else {role.source}")
        if entry.untrained:
            typer.echo("  untrained: scores mean nothing")
    for form, meaning in FORMS.items():
        typer.echo(f"{form}\n  {meaning}")
    typer.echo("--answers FILE.csv\n  recorded answers instead of a judge")
