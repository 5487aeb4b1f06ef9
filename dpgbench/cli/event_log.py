"""`--log-json`: the start, the warnings and the end of a command as events."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench import interrupts
from dpgbench.cli.console import command_line
from dpgbench.errors import DpgBenchError

if TYPE_CHECKING:
    from dpgbench.jobs.events import EventLog

LogJson = Annotated[
    Path | None,
    typer.Option("--log-json", metavar="FILE", help="Append what happens as JSON lines."),
]


class _Warnings(logging.Handler):
    """Makes an event of each warning."""

    def __init__(self, events: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        if record.name != "dpgbench.jobs.events":  # that events cannot be written is none
            self._events.write("warning", message=record.getMessage())


@contextmanager
def logging_events(path: Path | None, command: str) -> Iterator[EventLog]:
    """Give a log of events for a command: it has the start and, at last, the exit code.

    Raises:
        UsageError: the file holds something else, such as a run's own log.
    """
    from dpgbench.jobs.events import EventLog, refuse_other_file

    if path is not None:
        refuse_other_file(path)
    events = EventLog(path)
    if path is None:
        yield events
        return
    handler = _Warnings(events)
    logger = logging.getLogger("dpgbench")
    logger.addHandler(handler)
    process, host = os.getpid(), platform.node()
    events.write("start", work=command, command=command_line(), process=process, host=host)
    code, message = 1, ""
    try:
        yield events
        code = 0
    except DpgBenchError as error:
        code, message = error.exit_code, str(error)
        raise
    except KeyboardInterrupt:
        code = interrupts.exit_code()
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        raise
    finally:
        logger.removeHandler(handler)
        if interrupts.is_ending():
            code = interrupts.exit_code()
        events.write("end", work=command, exit_code=code, error=message or None)
