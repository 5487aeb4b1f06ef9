"""Image files named after prompts, as T2I-CompBench's scripts name theirs.

``{prompt}_{number:06d}.png``: the number counts the images of a category, so that those of a
prompt are its files by ascending number; which numbers they are does not matter. ``{category}`` may
name a folder before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from dpgbench.domain.rows import item_source
from dpgbench.errors import DataError, UsageError, clipped

PROMPT, NUMBER, CATEGORY = "prompt", "number", "category"
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SAMPLES = (
    "{prompt}_{number:06d}.png",
    "samples/{prompt}_{number:06d}.png",
    "{category}/samples/{prompt}_{number:06d}.png",
    "samples/{category}/samples/{prompt}_{number:06d}.png",
)
"""Where T2I-CompBench's scripts put a category's images, below their output folder or above it."""

_NAME = re.compile(r"\{prompt\}_\{number(?::0?\d{0,2}d?)?\}(\.\w+)?")
_FILE = re.compile(r"(.+)_(\d{1,9})", re.DOTALL)


def check_prompt_pattern(text: str) -> None:
    """Raise where a pattern with ``{prompt}`` is none that can be read.

    Raises:
        UsageError: says what it must be.
    """
    path = PurePosixPath(text)
    folders = "/".join(path.parts[:-1]).replace("{category}", "")
    suffix = _NAME.fullmatch(path.name)
    is_picture = suffix is not None and (suffix[1] or SUFFIXES[0]).lower() in SUFFIXES
    if not is_picture or "{" in folders or path.is_absolute() or ".." in path.parts:
        raise UsageError(
            f"--pattern {text}: with {{prompt}} a pattern is '{{prompt}}_{{number:06d}}.png', with "
            "folders before it that may hold {category}"
        )


class PromptFiles:
    """The files of a folder by a pattern with ``{prompt}``; each folder is read once."""

    def __init__(self, folder: Path, pattern: str) -> None:
        self.folder, self.pattern = folder, PurePosixPath(pattern)
        suffix = self.pattern.suffix.lower()
        self._suffixes = (suffix,) if suffix in SUFFIXES else SUFFIXES
        self._read: dict[str, dict[str, list[Path]]] = {}

    def of_item(self, item_id: str, prompt: str) -> Sequence[Path]:
        """Return the images of a prompt by ascending number; none where it has none.

        Raises:
            DataError: two have one number.
        """
        place = "/".join(self.pattern.parts[:-1]).replace("{category}", item_source(item_id))
        if place not in self._read:
            self._read[place] = self._by_prompt(self.folder / place)
        return self._read[place].get(prompt.strip(), ())

    def _by_prompt(self, folder: Path) -> dict[str, list[Path]]:
        numbered: dict[str, dict[int, Path]] = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            match = _FILE.fullmatch(path.stem)
            if match is None or path.suffix.lower() not in self._suffixes or not path.is_file():
                continue
            of_prompt = numbered.setdefault(match[1], {})
            first = of_prompt.setdefault(int(match[2]), path)
            if first is not path:
                raise DataError(
                    f"{folder} has {clipped(first.name)} and {clipped(path.name)}, two images with "
                    "one number; keep one of them"
                )
        return {
            prompt: [by_number[number] for number in sorted(by_number)]
            for prompt, by_number in numbered.items()
        }


def prompt_pattern_of(folder: Path, prompts: Mapping[str, str]) -> str | None:
    """Return the pattern of `SAMPLES` by which items of a folder are there; None where none is.

    Args:
        folder: of images.
        prompts: by item id.
    """
    for pattern in SAMPLES:
        files = PromptFiles(folder, pattern)
        if any(files.of_item(item, prompt) for item, prompt in prompts.items()):
            return pattern
    return None
