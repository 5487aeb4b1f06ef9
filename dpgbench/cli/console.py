"""What commands print: results on stdout, all else on stderr, errors as one line with a code."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shlex
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from dpgbench import interrupts
from dpgbench.errors import (
    DpgBenchError,
    IncompleteError,
    StorageError,
    UsageError,
    counted,
    one_line,
)


@dataclass
class CommandEnd:
    """How a command ended."""

    exit_code: int = 0


@contextlib.contextmanager
def ending() -> Iterator[CommandEnd]:
    """Turn what a command raises into one line on stderr and an exit code.

    An exception that nobody foresaw keeps its traceback.
    """
    end = CommandEnd()
    try:
        yield end
    except DpgBenchError as error:
        say(f"error: {error}")
        end.exit_code = error.exit_code
    except typer.Exit as stop:
        end.exit_code = stop.exit_code
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # what Click makes of one
            _write_to_nobody()
        else:
            end.exit_code = _code_of_exit(stop)
    except (KeyboardInterrupt, typer.Abort):
        end.exit_code = _code_of_interrupt()
    except BrokenPipeError:
        _write_to_nobody()
    except OSError as error:
        if error.errno is None:
            raise
        say(f"error: {error.strerror}: {error.filename or 'standard output'}")
        end.exit_code = StorageError.exit_code
    except Exception as error:
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        if text := " ".join(message().split()):  # the option parser's own; empty: it gave help
            say(f"error: {text.replace('Value error, ', '')} (see --help)")
        end.exit_code = UsageError.exit_code


def _code_of_exit(stop: SystemExit) -> int:
    """Say what a call of exit() within a command means, and return the command's exit code."""
    if any(name.endswith("_COMPLETE") for name in os.environ):  # the shell's completion ends so
        raise stop
    if interrupts.is_ending(within_seconds=0.3):  # by a library's own handler of SIGTERM
        return _code_of_interrupt()
    say(
        "error: something ended the command before its work was done (SystemExit); does a "
        "class of your own, or what it imports, call exit()?"
    )
    return stop.code if isinstance(stop.code, int) and stop.code else 1


def _code_of_interrupt() -> int:
    interrupts.say_interrupted()
    return interrupts.exit_code()


def setup(*, quiet: bool) -> None:
    """Send log lines to stderr, and hold the libraries' own notices back."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: no text stops a result
    level = logging.ERROR if quiet else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, force=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_OneLine("%(levelname)s: %(message)s"))
    logging.addLevelName(logging.WARNING, "warning")
    logging.addLevelName(logging.ERROR, "error")
    logging.getLogger("dpgbench").setLevel(level)
    for variable in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(variable, "error")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.formatwarning = _one_line
    for kind in (DeprecationWarning, FutureWarning, *([Warning] if quiet else [])):
        warnings.simplefilter("ignore", kind)
    if quiet:
        os.environ["TQDM_DISABLE"] = "1"


def _one_line(message: Warning | str, *place: Any, **more: Any) -> str:
    return f"warning: {one_line(' '.join(str(message).split()))}\n"


class _OneLine(logging.Formatter):
    """Log lines in which control characters, of a file's text for example, are escaped."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return one_line(super().formatMessage(record))


def version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        from dpgbench.store.run.manifest import toolkit_version

        typer.echo(f"dpgbench {toolkit_version()}")
        raise typer.Exit


def say(message: str) -> None:
    """Write one line to stderr."""
    with contextlib.suppress(OSError):
        sys.stderr.write(one_line(message) + "\n")
        sys.stderr.flush()


def say_unless_quiet(message: str) -> None:
    """Write one line to stderr, unless the command has --quiet."""
    if logging.getLogger("dpgbench").level < logging.ERROR:
        say(message)


def echo(text: str = "") -> None:
    """Write lines to stdout, with control characters other than tab and line end escaped."""
    if not text.isprintable():
        text = "\n".join("\t".join(map(one_line, ln.split("\t"))) for ln in text.split("\n"))
    try:
        typer.echo(text)
    except BrokenPipeError:
        _write_to_nobody()


def _write_to_nobody() -> None:
    """Go on without a reader of stdout, such as `head`, that has seen enough.

    The command ends as it would have with one: what it found out is in its exit code.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """Write one JSON object to stdout."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    if not text.replace("\n", "").isprintable():
        text = "".join(map(_json_escaped, text))
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _write_to_nobody()


def _json_escaped(character: str) -> str:
    """Return a character of a JSON text; a control character as JSON's own escape."""
    if character == "\n" or one_line(character) == character:
        return character
    return json.dumps(character)[1:-1] if ord(character) != 0x7F else "\\u007f"


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a plain table to stdout; columns as wide as their longest cell but the last."""
    table = [[one_line(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo(line.rstrip())


def command_line() -> str:
    """Return the command line as the user could type it again."""
    return shlex.join(["dpgbench", *sys.argv[1:]])


def raise_incomplete(
    missing: Mapping[str, str], what: str, *, partial: bool, next_step: str = ""
) -> None:
    """Raise where items are missing and that is not expected.

    Args:
        missing: reasons by item.
        what: they are not, such as ``not drawn``.
        partial: that some are missing is expected.
        next_step: what can be done, beyond what the reasons say.

    Raises:
        IncompleteError: says how many and why the first one is.
    """
    if missing and not partial:
        first, reason = next(iter(missing.items()))
        verb = "is" if len(missing) == 1 else "are"
        raise IncompleteError(
            f"{counted(len(missing), 'item')} {verb} {what}, first {first}: {reason}; "
            f"what there is was kept{next_step and f', and {next_step}'}"
        )
