"""JSON of files, checked against the types that code reads it by: the one way of doing that.

A `TypedDict` or a dataclass names the fields of a record. A `TypedDict` is open: fields that it
does not name are allowed, and kept by whoever writes the record again. A dataclass is closed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from dpgbench.errors import clipped

Check = Callable[[Any, str], None]
"""Raises ValueError where a value, standing at a place such as ``judges.mplug``, is not sound."""


class Range(NamedTuple):
    """The least and the most that a number may be, in `Annotated`; None is without end."""

    least: float | None = None
    most: float | None = None


class Among(NamedTuple):
    """The numbers of which one must be one, in `Annotated`."""

    choices: tuple[int, ...]


def check_json(value: object, kind: Any, where: str = "") -> None:
    """Raise where a JSON value is not of a type.

    Args:
        value: as `json` reads it.
        kind: `str`, `int` (no bool), `float` (finite, or an int), `bool`, `Any`, a `Literal`,
            `list[T]`, `dict[str, T]`, a `TypedDict`, a dataclass, a union of these, or one of them
            in `Annotated` with a `Range` or `Among`.
        where: the value's place in its file.

    Raises:
        ValueError: names the place and what stands there.
    """
    _check_of(kind)(value, where)


def first_fault(records: Sequence[Any], kind: Any) -> tuple[int, str] | None:
    """Return the place, from 0, and the fault of the first record that is not of a `TypedDict`.

    Many records are looked at a field at a time, one by one only where something is wrong.
    """
    check, record_fields = _check_of(kind), _fields_of(kind)
    if set(map(type, records)) <= {dict} and all(field.fits(records) for field in record_fields):
        return None
    for place, record in enumerate(records):
        try:
            check(record, "")
        except ValueError as error:
            return place, str(error)
    return None


class JsonField(NamedTuple):
    """A field of a record: its name and type, and whether it must be there."""

    name: str
    kind: Any
    required: bool

    def fits(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Return whether the field is sound in all `records`."""
        values = [record[self.name] for record in records if self.name in record]
        if self.required and len(values) < len(records):
            return False
        types = set(map(type, values))
        if types <= _plain_types(self.kind):
            return True
        if types <= _ranged_types(self.kind):  # then the least and the most tell of all
            numbers = [value for value in values if value is not None]
            values = [min(numbers), max(numbers)] if numbers else []
        check = _check_of(self.kind)
        try:
            for value in values:
                check(value, self.name)
        except ValueError:
            return False
        return True


@cache
def _fields_of(kind: Any) -> tuple[JsonField, ...]:
    return tuple(fields_of(kind))


def fields_of(kind: Any) -> list[JsonField]:
    """Return the fields of a `TypedDict` or dataclass, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    if is_dataclass(kind):
        required = {
            field.name
            for field in fields(kind)
            if field.default is MISSING and field.default_factory is MISSING
        }
    else:
        required = {
            name for name in kind.__required_keys__ if get_origin(hints[name]) is not NotRequired
        }
    return [
        JsonField(
            name,
            get_args(hint)[0] if get_origin(hint) is NotRequired else hint,
            name in required,
        )
        for name, hint in hints.items()
    ]


def json_types(kind: Any) -> frozenset[type]:
    """Return the Python types that `json` gives for the values of a type."""
    origin = get_origin(kind)
    if origin is Annotated:
        return json_types(get_args(kind)[0])
    if origin in (Union, UnionType):
        return frozenset[type]().union(*map(json_types, get_args(kind)))
    if origin is Literal:
        return frozenset(map(type, get_args(kind)))
    if origin is list:
        return frozenset({list})
    if origin is dict or is_typeddict(kind) or is_dataclass(kind):
        return frozenset({dict})
    if kind is Any:
        return frozenset({str, int, float, bool, NoneType, dict, list})
    return frozenset({float, int} if kind is float else {kind})


@cache
def _plain_types(kind: Any) -> frozenset[type]:
    """Return the JSON types of a type whose values need no look beyond theirs; else none."""
    if get_origin(kind) in (Union, UnionType):
        parts = list(map(_plain_types, get_args(kind)))
        return frozenset[type]().union(*parts)
    return json_types(kind) if kind in (str, int, bool, NoneType, Any) else frozenset()


@cache
def _ranged_types(kind: Any) -> frozenset[type]:
    """Return the JSON types of a number that needs to be in a range, and no more; else none."""
    if get_origin(kind) is not Annotated:
        return frozenset()
    bare, *notes = get_args(kind)
    ranged = all(isinstance(note, Range) for note in notes)
    return json_types(bare) & {int, float, NoneType} if ranged else frozenset()


@cache
def _check_of(kind: Any) -> Check:
    """Return the check of a type."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _number_check(*get_args(kind))
    if origin in (Union, UnionType):
        return _union_check(get_args(kind))
    if origin is Literal:
        return _choice_check(get_args(kind))
    if origin is list:
        return _list_check(*get_args(kind))
    if origin is dict:
        return _mapping_check(get_args(kind)[1])
    if is_typeddict(kind) or is_dataclass(kind):
        return _record_check(_fields_of(kind), closed=is_dataclass(kind))
    if kind is float:
        return _finite_check
    return _type_check(json_types(kind))


