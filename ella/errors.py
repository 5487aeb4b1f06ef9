"""What can go wrong in ella, and how messages quote other errors and lists of names.

    EllaError
    ├── ConnectorFileError (ValueError)       a connector file cannot be read as one
    ├── IncompleteWeightsError (ValueError)   files lack tensors of the network that they are for
    ├── TextEncoderError (ValueError)         a text encoder cannot be loaded or cannot encode
    ├── UnsupportedPipelineError (TypeError)  a pipeline cannot be shown new conditions each step
    └── TrainingError                         training cannot go on
        ├── TrainingDataError (ValueError)    a picture or a list of captions cannot be used
        └── ResumeError (ValueError)          a checkpoint is of other settings, or damaged

A wrong argument is a plain `ValueError` that names the argument and its value.
Each message is one line: what is wrong, where, and what to do next.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

NUM_NAMES_SHOWN = 3
_LONGEST_MESSAGE = 2_000  # characters; a name in a damaged file can have millions
_MESSAGE_END = 500  # of them at the end, where it says what to do next


class EllaError(Exception):
    """Anything that ella itself found wrong."""

    def __str__(self) -> str:
        """The message on one line that can be read, whatever a file has put into it."""
        line = readable(" ".join(" ".join(str(part) for part in self.args).split()))
        if len(line) <= _LONGEST_MESSAGE:
            return line
        return f"{line[: _LONGEST_MESSAGE - _MESSAGE_END - 5]} ... {line[-_MESSAGE_END:]}"


def readable(line: str) -> str:
    """A line as a terminal may show it: what it would obey, or not show, is escaped."""
    return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    """A character as it is, or escaped where a terminal would obey it or show nothing."""
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode()


class ConnectorFileError(EllaError, ValueError):
    """A connector file is missing, damaged, of another kind, or of other names or shapes."""


class IncompleteWeightsError(EllaError, ValueError):
    """Files lack tensors of their network, or have them in another shape."""


class TextEncoderError(EllaError, ValueError):
    """A text encoder's folder is not one, or its tokenizer cannot do what was asked."""


class UnsupportedPipelineError(EllaError, TypeError):
    """A pipeline cannot show the U-Net other conditions at each step, or would show wrong ones."""


class TrainingError(EllaError):
    """Training cannot go on; what is on disk stays, and the same command resumes from it.

    Attributes:
        in_all_processes: Whether every process of the run raises it, so that one may speak for all.
    """

    in_all_processes = False


class TrainingDataError(TrainingError, ValueError):
    """A picture, or the list of pictures and captions, cannot be used."""


class ResumeError(TrainingError, ValueError):
    """A checkpoint was made with other settings, models or data, or cannot be read."""


def one_line(error: BaseException) -> str:
    """What an error says, on one line; its class's name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was no more memory: the machine's, or a device's in torch's words."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and ("out of memory" in words or "can't allocate memory" in words)
    )


def first_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are; `none` without any."""
    more = len(names) - NUM_NAMES_SHOWN
    shown = ", ".join(names[:NUM_NAMES_SHOWN]) or "none"
    return f"{shown} and {more} more" if more > 0 else shown
