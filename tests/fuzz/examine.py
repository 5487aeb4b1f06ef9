"""One call of a reader on a damaged file, and what must hold of it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

from dpgbench.errors import one_line
from tests.fuzz.bounds import within
from tests.fuzz.readers import Reader

LONGEST_MESSAGE = 2_000
"""Characters of an error's message, beyond which nobody reads it and a terminal is flooded."""


def examine(reader: Reader, folder: Path, data: bytes) -> None:
    """Raise where a reader does anything but read a file, or refuse it in one line.

    Args:
        reader: that reads.
        folder: that the file is put into, made anew.
        data: the file.
    """
    path = folder / reader.file
    shutil.rmtree(folder, ignore_errors=True)
    path.parent.mkdir(parents=True)
    reader.beside(path.parent)
    path.write_bytes(data)
    failed, value = None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in the command line they stop nothing
        with within(reader.bounds, len(data)):
            try:
                value = reader.read(path)
            except reader.errors as error:
                failed = error
        if failed is None:
            reader.check(path, value)
            return
    check_message(str(failed), path.name if reader.names_file else "")


def check_message(message: str, name: str = "") -> None:
    """Raise where a message is not one line that a person can read."""
    assert message.strip()
    assert one_line(message) == message, message[:300]
    assert len(message) <= LONGEST_MESSAGE, f"{len(message)} characters: {message[:300]}"
    assert name in message, f"{name} is not named: {message[:300]}"
