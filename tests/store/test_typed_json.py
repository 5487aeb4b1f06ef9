"""The one check of JSON: each kind of type, its faults by their place, many records at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import pytest

from dpgbench.store.typed_json import Among, Range, check_json, fields_of, first_fault


class Inner(TypedDict, total=False):
    number: Annotated[int | None, Range(0, 10)]


class Outer(TypedDict):
    name: str
    inner: NotRequired[dict[str, Inner]]


@dataclass
class Closed:
    kind: Literal["a", 1]
    many: list[int] = field(default_factory=list)


GOOD: list[tuple[Any, Any]] = [
    ("x", str),
    (1, int),
    (1, float),
    (1.5, float),
    (True, bool),
    (None, str | None),
    ([1, "x", None], Any),
    (["a"], list[str]),
    ({"a": [1]}, dict[str, list[int]]),
    ("a", Literal["a", 1]),
    (1, Literal["a", 1]),
    (4, Annotated[int, Among((1, 2, 4))]),
    (None, Annotated[int | None, Range(0)]),
    ({"name": "n", "later": [1]}, Outer),
    ({"name": "n", "inner": {"k": {"number": 10}}}, Outer),
    ({"kind": 1}, Closed),
    ({"a": 1}, dict[str, Any] | str | None),
    ("s", dict[str, Any] | str | None),
]
BAD: list[tuple[Any, Any, str]] = [
    (1, str, "it is 1"),
    (True, int, "it is True"),
    (1.0, int, "it is 1.0"),
    ("1", float, "it is '1'"),
    (float("inf"), float, "it is inf"),
    (float("nan"), float, "it is nan"),
    (-(10**400), float, "it is -1"),
    (True, float, "it is True"),
    (1, bool, "it is 1"),
    ([1], list[str], "holds what is not text"),
    (["a"], list[int], "0 is 'a'"),
    ({}, list[int], "is {}"),
    ([], dict[str, int], r"is \[\]"),
    ({"a": "b"}, dict[str, int], "a is 'b'"),
    (True, Literal["a", 1], "is True"),
    (3, Annotated[int, Among((1, 2, 4))], "is 3"),
    (-1, Annotated[int, Range(0)], "is below 0"),
    (11, Annotated[int, Range(0, 10)], "is above 10"),
    ({}, Outer, "name is missing"),
    ([], Outer, r"it is \[\]"),
    ({"name": 1}, Outer, "name is 1"),
    ({"name": "n", "inner": {"k": {"number": 11}}}, Outer, r"inner\.k\.number is above 10"),
    ({"kind": 2}, Closed, "kind is 2"),
    ({"kind": 1, "x": 1}, Closed, "'x' is no field of it"),
    (5, dict[str, Any] | str | None, "it is 5"),
    ([1, "x" * 99], str, r"it is \[1, .*\.\.\."),
]


@pytest.mark.parametrize(("value", "kind"), GOOD)
def test_what_is_of_its_type_passes(value: Any, kind: Any) -> None:
    check_json(value, kind)


@pytest.mark.parametrize(("value", "kind", "says"), BAD)
def test_what_is_not_is_named_by_its_place(value: Any, kind: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_json(value, kind)
    with pytest.raises(ValueError, match=r"^at\.here"):
        check_json(value, kind, "at.here")


def test_the_first_bad_of_many_records_is_found() -> None:
    sound: list[Any] = [{"name": "a"}, {"name": "b", "inner": {"k": {"number": None}}}]
    assert first_fault([], Outer) is None
    assert first_fault(sound * 3, Outer) is None
    for bad, says in (
        ({}, "name is missing"),
        (5, "it is 5"),
        ({"name": 5}, "name is 5"),
        ({"name": "c", "inner": {"k": {"number": "x"}}}, "inner.k.number is 'x'"),
    ):
        assert first_fault([*sound, bad, {}], Outer) == (2, says)


def test_fields_that_must_be_there() -> None:
    assert [(f.name, f.required) for f in fields_of(Outer)] == [("name", True), ("inner", False)]
    assert [(f.name, f.required) for f in fields_of(Inner)] == [("number", False)]
    assert [(f.name, f.required) for f in fields_of(Closed)] == [("kind", True), ("many", False)]
