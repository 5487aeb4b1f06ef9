"""`dpgbench models`: which generators can be named, and what they need."""

from __future__ import annotations

import typer

from dpgbench.cli.console import echo, print_json
from dpgbench.cli.options import AsJson


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("models")(models)


def models(as_json: AsJson = False) -> None:
    """List the generators: settings, and the weights that each needs by role."""
    from dpgbench.backends.generators.table import FORMS, MODELS

    if as_json:
        print_json(
            {
                "models": [
                    {
                        "name": entry.name,
                        "summary": entry.summary,
                        "world": entry.world,
                        "settings": {**entry.defaults, "options": dict(entry.options)},
                        "weights": {role.name: role.source_text for role in entry.roles},
                    }
                    for entry in MODELS.values()
                ],
                "forms": FORMS,
            }
        )
        return
    for entry in MODELS.values():
        echo(f"{entry.name}\n  {entry.summary}")
        settings = entry.defaults
        echo(
            f"  {settings['width_px']}x{settings['height_px']} px, {settings['steps']} steps, "
            f"guidance {settings['guidance_scale']}, {settings['scheduler']}"
        )
        for role in entry.roles:
            echo(f"  --weights {role.name}=PATH   {role.what}; else {role.source_text}")
        if entry.world:
            echo(f"  knows the world of {entry.world} alone: elsewhere scores mean nothing")
    for form, meaning in FORMS.items():
        echo(f"{form}\n  {meaning}")
