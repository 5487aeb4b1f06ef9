"""How tests share what they need: modules without `test_` in their names, by their full names."""

from __future__ import annotations

import ast

import pytest

from tests.helpers import REPOSITORY

FILES = sorted((REPOSITORY / "tests").rglob("*.py"))
PUTS_BACK = REPOSITORY / "tests/conftest.py"  # after each test, what commands have changed


def imported_modules(tree: ast.Module) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            modules |= {node.module or ""} | {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            modules |= {name.name for name in node.names}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_nothing_is_imported_from_a_test_or_by_a_changed_path(path) -> None:
    source = path.read_text(encoding="utf-8")
    modules = imported_modules(ast.parse(source))
    assert not [name for name in modules if name.split(".")[0].startswith("test_")]
    assert not [name for name in modules if name.startswith("tests.") and ".test_" in name]
    assert "tests.conftest" not in modules
    assert path == PUTS_BACK or "sys." + "path" not in source


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []
