"""`set-aside/<time>/`: what a repair took out of a run, with the reason; nothing is ever deleted.

Every step is whole or not there, and the reason is on disk before the step: after a kill the next
repair finds what is left to do by looking at the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from dpgbench.errors import DataError
from dpgbench.store.files import JsonLines, read_jsonl, writing
from dpgbench.store.run.lines import drop_lines, read_lines
from dpgbench.store.typed_json import first_fault

FOLDER = "set-aside"
WHY = "why.jsonl"


class SetAsideLine(TypedDict):
    """A thing that was set aside.

    Attributes:
        path: of the file, below the run and below this folder.
        reason: what was wrong.
        lines: numbers of the lines that were taken out of it, from 1; null for the whole file.
        item_id: of a grid, whose; of answers that are asked again about another image, whose.
        logged_sha256: the hash that the log had of the grid.
        sha256: the hash of the image; null where it could not be read.
    """

    path: str
    reason: str
    lines: NotRequired[list[int] | None]
    item_id: NotRequired[str | None]
    logged_sha256: NotRequired[str | None]
    sha256: NotRequired[str | None]


class SetAsideFolder:
    """The place of what one repair takes out."""

    def __init__(self, run: Path, time: str) -> None:
        self.run = run
        self.path = _free(run / FOLDER / time.replace(":", "-").replace("+00-00", "Z"))

    def take_file(self, path: Path, reason: str, facts: Mapping[str, str | None]) -> None:
        """Move a file of the run here.

        Raises:
            StorageError: it could not be moved; it is where it was.
        """
        name = path.relative_to(self.run)
        self._tell({"path": name.as_posix(), "reason": reason, "lines": None, **facts})
        target = self.path / name
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def take_lines(self, path: Path, numbers: Sequence[int], reason: str) -> None:
        """Move lines of a file of the run into a file of the same name here.

        Raises:
            StorageError: it could not be written; the lines are where they were.
        """
        name = path.relative_to(self.run)
        self._tell({"path": name.as_posix(), "reason": reason, "lines": list(numbers)})
        target = self.path / name
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("ab") as file:
                file.write(read_lines(path, numbers))
        drop_lines(path, numbers, scratch=self.run)

    def note(self, path: Path, reason: str, facts: Mapping[str, str | None]) -> None:
        """Record facts about what goes next."""
        name = path.relative_to(self.run).as_posix()
        self._tell({"path": name, "reason": reason, "lines": [], **facts})

    def _tell(self, line: Mapping[str, object]) -> None:
        with JsonLines(self.path / WHY) as lines:
            lines.append(line)


def _free(path: Path) -> Path:
    """Return `path`, or the same with the first number from 2 that no folder has."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def read_set_aside(run: Path) -> Iterator[SetAsideLine]:
    """Yield what earlier repairs took out of a run, the oldest first; what is unreadable is not."""
    for path in sorted((run / FOLDER).glob(f"*/{WHY}")):
        try:
            lines = read_jsonl(path)
        except DataError:
            continue
        if first_fault(lines, SetAsideLine) is None:
            yield from lines  # type: ignore[misc]
