"""What can be wrong with a folder of weights."""

_LONGEST_MESSAGE = 2_000  # characters; a name in a damaged file can have millions
_MESSAGE_END = 500  # of them at the end, where it says what to do next


class CheckpointError(ValueError):
    """A file of the judge's folder is missing, damaged, or not what the network needs.

    The message is one line: the file, what is wrong with it, what to do next.
    """

    def __str__(self) -> str:
        """The message, what a damaged file has put into it escaped, and its middle left out."""
        line = " ".join(" ".join(str(part) for part in self.args).split())
        line = line if line.isprintable() else line.encode("unicode_escape").decode()
        if len(line) <= _LONGEST_MESSAGE:
            return line
        return f"{line[: _LONGEST_MESSAGE - _MESSAGE_END - 5]} ... {line[-_MESSAGE_END:]}"