def _type_check(types: Collection[type]) -> Check:
    def check(value: Any, where: str) -> None:
        if type(value) not in types:
            raise ValueError(f"{where or 'it'} is {clipped(value)}")

    return check


def _finite_check(value: Any, where: str) -> None:
    if type(value) not in (float, int) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{where or 'it'} is {clipped(value)}")


def _number_check(kind: Any, *notes: Any) -> Check:
    inner = _check_of(kind)
    least, most = next((note for note in notes if isinstance(note, Range)), Range())
    among = next((note.choices for note in notes if isinstance(note, Among)), None)

    def check(value: Any, where: str) -> None:
        inner(value, where)
        if value is None:
            return
        if least is not None and value < least:
            raise ValueError(f"{where or 'it'} is below {least}")
        if most is not None and value > most:
            raise ValueError(f"{where or 'it'} is above {most}")
        if among is not None and value not in among:
            raise ValueError(f"{where or 'it'} is {clipped(value)}")

    return check


def _union_check(kinds: tuple[Any, ...]) -> Check:
    checks = {one: _check_of(kind) for kind in kinds for one in json_types(kind)}
    check_type = _type_check(checks)

    def check(value: Any, where: str) -> None:
        check_type(value, where)
        checks[type(value)](value, where)

    return check


def _choice_check(choices: tuple[Any, ...]) -> Check:
    def check(value: Any, where: str) -> None:
        if (type(value), value) not in [(type(choice), choice) for choice in choices]:
            raise ValueError(f"{where or 'it'} is {clipped(value)}")

    return check


def _list_check(kind: Any) -> Check:
    inner = _check_of(kind)

    def check(value: Any, where: str) -> None:
        if type(value) is not list:
            raise ValueError(f"{where or 'it'} is {clipped(value)}")
        if kind is str and not set(map(type, value)) <= {str}:
            raise ValueError(f"{where or 'it'} holds what is not text")
        for number, entry in enumerate(value):
            inner(entry, f"{where}.{number}")

    return check


def _mapping_check(kind: Any) -> Check:
    inner = _check_of(kind)

    def check(value: Any, where: str) -> None:
        if type(value) is not dict:
            raise ValueError(f"{where or 'it'} is {clipped(value)}")
        for name, entry in value.items():
            inner(entry, f"{where}.{name}")

    return check


def _record_check(record_fields: Sequence[JsonField], *, closed: bool) -> Check:
    checks = {field.name: _check_of(field.kind) for field in record_fields}
    required = [field.name for field in record_fields if field.required]

    def check(value: Any, where: str) -> None:
        if type(value) is not dict:
            raise ValueError(f"{where or 'it'} is {clipped(value)}")
        prefix = f"{where}." if where else ""
        for name in required:
            if name not in value:
                raise ValueError(f"{prefix}{name} is missing")
        for name, entry in value.items():
            if name in checks:
                checks[name](entry, f"{prefix}{name}")
            elif closed:
                raise ValueError(f"{prefix}{clipped(name)} is no field of it")

    return check
