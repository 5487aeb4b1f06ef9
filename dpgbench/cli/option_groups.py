"""Option groups: a parameter of a command that is a dataclass becomes one option for each field.

    @dataclass(frozen=True)
    class ItemOptions:
        limit: Annotated[int | None, typer.Option("--limit")] = None

    @with_option_groups
    def command(items: ItemOptions) -> None: ...   # has the option --limit

The group stands where its parameter stands, its options in the order of `OPTIONS`, or of its fields
where it has no such attribute. Names, help, defaults and completion are the annotations'.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return `command` with each of its option groups replaced by the group's options."""
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type, tuple[str, ...]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        group = hints[parameter.name]
        if isinstance(group, type) and is_dataclass(group):
            options = _options(group)
            parameters += options
            groups[parameter.name] = group, tuple(option.name for option in options)
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    def grouped(**values: Any) -> None:
        for name, (group, options) in groups.items():
            values[name] = group(**{option: values.pop(option) for option in options})
        command(**values)

    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(grouped, name, getattr(command, name))
    grouped.__annotations__ = {p.name: p.annotation for p in parameters}
    signature = inspect.Signature(
        [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    setattr(grouped, "__signature__", signature)  # noqa: B010 - mypy knows no such attribute
    return grouped


def _options(group: type) -> list[inspect.Parameter]:
    """Return the options of a group as parameters of a command."""
    hints = get_type_hints(group, include_extras=True)
    defaults = {field.name: field.default for field in fields(group)}
    names = getattr(group, "OPTIONS", tuple(defaults))
    return [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=defaults[name],
            annotation=hints[name],
        )
        for name in names
    ]
