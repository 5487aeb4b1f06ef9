"""`dpgbench doctor`: what this machine can run, what is missing, and the command that gets it."""

from __future__ import annotations

import typer

from dpgbench.cli.console import print_json, print_table
from dpgbench.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Tell versions, device and memory, which weights are here, and how to get the rest."""
    from dpgbench.backends.checkup import examine

    findings = examine()
    if as_json:
        print_json(findings)
        return
    machine = findings["machine"]
    typer.echo(f"dpgbench {machine['dpgbench']}, Python {machine['python']}, {machine['platform']}")
    for name, number in machine["packages"].items():
        typer.echo(f"  {name} {number}")
    for device in findings["devices"]:
        memory = f", {device['memory_gib']} GiB" if device["memory_gib"] else ""
        typer.echo(f"device {device['name']}: {device['what']}{memory}")
    typer.echo("")
    rows = [
        [w["used_by"], w["role"], "here" if w["present"] else "missing", w["path"] or w["command"]]
        for w in findings["weights"]
    ]
    print_table(["used by", "role", "state", "path, or the command that gets it"], rows)
