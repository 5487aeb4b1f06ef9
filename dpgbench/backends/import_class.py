"""The class that a name of the form ``package.module:Class`` stands for."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from dpgbench.errors import UsageError, reason_of


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
            f"{what} '{target}': importing {module_name} failed: {reason_of(error, with_type=True)}"
        ) from error
    if not hasattr(module, attribute):
        raise UsageError(f"{what} '{target}': module {module_name} has no {attribute}")
    return getattr(module, attribute)


def is_own_class(name: str) -> bool:
    """Return whether a name has the form ``package.module:Class``."""
    module, colon, attribute = name.partition(":")
    return (
        bool(colon)
        and attribute.isidentifier()
        and all(part.isidentifier() for part in module.split("."))
    )
