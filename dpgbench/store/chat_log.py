"""Replies of language models as they came, a line each: what was paid for once is not asked again.

A line stands under the hash of everything that decided the reply: the model, the words that it was
asked with (template, examples and prompt), the longest reply, the schema. So a line is right for
whatever command meets the same hash, and files may be joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, NotRequired, TypedDict

from dpgbench.errors import DataError
from dpgbench.store.files import JsonLines, read_jsonl
from dpgbench.store.typed_json import Range, check_json

Count = Annotated[int, Range(0, None)]


class ChatLine(TypedDict):
    """One reply.

    Attributes:
        key: SHA-256 of what it was a reply to.
        item_id: of the prompt that it was first asked for.
        purpose: what it was asked for: ``graph``, ``check``, or a step of three.
        text: of the reply, raw.
        finish: why the model stopped; ``schema_refused`` where there is no reply, because it could
            not be held to a schema.
        prompt_tokens: of the request.
        completion_tokens: of the reply.
        are_counted: whether the server counted the tokens; else they are estimates.
        date: when it came.
    """

    key: str
    item_id: str
    purpose: str
    text: str
    finish: str
    prompt_tokens: Count
    completion_tokens: Count
    are_counted: bool
    date: str


class AttemptLine(TypedDict):
    """From here on an item's replies of earlier attempts are not wanted."""

    item_id: str
    attempt: Count
    date: NotRequired[str]


class ChatLog:
    """The replies of a file, and the writing of new ones; to be used in a ``with``.

    Raises:
        DataError: a line is not a reply.
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines, self.attempts = read_chat_log(path)
        self._file: JsonLines | None = None

    def __enter__(self) -> ChatLog:
        self._file = JsonLines(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.__exit__(kind, error, trace)

    def append(self, line: ChatLine) -> None:
        """Write a reply; it is with the operating system when this returns."""
        if self._file is None:
            raise RuntimeError("a log is written within its `with`")
        self._file.append(line)
        self.lines[line["key"]] = line

    def begin_attempt(self, item_id: str, date: str) -> None:
        """Write that an item's replies so far are not wanted any more."""
        if self._file is None:
            raise RuntimeError("a log is written within its `with`")
        attempt = self.attempts.get(item_id, 0) + 1
        self._file.append({"item_id": item_id, "attempt": attempt, "date": date})
        self.attempts[item_id] = attempt


def read_chat_log(path: Path) -> tuple[dict[str, ChatLine], dict[str, int]]:
    """Return the replies of a file by key, the first of each, and the attempt of each item.

    A torn last line is ignored; no file holds none.

    Raises:
        DataError: a line is not a reply.
    """
    lines: dict[str, ChatLine] = {}
    attempts: dict[str, int] = {}
    for number, record in enumerate(read_jsonl(path), 1):
        line: Any = record
        try:
            check_json(line, AttemptLine if "attempt" in line else ChatLine)
        except ValueError as error:
            raise DataError(
                f"{path} line {number} is not a kept reply: {error}; remove that line to go on"
            ) from None
        if "attempt" in line:
            attempts[line["item_id"]] = max(line["attempt"], attempts.get(line["item_id"], 0))
        else:
            lines.setdefault(line["key"], line)
    return lines, attempts


def total_tokens(lines: Mapping[str, ChatLine]) -> tuple[int, int]:
    """Return prompt and completion tokens of replies together."""
    return (
        sum(line["prompt_tokens"] for line in lines.values()),
        sum(line["completion_tokens"] for line in lines.values()),
    )
