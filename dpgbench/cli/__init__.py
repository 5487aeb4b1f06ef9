"""The command line: one file a command; this one puts them together.

Nothing heavy is imported here or at the top of a command's file, so that `--help` is instant.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache

import typer
from typer.main import get_command

from dpgbench.cli import (
    compare,
    demo,
    doctor,
    generate,
    judges,
    merge,
    models,
    plan,
    prompts,
    report,
    score,
    serve,
    status,
    verify,
)
from dpgbench.cli.console import ending, setup, version
from dpgbench.cli.quiet import QuietAnywhere
from dpgbench.interrupts import INTERRUPTED, ended, working

app = typer.Typer(
    name="dpgbench",
    cls=QuietAnywhere,
    help="DPG-Bench, reproducible: generate grids, ask a judge, score, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _common(
    show_version: bool = typer.Option(
        False, "--version", callback=version, is_eager=True, help="Print the version and stop."
    ),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Warnings and progress are not shown."),
) -> None:
    setup(quiet=quiet)


for module in (
    generate,
    score,
    merge,
    status,
    report,
    compare,
    models,
    judges,
    doctor,
    plan,
    verify,
    serve,
    demo,
):
    module.register(app)
app.add_typer(prompts.app, name="prompts")


@cache
def _command() -> Callable[..., object]:
    """Return the commands with their options read: once in a process, for it takes a while."""
    return get_command(app)


def main() -> None:
    """Run the command line and leave with its exit code."""
    with ending() as end, working():
        code = _command()(prog_name="dpgbench", standalone_mode=False)
        if code == INTERRUPTED:  # typer catches the interrupt and returns its code
            raise KeyboardInterrupt
        end.exit_code = code if isinstance(code, int) else 0
    ended(end.exit_code)
    sys.exit(end.exit_code)
