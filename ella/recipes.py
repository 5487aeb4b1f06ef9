"""Settings of whole training runs that ship with the package: the paper's, and others."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
FOLDERS = (_PACKAGE / "_recipes", _PACKAGE.parent / "recipes")
"""In an installed package, and in a clone."""


def recipes() -> dict[str, Path]:
    """The shipped files of settings, by name."""
    folder = next((one for one in FOLDERS if one.is_dir()), None)
    return {} if folder is None else {path.stem: path for path in sorted(folder.glob("*.toml"))}


def recipe_file(path: Path) -> Path:
    """The file that is meant: one at `path`, or the shipped one of that name."""
    if path.exists() or path.suffix or path.name != str(path):
        return path
    return recipes().get(path.name, path)
