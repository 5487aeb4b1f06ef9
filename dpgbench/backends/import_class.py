"""Names and words of the command line to classes, weights and settings."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dpgbench.backends.protocols import Role
from dpgbench.errors import UsageError, one_line


def import_target(target: str, what: str) -> Any:
    """Return the object that ``package.module:Name`` names.

    Raises:
        UsageError: there is no such module, or nothing of that name in it.
    """
    module_name, _, attribute = target.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:  # a module beside the user's own files
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UsageError(f"{what} '{target}': cannot import {module_name}: {error}") from error
    except Exception as error:  # whatever stands in the user's own file
        raise UsageError(
            f"{what} '{target}': importing {module_name} failed: {failure_in_words(error)}"
        ) from error
    if not hasattr(module, attribute):
        raise UsageError(f"{what} '{target}': module {module_name} has no {attribute}")
    return getattr(module, attribute)


def failure_in_words(error: Exception) -> str:
    """Return what a user's own code raised, in one line."""
    return one_line(" ".join(f"{type(error).__name__}: {error}".split()))


def is_own_class(name: str) -> bool:
    """Return whether a name has the form ``package.module:Class``."""
    module, colon, attribute = name.partition(":")
    return (
        bool(colon)
        and attribute.isidentifier()
        and all(part.isidentifier() for part in module.split("."))
    )


def parse_weights(values: Sequence[str], roles: Sequence[Role], name: str) -> dict[str, str]:
    """Return paths by role from ``ROLE=PATH`` words.

    Raises:
        UsageError: a word has another form, or names a role that `name` has not.
    """
    known = [role.name for role in roles]
    weights: dict[str, str] = {}
    for value in values:
        role, equals, path = value.partition("=")
        if not equals or not path:
            raise UsageError(f"--weights {value}: write ROLE=PATH, with a role of {known}")
        if role not in known:
            raise UsageError(
                f"--weights {value}: {name} has no role '{role}'; its roles are "
                f"{', '.join(known) or '(none)'}"
            )
        weights[role] = path
    return weights


def parse_options(values: Sequence[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's own settings from ``NAME=VALUE`` words, typed like the known ones.

    Raises:
        UsageError: a word has another form, or names a setting that the model has not.
    """
    options: dict[str, Any] = {}
    for word in values:
        name, equals, text = word.partition("=")
        if not equals or name not in known:
            raise UsageError(
                f"--option {word}: write NAME=VALUE with one of {', '.join(known) or '(none)'}"
            )
        is_switch = isinstance(known[name], bool)
        if is_switch and text not in ("true", "false"):
            raise UsageError(f"--option {word}: {name} is true or false")
        options[name] = text == "true" if is_switch else text
    return options
