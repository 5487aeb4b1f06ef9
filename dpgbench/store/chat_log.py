"""Replies of language models as they came, a line each: what was paid for once is not asked again.

A line stands under the hash of everything that decided the reply: the model, the words that it was
asked with (template, examples and prompt), the longest reply, the schema. So a line is right for
whatever command meets the same hash, and files may be joined.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

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


class CostLine(TypedDict):
    """A reply of no use, such as an error that a server charges for: nothing of it is kept."""

    useless_prompt_tokens: Count
    useless_completion_tokens: Count
    date: NotRequired[str]


_KINDS = {"attempt": AttemptLine, "useless_prompt_tokens": CostLine}


class ChatLogContent(NamedTuple):
    """What a file holds.

    Attributes:
        lines: replies by key, the first of each.
        attempts: of each item.
        useless_tokens: prompt and completion tokens of replies of no use, together.
    """

    lines: dict[str, ChatLine]
    attempts: dict[str, int]
    useless_tokens: tuple[int, int]


class ChatLog:
    """The replies of a file, and the writing of new ones; to be used in a ``with``.

    Raises:
        DataError: a line is not a reply.
        StorageError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines, self.attempts, self.useless_tokens = read_chat_log(path)
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

    def append_cost(self, prompt_tokens: int, completion_tokens: int, date: str) -> None:
        """Write what a reply of no use has cost."""
        if self._file is None:
            raise RuntimeError("a log is written within its `with`")
        line: CostLine = {
            "useless_prompt_tokens": prompt_tokens,
            "useless_completion_tokens": completion_tokens,
            "date": date,
        }
        self._file.append(line)
        before = self.useless_tokens
        self.useless_tokens = before[0] + prompt_tokens, before[1] + completion_tokens

    def total_tokens(self) -> tuple[int, int]:
        """Return prompt and completion tokens of all replies together, those of no use too."""
        lines = self.lines.values()
        return (
            sum(line["prompt_tokens"] for line in lines) + self.useless_tokens[0],
            sum(line["completion_tokens"] for line in lines) + self.useless_tokens[1],
        )

    def begin_attempt(self, item_id: str, date: str) -> None:
        """Write that an item's replies so far are not wanted any more."""
        if self._file is None:
            raise RuntimeError("a log is written within its `with`")
        attempt = self.attempts.get(item_id, 0) + 1
        self._file.append({"item_id": item_id, "attempt": attempt, "date": date})
        self.attempts[item_id] = attempt


def read_chat_log(path: Path) -> ChatLogContent:
    """Return what a file holds.

    A torn last line is ignored; no file holds none.

    Raises:
        DataError: a line is not a reply.
    """
    lines: dict[str, ChatLine] = {}
    attempts: dict[str, int] = {}
    useless = [0, 0]
    for number, record in enumerate(read_jsonl(path), 1):
        line: Any = record
        kind = next((kind for name, kind in _KINDS.items() if name in line), ChatLine)
        try:
            check_json(line, kind)
        except ValueError as error:
            raise DataError(
                f"{path} line {number} is not a kept reply: {error}; remove that line to go on"
            ) from None
        if kind is AttemptLine:
            attempts[line["item_id"]] = max(line["attempt"], attempts.get(line["item_id"], 0))
        elif kind is CostLine:
            useless[0] += line["useless_prompt_tokens"]
            useless[1] += line["useless_completion_tokens"]
        else:
            lines.setdefault(line["key"], line)
    return ChatLogContent(lines, attempts, (useless[0], useless[1]))
