"""`--quiet` works before a command and after it."""

from __future__ import annotations

from copy import copy
from typing import Any

from typer.core import TyperGroup

from dpgbench.cli.console import setup


class QuietAnywhere(TyperGroup):
    """A group with an option ``--quiet`` that each of its commands, at any depth, takes too."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        quiet = copy(next(option for option in self.params if option.name == "quiet"))
        quiet.expose_value = False  # the command's function has no such argument
        quiet.callback = _silence
        _offer(quiet, self)


def _offer(quiet: Any, group: Any) -> None:
    for command in group.commands.values():
        command.params.append(quiet)
        if hasattr(command, "commands"):
            _offer(quiet, command)


def _silence(_context: object, _option: object, quiet: bool) -> None:
    if quiet:
        setup(quiet=True)
