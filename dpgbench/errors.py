"""Every error that a user can meet, and the exit code that it ends the command with.

    DpgBenchError                 1
    ├── UsageError                2   the command or its settings cannot be right
    ├── DataError                 3   a file's content is not what it must be
    ├── SetupError                4   weights, a package or a download is missing
    ├── ResumeMismatchError       5   a run directory holds another run
    └── IncompleteError           6   some of the work could not be done; what was done is kept
        └── StorageError          6   the disk is full or refuses to be written

Ctrl-C ends with 130, SIGTERM with 143. Anything else is a bug and keeps its traceback.
A message is one line with three facts: what, where (file, row, item), and what to do next.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import ClassVar


class DpgBenchError(Exception):
    """Base of all errors that end a command with a message instead of a traceback."""

    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        """Return the message as one line that can be read, whatever was put into it."""
        return _readable(one_line(" ".join(str(part) for part in self.args)))


class UsageError(DpgBenchError):
    """The command or a setting cannot be right."""

    exit_code = 2


class DataError(DpgBenchError):
    """A file's content is not what it must be."""

    exit_code = 3


class SetupError(DpgBenchError):
    """Something that the machine needs is missing; the message has the command that gets it."""

    exit_code = 4


class ResumeMismatchError(DpgBenchError):
    """A run directory holds the work of another specification."""

    exit_code = 5


class IncompleteError(DpgBenchError):
    """Some of the work could not be done; what was done is kept."""

    exit_code = 6


class StorageError(IncompleteError):
    """A file could not be written: the disk is full, read-only or forbidden."""


_LONGEST_MESSAGE = 2_000  # characters; a name or a cell of a damaged file can have millions
_MESSAGE_END = 500  # of them at the end, where it says what to do next


def _readable(message: str) -> str:
    """Return a message without its middle, where it is longer than anybody reads."""
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[: _LONGEST_MESSAGE - _MESSAGE_END - 5]} ... {message[-_MESSAGE_END:]}"


def one_line(text: str) -> str:
    """Return `text` on one line: line ends are spaces, other control characters are escaped.

    Text of a file can hold control sequences of terminals: they are printed, not obeyed.
    """
    line = " ".join(text.splitlines())
    if line.isprintable():
        return line
    return "".join(map(_shown, line))


def _shown(character: str) -> str:
    """Return a character as it is, or escaped where it is a control character or invisible."""
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


def reason_of(
    error: BaseException,
    *,
    with_type: bool = False,
    first_line: bool = False,
    limit: int | None = None,
) -> str:
    """Return what an exception says, on one line; the name of its type where it says nothing.

    Args:
        error: of any library; its message may have several lines, indented or empty.
        with_type: put the name of its type before it.
        first_line: leave out all lines but the first, where the others are advice or a dump.
        limit: characters at most; a longer text ends after a whole word.
    """
    name = type(error).__name__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = one_line(" ".join(lines[:1] if first_line else lines))
    text = (f"{name}: {message}" if with_type else message) if message else name
    if limit is None or len(text) <= limit:
        return text
    words = text[: limit + 1].rpartition(" ")[0]
    return (words if len(words) > limit // 2 else text[:limit]).rstrip(",; ")


def counted(number: int, noun: str) -> str:
    """Return ``1 item`` or ``2 items``: a count with its noun in the right number."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def unknown_name(kind: str, name: str, names: Iterable[str], *, listing: str) -> UsageError:
    """Return the error for a name that there is not, with near names offered.

    Args:
        kind: what was named, for example ``model``.
        name: what the user wrote.
        names: every name that would have been understood.
        listing: the command that lists them.
    """
    names = sorted(names)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {shortened(names, 12)}"
    return UsageError(f"unknown {kind} '{name}'; {hint} ({listing} lists all)")


def shortened(values: Sequence[object], limit: int = 5) -> str:
    """Return the first `limit` values, comma-separated, and how many more there are."""
    text = ", ".join(str(value) for value in values[:limit])
    more = len(values) - limit
    return f"{text} and {more} more" if more > 0 else text


def clipped(value: object, limit: int = 60) -> str:
    """Return a value as Python writes it; a long one ends after a whole word, with ``...``."""
    text = repr(value)
    if len(text) <= limit:
        return text
    words = text[: limit + 1].rpartition(" ")[0]
    return f"{words if len(words) > limit // 2 else text[:limit]}..."
