"""An exception that can be sent to another process, whatever library it is of.

An exception of a foreign class may not survive pickling, or not be importable where it arrives; of
those, the name of the class, the message and the traceback travel, which is all that is recorded.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from dpgbench.errors import DpgBenchError


class WorkerError(Exception):
    """Something that a worker raised and nobody foresaw."""


class RaisedInWorkerError(Exception):
    """Where in the worker it was raised; the cause of a `WorkerError`."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class PortableError:
    """What is kept of an exception.

    Attributes:
        kind: its class, if it is one of the toolkit's own or ends a process; else None.
        name: of its class.
        args: of an exception of a `kind`, else its message alone.
        trace: its traceback, as text.
        of_files: it is about files or the network.
    """

    kind: type[BaseException] | None
    name: str
    args: tuple[Any, ...]
    trace: str
    of_files: bool = False

    @classmethod
    def of(cls, error: BaseException) -> PortableError:
        """Return what is kept of `error`."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else 1
            return cls(SystemExit, "SystemExit", (code,), trace)
        if isinstance(error, DpgBenchError):
            own = (kind for kind in type(error).__mro__ if kind.__module__.startswith("dpgbench."))
            return cls(next(own), type(error).__name__, (str(error),), trace)
        return cls(None, type(error).__name__, (str(error),), trace, isinstance(error, OSError))

    def error(self) -> BaseException:
        """Return an exception of the same name and message; its cause has the traceback."""
        kind = self.kind or type(self.name, (WorkerError, *([OSError] * self.of_files)), {})
        error: BaseException = kind(*self.args)
        error.__cause__ = RaisedInWorkerError(self.trace)
        return error
