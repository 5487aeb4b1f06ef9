"""Names of the code: what they may not be, and that each stands for one thing."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from tests.helpers import REPOSITORY

SOURCES = sorted(
    path
    for root in ("dpgbench", "ella", "scripts", "benchmarks")
    for path in (REPOSITORY / root).rglob("*.py")
)
EMPTY = {"crew", "dialect", "dice", "found", "given", "known", "naming", "said", "session", "told"}
"""Words that do not say what a value holds, or that the field has another word for."""


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        name = path.relative_to(REPOSITORY).as_posix()
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def names_of(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name


def test_variables_say_what_they_hold() -> None:
    empty = [
        f"{path}:{line}: {name}"
        for path, tree in trees()
        for line, name in names_of(tree)
        if name in EMPTY
    ]
    assert empty == []


def test_files_are_called_by_what_is_in_them() -> None:
    assert [str(path) for path in SOURCES if path.stem in EMPTY] == []


def test_each_public_class_has_a_name_of_its_own() -> None:
    classes = Counter(
        node.name
        for path, tree in trees()
        if path.startswith(("dpgbench/", "ella/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, number in classes.items() if number > 1] == []


def test_only_writers_of_json_return_values_of_any_kind() -> None:
    loose = [
        f"{path}:{node.lineno}: {node.name}"
        for path, tree in trees()
        if path.startswith("dpgbench/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.returns and not node.name.startswith("_") and not node.name.endswith("_json")
        if "dict[str, Any]" in ast.unparse(node.returns)
    ]
    assert loose == []
